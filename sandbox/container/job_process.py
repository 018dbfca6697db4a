"""A job in its container, from its start until it has ended: its output, its usage, its exit status."""

import select
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.container import supervisor
from sandbox.container.engine import Engine, Stream
from sandbox.errors import JobLostError, LauncherDiedError, SandboxError, SandboxUnavailableError
from sandbox.job_log import JobLog, StandardStream
from sandbox.limits.controller import Usage

_LOOK_SECONDS = 0.05  # between two looks at the job's usage
_STATE_SECONDS = 0.02  # between two looks at a job that has closed its output, whether it has ended
_ANSWER_SECONDS = 20.0  # the keeper answers within a millisecond, but later on a busy machine
_PATIENCE_WITH_KILLED_SECONDS = 1.0  # for the last usage of a job that is about to be killed
_LAST_WORDS_SECONDS = 30.0  # the engine closes a connection when its container is removed, later on a busy machine


class ContainerProcess:
    """A started container and the job in it. `kept` is the connection to the keeper: see supervisor.py."""

    def __init__(self, engine: Engine, name: str, kept: Stream) -> None:
        self._engine = engine
        self._name = name
        self._kept = kept
        self._counts = supervisor.Counts()
        self._n_questions = 0
        self._keeper_ended = False
        self._process = ""
        self._printed: Stream | None = None  # None before the start, and once its output has been read to the end
        self._has_ended = False

    def begin(self, command: list[str], user: str, environment: Mapping[str, str], workdir: str) -> None:
        """Start the job, once the keeper has answered with the counts.

        Raises:
            SandboxUnavailableError: the keeper does not answer, or counts are missing from the answer.
        """
        self._ask()
        if not self._wait_for_answer(_ANSWER_SECONDS) or self._counts.latest is None:
            raise SandboxUnavailableError(
                "the container does not report its usage; its image needs /bin/sh, and the engine control groups"
            )
        self._process, self._printed = self._engine.execute(self._name, command, user, environment, workdir)

    def fds(self) -> list[int]:
        """Return the connections to the keeper and, until the job has closed its output, to the job."""
        return [stream.fd for stream in (self._kept, self._printed) if stream is not None]

    def look_seconds(self) -> float:
        """Return the time between two looks: short if the job has closed its output, since it has probably ended."""
        return _LOOK_SECONDS if self._printed is not None else _STATE_SECONDS

    def drain(self, log: JobLog) -> None:
        """Read the keeper's answers, and move one piece of the job's output to `log`."""
        self._take_counts()
        if self._printed is None:
            return
        pieces = self._printed.read_pieces()
        for number, data in pieces or ():
            log.write(data, StandardStream.STDERR if number == StandardStream.STDERR.value else StandardStream.STDOUT)
        if pieces is None:
            self._printed.close()
            self._printed = None

    def usage(self, *, fresh: bool = False) -> Usage | None:
        """Return the keeper's latest answer, and ask for the next one.

        Raises:
            JobLostError: the container was stopped or removed from outside, or the engine does not answer.
        """
        if fresh or self._counts.n_answers == self._n_questions:
            self._ask()
        if fresh:
            self._wait_for_answer(_ANSWER_SECONDS if self._has_ended else _PATIENCE_WITH_KILLED_SECONDS)
        return self._usage_without_keeper() if self._keeper_ended else self._counts.latest

    def has_ended(self, *, fresh: bool = False) -> bool:
        """Return whether the job, or the keeper and with it the container, has ended.

        The engine is asked only if the job has closed its output, or for a `fresh` answer.

        Raises:
            JobLostError: the container was removed from outside, or the engine does not answer.
        """
        if self._keeper_ended:
            return True
        if not self._has_ended and (fresh or self._printed is None):
            self._has_ended = not self._engine.executed(self._process)["Running"]
        return self._has_ended

    def exit_status(self, log: Path) -> int:
        """Return the exit status of a job that has ended by itself.

        Raises:
            JobLostError: the container was removed from outside, or the engine does not answer.
            LauncherDiedError: the engine's own launcher died in the container, before any of the job ran.
            SandboxError: the engine did not start it.
        """
        state = self._engine.executed(self._process)
        if not state["Pid"]:
            # The engine writes its message to the job's output.
            printed = " ".join(log.read_text(encoding="utf-8").split())
            if "read init-p" in printed:
                raise LauncherDiedError(f"Docker did not start the job, several times: {printed}; start the run again")
            raise SandboxError(
                f"Docker did not start the job: {printed}; check the mounts and working folder of the task"
            )
        return int(state["ExitCode"])

    def drain_rest(self, log: JobLog) -> None:
        """Move the rest of the job's output to `log`. The container must be removed already."""
        while self._printed is not None:
            if not _is_readable(self._printed, _LAST_WORDS_SECONDS):
                return
            self.drain(log)

    def close(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._printed is not None:
            self._printed.close()

    def _usage_without_keeper(self) -> Usage:
        """Return the usage of a job whose keeper has died: the kernel may kill it when the job exceeds its memory."""
        if not self._engine.state(self._name)["OOMKilled"]:
            raise JobLostError(
                "something outside stopped the job's container; was the engine restarted? Continue with agent resume"
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
        """Read the keeper's answers, and note whether it has ended."""
        if not self._keeper_ended:
            data = self._kept.read()
            self._counts.take(data or b"")
            self._keeper_ended = data is None


def _is_readable(stream: Stream, seconds: float) -> bool:
    """Return whether `stream` becomes readable, or ends, within `seconds`."""
    poll = select.poll()
    poll.register(stream.fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
