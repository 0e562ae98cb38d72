"""The program: its commands, and what each kind of failure means as an exit status."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

import bayescale
from bayescale.cli.answers import allocate, compare, predict
from bayescale.cli.fits import backtest, fit
from bayescale.cli.library import demo, doctor, laws
from bayescale.cli.output import say, what_was_written
from bayescale.cli.plans import next_command
from bayescale.cli.reports import COMPLETE, completion, report
from bayescale.cli.starting import init, read
from bayescale.errors import BayescaleError, ConvergenceError
from bayescale.files import discard_unfinished
from bayescale.interruptions import Interrupted, interruptible

REFUSED = 1  # the diagnostics refuse the answer
BAD_INPUT = 2
OUR_FAULT = 70  # so that a fault of the program is never taken for a refusal
INTERRUPTED = 130
NOBODY_READS = 141


class Program(click.Group):
    """The commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands as they were added."""
        return list(self.commands)


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A command's own help ends with examples: bayescale fit --help",
)
@click.version_option(bayescale.__version__, prog_name="bayescale")
@click.pass_context
def program(ctx: click.Context) -> None:
    """Fit scaling laws to training runs, with honest intervals, and decide by them.

    Exit status: 0 done; 1 the fit's diagnostics refuse the answer (--force answers
    all the same, marked as forced); 2 bad input, one message on standard error.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (demo, laws, fit, predict, allocate, compare, next_command, backtest, report):
    program.add_command(command)
for command in (init, read, doctor, completion):
    program.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv
        The words after `bayescale`; those of this process if None.

    Examples
    --------
    >>> main(["laws", "no_such_law"])
    2
    """
    try:
        with interruptible(_leave if argv is None else None):
            words = None if argv is None else list(argv)
            outcome = program.main(args=words, prog_name="bayescale", standalone_mode=False)
            sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except (click.Abort, Interrupted):
        say(_interrupted())
        return INTERRUPTED
    except click.ClickException as error:
        say(f"{_place(error)}: {error.format_message()}")
        return BAD_INPUT
    except ConvergenceError as error:
        say(f"bayescale: {error}", "--force answers all the same, and marks the answer as forced")
        return REFUSED
    except BayescaleError as error:
        say(f"bayescale: {error}")
        return BAD_INPUT
    except (BrokenPipeError, SystemExit) as error:
        if os.environ.get(COMPLETE) and isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else 0  # a shell asked for words
        # click and rich make a SystemExit of a broken pipe. Python itself would complain once
        # more, when it closes standard output at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    except OSError as error:
        say(f"bayescale: {_file_fault(error)}")
        return BAD_INPUT
    except Exception:
        traceback.print_exc()
        say("bayescale: the above is a fault of bayescale, please report it")
        return OUR_FAULT


def _leave() -> None:
    """End the process as it stands: what was interrupted does not come to its own end."""
    discard_unfinished()
    shown = "\x1b[?25h\n" if sys.stderr.isatty() else ""  # a progress bar hides the cursor
    os.write(2, f"{shown}{_interrupted()}\n".encode())
    os._exit(INTERRUPTED)


def _interrupted() -> str:
    return f"bayescale: interrupted; {what_was_written()}"


def _place(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "bayescale"


def _file_fault(error: OSError) -> str:
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
