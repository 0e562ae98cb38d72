"""What every command shares: lists after one option, `--json`, and a standard output kept clean."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from bayescale.cli.examples import EXAMPLES
from bayescale.cli.output import console, dumps

_PAIR = re.compile(r"[^\W\d]\w*=")


@dataclass(frozen=True)
class Answer:
    """What a command found: a document for programs, and a way to show it to people."""

    document: Any
    show: Callable[[Console], None]


class Documented(click.Command):
    """A command whose help ends with examples that can be copied."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples after the options, each line whole."""
        if lines := EXAMPLES.get(self.name or ""):
            with formatter.section("Examples"):
                for about, line in lines:
                    formatter.write(f"  # {about}\n  {line}\n")


class Command(Documented):
    """A command that returns an `Answer`, printed as one JSON document or as tables.

    While it computes, whatever anything else prints goes to standard error.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, after giving each listed value an option of its own."""
        lists = {
            name
            for option in self.params
            if isinstance(option, click.Option) and option.multiple
            for name in option.opts
        }
        return super().parse_args(ctx, spread(args, lists))

    def invoke(self, ctx: click.Context) -> Any:
        """Compute the answer, then print it."""
        with redirect_stdout(sys.stderr):
            answer = super().invoke(ctx)
        if ctx.params.get("as_json"):
            click.echo(dumps(answer.document))
        else:
            answer.show(console())


def spread(args: Sequence[str], options: Collection[str]) -> list[str]:
    """Repeat an option before each further `name=value` that follows it.

    Examples
    --------
    >>> spread(["--columns", "N=params", "D=tokens", "runs.csv"], {"--columns"})
    ['--columns', 'N=params', '--columns', 'D=tokens', 'runs.csv']
    """
    result: list[str] = []
    current = ""  # the option whose list this may still be
    value_due = False
    for place, token in enumerate(args):
        if token == "--":
            return [*result, *args[place:]]
        if value_due:
            value_due = False
        elif token.startswith("-"):
            name, equals, _ = token.partition("=")
            current = name if name in options else ""
            value_due = bool(current) and not equals
        elif current and _PAIR.match(token):
            result.append(current)
        else:
            current = ""
        result.append(token)
    return result


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output."
)
force_option = click.option(
    "--force", is_flag=True, help="Answer although the diagnostics refuse, and mark the answer."
)
