"""The command line: parse, call, print. Only cli/ reads the environment; nothing slow is imported here."""

import errno
import os
import signal
import stat
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from agent import __version__
from agent.cli import attribute, compare, doctor, init, read, replay, report, run, trust
from agent.cli.options import fail
from agent.errors import AgentError
from agent.task.host_code import require_consent
from agent.task.validation_errors import first_fault, in_words
from sandbox.errors import SandboxError

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = b"\x1b[?25h"

_EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 wrong request, 3 budget spent, 4 something is
missing here, 130 interrupted.
\b
OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL name the model.
"""

app = typer.Typer(
    rich_markup_mode=None,  # plain help: the rich one takes 0.16 s to import
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Let an agent edit a training script in a sandbox; keep what lowers the validation loss.",
    epilog=_EPILOG,
)

app.add_typer(run.app)
app.add_typer(doctor.app)
app.add_typer(compare.app)
app.add_typer(init.app)
app.add_typer(read.app)
app.add_typer(replay.app)
app.add_typer(report.app)
app.add_typer(attribute.app)
app.add_typer(trust.app)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> NoReturn:
    """Run the command and exit: 0 done, 1 failed, 2 usage, 3 budget spent, 4 something is missing, 130 interrupted."""
    # A caller inside a git hook has GIT_DIR and the like set; they must not lead our git to the user's repository.
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[variable]
    require_consent()
    stop_on_signals()
    for stream in (sys.stdout, sys.stderr):  # a character that this terminal or file has not is shown by its number
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
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


def stop_on_signals() -> None:
    """From now on raise KeyboardInterrupt at the first signal to stop. What the caller has ignored stays so: nohup."""
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _frame: object) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, _leave)
    if number == signal.SIGHUP:
        # Printing to a terminal that is gone would be an error. The signal comes twice, from shell and kernel.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):  # isatty() is false of a terminal that is gone
                os.dup2(nowhere, stream.fileno())
    raise KeyboardInterrupt


def _leave(_number: int, _frame: object) -> NoReturn:
    # Nothing need be put in order: the journal is, and the sandboxes end with us.
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)
    os._exit(130)
