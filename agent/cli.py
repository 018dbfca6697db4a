"""The command line: parse, call, print. The environment is read in cli*.py alone; nothing slow is imported here."""

import errno
import os
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from agent import (
    cli_attribute,
    cli_compare,
    cli_init,
    cli_machine,
    cli_read,
    cli_replay,
    cli_report,
    cli_run,
    cli_track,
)
from agent.cli_shared import fail
from agent.errors import AgentError
from agent.faults import first_fault, in_words
from agent.signals import stop_on_signals

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # plain help: the rich one takes 0.16 s to import
    pretty_exceptions_enable=False,
    help="Let an agent edit a training script in a sandbox; keep what lowers the validation loss.",
)

app.add_typer(cli_run.app)
app.add_typer(cli_machine.app)
app.add_typer(cli_compare.app)
app.add_typer(cli_init.app)
app.add_typer(cli_read.app)
app.add_typer(cli_replay.app)
app.add_typer(cli_report.app)
app.add_typer(cli_track.app)
app.add_typer(cli_attribute.app)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from agent import __version__

        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> NoReturn:
    """Run the command and exit: 0 done, 1 failed, 2 usage, 3 budget spent, 4 something is missing, 130 interrupted."""
    # A caller inside a git hook has GIT_DIR and the like set; they must not lead our git to the user's repository.
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[variable]
    stop_on_signals()
    for stream in (sys.stdout, sys.stderr):  # a character that this terminal or file has not is shown by its number
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    from sandbox.errors import SandboxError

    try:
        code = app(standalone_mode=False)
    except AgentError as error:
        fail(str(error), error.exit_code)
    except SandboxError as error:
        fail(str(error), 4)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe is gone, as after `agent log | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        fail(f"no space left on the disk{where}; make room and go on with `agent resume`", 1)
    except TyperException as error:
        said, fault = error.format_message(), first_fault(error.__cause__)
        if fault is not None:
            said = f"{said.partition(': ')[0]}: {in_words(fault)}"
        fail(f"{said} (see `agent --help`)", 2)
    sys.exit(code if isinstance(code, int) else 0)  # typer returns the code of typer.Exit, and 130 for Ctrl-C
