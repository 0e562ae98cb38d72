"""The command line: everything from a table of runs to a decision, without writing Python."""

from __future__ import annotations

from bayescale.cli.program import main as main

__all__ = ["main"]
