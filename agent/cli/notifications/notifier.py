"""Runs the user's commands about a run: beside it for each confirmed gain, and once when it has ended.

What the journal had when this process opened the run is never reported again, so each gain is reported at most once.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.cli.notifications.chosen import CONFIRMED, END, SETTING, UserCommands
from agent.cli.notifications.shell_command import run_shell
from agent.errors import AgentError
from agent.execution.workers import POLL_SECONDS, in_thread
from agent.text import Say, as_json, one_line
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from agent.store.paths import RunsFolder
    from agent.trials.trial import Trial

LIMIT_SECONDS = 60.0
"""Wall time of one command, after which it is killed."""

INTERRUPTED, FAILED = "interrupted", "failed"
"""How a run ended, beside the values of agent.run.ending.EndReason."""


class Notifier:
    """Runs the commands about one run, or about the runs of a comparison."""

    def __init__(
        self, commands: UserCommands, runs: "RunsFolder", name: str, say: Say, limit_seconds: float = LIMIT_SECONDS
    ) -> None:
        """Run nothing yet.

        Args:
            name: of the run or the comparison.
            say: prints a line about each command that has ended.
            limit_seconds: wall time of one command.
        """
        self._commands = commands
        self._runs = runs
        self._name = name
        self._say = say
        self._limit_seconds = limit_seconds
        self._running: list[Future[None]] = []
        self._run_ids: Sequence[str] = ()
        self._end: tuple[str, str] | None = None

    def begin(self, *run_ids: str) -> None:
        """From now on, there is something to report: these runs are open."""
        self._run_ids = run_ids

    def end(self, how: str, reason: str) -> None:
        """Set how the runs ended: a value of EndReason, INTERRUPTED or FAILED, and the reason in words.

        What is set first stays: what fails while the result is printed did not end the runs.
        """
        self._end = self._end or (how, reason)

    def discard_end(self) -> None:
        """Report no end: the runs go on, in this process or with the next submission."""
        self._run_ids = ()

    def confirmed(self, run_id: str, trial: "Trial") -> None:
        """Run the command for a confirmed gain in a thread of its own, without waiting for it."""
        if CONFIRMED in self._commands.by_event:
            self._running.append(in_thread(lambda: self._run(CONFIRMED, [run_id], trial=trial.number)))

    def close(self) -> None:
        """Wait for the commands that run, then run the one for the end, if the runs have ended."""
        while wait_for(self._running, timeout=POLL_SECONDS).not_done:  # in short pieces: see Workers.wait
            pass
        if self._run_ids and self._end is not None and END in self._commands.by_event:
            self._run(END, self._run_ids, end=self._end)

    def _run(
        self, event: str, run_ids: Sequence[str], *, trial: int | None = None, end: tuple[str, str] | None = None
    ) -> None:
        """Run the command of an event, and say how it ended. Its failure is a warning."""
        from agent.server.run_documents import notification_document

        command, setting = self._commands.by_event[event], SETTING[event]
        try:
            document = notification_document(self._runs, self._name, event, run_ids, trial=trial, end=end)
            variables = {
                **self._commands.variables_of(command),
                "AUTOCENTAUR_EVENT": event,
                "AUTOCENTAUR_RUN": self._name,
                "AUTOCENTAUR_RUNS": str(self._runs.root),
                "AUTOCENTAUR_END": end[0] if end is not None else "",
                "AUTOCENTAUR_MESSAGE": document["message"],
            }
            with command.place() as folder:
                result = run_shell(command.line, as_json(document), variables, folder, self._limit_seconds)
        except (AgentError, OSError) as fault:
            self._say(f"warning: {setting} was not run: {one_line(str(fault))}")
            return
        if result.code is None:
            self._say(f"warning: {setting} was killed after {self._limit_seconds:g} s: {result.last_line}")
        else:
            how = f"ended with the exit code {result.code}: {result.last_line}"
            self._say(f"warning: {setting} {how}" if result.code else f"{setting} {how}")


@contextmanager
def notifications(commands: UserCommands, runs: "RunsFolder", name: str, say: Say) -> Iterator[Notifier]:
    """Yield the notifier of a run or comparison; on exit it runs the command for the end, however the context ends.

    The caller opens the runs within the context, so that their locks are free again when that command runs.
    """
    notifier = Notifier(commands, runs, name, say)
    try:
        yield notifier
    except KeyboardInterrupt:
        notifier.end(INTERRUPTED, "it was stopped by a signal")
        raise
    except (AgentError, SandboxError, OSError) as fault:
        notifier.end(FAILED, one_line(str(fault)))
        raise
    finally:
        notifier.close()
