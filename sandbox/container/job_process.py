"""One job in its container, from its first process to the last: its output, its end, the counts."""

import select
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.container import supervisor
from sandbox.container.engine import Engine, Stream
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job_log import BoundedLog
from sandbox.limits.controller import Usage

_LOOK_SECONDS = 0.05  # between two counts
_STATE_SECONDS = 0.02  # between two questions whether a job that closed its output has ended
_ANSWER_SECONDS = 20.0  # the keeper answers within a millisecond; a full machine may keep it waiting
_PATIENCE_WITH_KILLED_SECONDS = 1.0  # then what is known of a job that is about to be killed must do
_LAST_WORDS_SECONDS = 5.0  # the engine closes a connection at once when its container is removed


class ContainerProcess:
    """A started container whose keeper waits at `kept`."""

    def __init__(self, engine: Engine, name: str, kept: Stream) -> None:
        self._engine = engine
        self._name = name
        self._kept = kept
        self._counts = supervisor.Counts()
        self._n_questions = 0
        self._keeper_ended = False
        self._process = ""
        self._printed: Stream | None = None  # None: not started, or the end of what it prints was read
        self._has_ended = False

    def begin(self, command: list[str], user: str, environment: Mapping[str, str], workdir: str) -> None:
        """Start the job, after the keeper has shown that it counts.

        Raises:
            SandboxUnavailableError: it does not.
        """
        self._ask()
        if not self._wait_for_answer(_ANSWER_SECONDS) or self._counts.latest is None:
            raise SandboxUnavailableError(
                "the container shows no counts of what it uses; its image needs /bin/sh, and the engine control groups"
            )
        self._process, self._printed = self._engine.execute(self._name, command, user, environment, workdir)

    def fds(self) -> list[int]:
        """Return the connections to the keeper and, while the job prints, to the job."""
        return [stream.fd for stream in (self._kept, self._printed) if stream is not None]

    def look_seconds(self) -> float:
        """Return the time between two looks; a job that has closed its output has most likely ended."""
        return _LOOK_SECONDS if self._printed is not None else _STATE_SECONDS

    def drain(self, log: BoundedLog) -> None:
        """Take in what the keeper has printed, and move what the job has printed to `log`."""
        self._take_counts()
        if self._printed is None:
            return
        data = self._printed.read()
        log.write(data or b"")
        if data is None:
            self._printed.close()
            self._printed = None

    def usage(self, *, fresh: bool = False) -> Usage | None:
        """Return the latest counts, and ask for the next ones.

        Raises:
            SandboxError: the container was stopped from outside.
        """
        if fresh or self._counts.n_answers == self._n_questions:
            self._ask()
        if fresh:
            self._wait_for_answer(_ANSWER_SECONDS if self._has_ended else _PATIENCE_WITH_KILLED_SECONDS)
        return self._usage_without_keeper() if self._keeper_ended else self._counts.latest

    def has_ended(self, *, fresh: bool = False) -> bool:
        """Return whether the job, or the keeper and with it the container, has ended.

        The engine is asked only if the job has closed its output, or for a `fresh` answer.
        """
        if self._keeper_ended:
            return True
        if not self._has_ended and (fresh or self._printed is None):
            self._has_ended = not self._engine.executed(self._process)["Running"]
        return self._has_ended

    def exit_status(self, log: Path) -> int:
        """Return the exit status of a job that has ended by itself.

        Raises:
            SandboxError: the engine did not start it.
        """
        state = self._engine.executed(self._process)
        if not state["Pid"]:
            said = " ".join(log.read_text().split())  # the engine speaks where the job would
            raise SandboxError(f"Docker did not start the job: {said}; check the mounts and working folder of the task")
        return int(state["ExitCode"])

    def drain_rest(self, log: BoundedLog) -> None:
        """Move the rest of what the job has printed to `log`, once the container is removed."""
        while self._printed is not None:
            if not _is_readable(self._printed, _LAST_WORDS_SECONDS):
                return
            self.drain(log)

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        if self._printed is not None:
            self._printed.close()

    def _usage_without_keeper(self) -> Usage:
        """Return the counts of a job whose keeper was killed before it: the kernel does so when memory is short."""
        if not self._engine.state(self._name)["OOMKilled"]:
            raise SandboxError(
                "something outside stopped the job's container; was the engine restarted? Go on with resume"
            )
        return replace(self._counts.latest or Usage(0.0, 0, True), over_memory=True)

    def _ask(self) -> None:
        self._n_questions += 1
        self._kept.write(supervisor.ASK)

    def _wait_for_answer(self, patience_seconds: float) -> bool:
        """Return whether the last question was answered in time."""
        deadline = time.monotonic() + patience_seconds
        while self._counts.n_answers < self._n_questions and not self._keeper_ended:
            if not _is_readable(self._kept, max(0.0, deadline - time.monotonic())):
                return False
            self._take_counts()
        return not self._keeper_ended

    def _take_counts(self) -> None:
        """Take in what the keeper has printed, and notice its end."""
        if not self._keeper_ended:
            data = self._kept.read()
            self._counts.take(data or b"")
            self._keeper_ended = data is None


def _is_readable(stream: Stream, seconds: float) -> bool:
    """Return whether there is something to read, or the end, within `seconds`."""
    poll = select.poll()
    poll.register(stream.fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
