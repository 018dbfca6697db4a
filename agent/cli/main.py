"""The command line: parse, call, print. Only cli/ reads the environment; nothing slow is imported here."""

import errno
import os
import re
import signal
import stat
import sys
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from agent import __version__
from agent.cli import attribute, compare, doctor, live_page, replay, report, run, trust
from agent.cli.clients import approve, connect, serve, steer, submit
from agent.cli.options import fail
from agent.cli.own_script import init
from agent.cli.runs import best, log, overview, trial
from agent.cli.setup import config, demo, schema
from agent.errors import EXIT_CODES, AgentError
from agent.task.host_commands.host_code import require_consent
from agent.task.validation_errors import first_fault, in_words
from agent.text import did_you_mean
from sandbox.errors import SandboxError

OTHER_WORDS = {
    **dict.fromkeys(("ls", "list", "status"), "runs"),
    **dict.fromkeys(("remove", "delete", "del"), "rm"),
    **dict.fromkeys(("start", "search", "train"), "run"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("result", "champion"), "best"),
}
"""Words that a user may try for a command, besides misspelt ones."""

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = b"\x1b[?25h"

_EPILOG = f"""
Exit codes: {", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())}.

OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL choose the model.
"""

app = typer.Typer(
    rich_markup_mode=None,  # plain help: the rich one takes 0.16 s to import
    pretty_exceptions_enable=False,
    suggest_commands=False,  # `_usage_fault` does
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Let an agent edit a training script in a sandbox; keep what lowers the validation loss.",
    epilog=_EPILOG,
)

app.add_typer(run.app)
app.add_typer(demo.app)
app.add_typer(config.app)
app.add_typer(schema.app)
app.add_typer(doctor.app)
app.add_typer(compare.app)
app.add_typer(init.app)
app.add_typer(overview.app)
app.add_typer(log.app)
app.add_typer(trial.app)
app.add_typer(best.app)
app.add_typer(replay.app)
app.add_typer(report.app)
app.add_typer(live_page.app)
app.add_typer(attribute.app)
app.add_typer(trust.app)
app.add_typer(submit.app)
app.add_typer(steer.app)
app.add_typer(approve.app)
app.add_typer(serve.app)
app.add_typer(connect.app)


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
    """Run the command and exit with one of the codes that `agent --help` lists."""
    # A git hook sets GIT_DIR and similar variables. They must not point our git at the user's repository.
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[variable]
    open_missing_streams()
    require_consent()
    stop_on_signals()
    for stream in (sys.stdout, sys.stderr):  # print an escape for a character that the stream cannot encode
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="agent", standalone_mode=False)
    except AgentError as error:
        fail(str(error), error.exit_code)
    except SandboxError as error:
        fail(str(error), 4)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # The reader closed the pipe, as in `agent log | head`.
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        fail(f"no space left on the disk{where}; make room and continue with `agent resume`", 1)
    except TyperException as error:
        fail(_usage_fault(error), 2)
    sys.exit(code if isinstance(code, int) else 0)  # typer returns the code of typer.Exit, and 130 for Ctrl-C


def _usage_fault(error: TyperException) -> str:
    """Return what is wrong with a command line, what may have been meant, and where its help is."""
    message, fault = error.format_message(), first_fault(error.__cause__)
    context = getattr(error, "ctx", None)  # typer's error for the command line has one; it exports only the base class
    command = "agent" if context is None else context.command_path
    if fault is not None:
        message = f"{message.partition(': ')[0]}: {in_words(fault)}"
    elif found := re.match(r"No such option: (\S+)(?: \(Possible options: (.+)\))?", message):
        message = f"`{command}` has no option {found[1]}{did_you_mean(found[1], (found[2] or '').split(', '))}"
    elif found := re.match(r"No such command '(.*)'\.", message):
        known = [] if context is None else context.command.list_commands(context)
        meant = OTHER_WORDS.get(found[1])
        message = f"there is no command {found[1]!r}"
        message += f"; did you mean {meant}?" if meant else did_you_mean(found[1], known)
    return f"{message} (see `{command} --help`)"


def open_missing_streams() -> None:
    """Open the null device in place of each standard stream that the caller has closed, as in `agent run >&-`.

    Otherwise the stream is None, and the next file that is opened gets its number: a journal could become stdout.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nowhere := os.open(os.devnull, os.O_RDWR), number)
            if nowhere != number:
                os.close(nowhere)
            os.set_inheritable(number, True)  # dup2 does that only if the numbers differ
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 (open until the end)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


def stop_on_signals() -> None:
    """Raise KeyboardInterrupt at the first stop signal from now on; signals that the caller ignores stay ignored.

    `nohup` ignores SIGHUP, for example.
    """
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _frame: object) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, _leave)
    if number == signal.SIGHUP:
        # Printing to a closed terminal fails. The signal arrives twice: from the shell and from the kernel.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):  # isatty() is false for a closed terminal
                os.dup2(nowhere, stream.fileno())
    raise KeyboardInterrupt


def _leave(_number: int, _frame: object) -> NoReturn:
    # Nothing needs cleaning up: the journal is consistent, and the sandboxes end with this process.
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)
    os._exit(130)
