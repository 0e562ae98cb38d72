"""`python -m bayescale` is the command `bayescale`."""

from __future__ import annotations

import sys

from bayescale.cli import main

if __name__ == "__main__":
    sys.exit(main())
