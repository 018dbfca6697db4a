"""One job in its container, from its first process to the last: the limits, the log, the counts."""

import selectors
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.container import supervisor
from sandbox.container.engine import Engine, Stream
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job import QUESTION_SECONDS, Job, StoppedBy
from sandbox.job_log import BoundedLog
from sandbox.limits.controller import Reading

_LOOK_SECONDS = 0.05  # between two counts
_STATE_SECONDS = 0.02  # between two questions whether a job that closed its output has ended
_ANSWER_SECONDS = 20.0  # the keeper answers within a millisecond; a full machine may keep it waiting
_PATIENCE_WITH_KILLED_SECONDS = 1.0  # then what is known of a job that is about to be killed must do


@dataclass(frozen=True)
class Ending:
    """How a job ended, as the host saw it."""

    stopped_by: StoppedBy
    exit_code: int | None
    signal: int | None
    wall_seconds: float
    used: Reading | None  # None: the keeper could not be asked any more


class Contained:
    """A started container whose keeper waits at `kept`."""

    def __init__(self, engine: Engine, name: str, kept: Stream) -> None:
        self._engine = engine
        self._name = name
        self._kept = kept
        self._counts = supervisor.Counts()
        self._n_questions = 0
        self._keeper_ended = False
        self._process = ""
        self._printed: Stream | None = None
        self._started = 0.0

    def begin(self, command: list[str], user: str, environment: Mapping[str, str], workdir: str) -> None:
        """Start the job, after the keeper has shown that it counts.

        Raises:
            SandboxUnavailableError: it does not.
        """
        self._ask()
        if not self._wait_for_answer() or self._counts.latest is None:
            raise SandboxUnavailableError(
                "the container shows no counts of what it uses; its image needs /bin/sh, and the engine control groups"
            )
        self._process, self._printed = self._engine.execute(self._name, command, user, environment, workdir)
        self._started = time.monotonic()

    def follow(self, job: Job, log: BoundedLog) -> Ending:
        """Return how the job ended: by itself, by a limit or by its caller; its log is written meanwhile.

        Its processes may still be alive: remove the container.
        """
        assert self._printed is not None
        deadline = self._started + job.limits.wall_seconds
        next_look = self._started
        next_question = self._started + QUESTION_SECONDS
        prints, stopped_by = True, None
        with selectors.DefaultSelector() as selector:
            selector.register(self._printed.fd, selectors.EVENT_READ)
            selector.register(self._kept.fd, selectors.EVENT_READ)
            while stopped_by is None:
                ready = {key.fd for key, _ in selector.select(max(0.0, min(deadline, next_look) - time.monotonic()))}
                if prints and self._printed.fd in ready and not self._pass_on(log):
                    selector.unregister(self._printed.fd)
                    prints = False
                if self._kept.fd in ready and not self._take_counts():
                    return self._without_keeper()
                if not prints and not self._engine.executed(self._process)["Running"]:
                    stopped_by = StoppedBy.ITSELF
                now = time.monotonic()
                if now >= next_look:
                    next_look = now + (_LOOK_SECONDS if prints else _STATE_SECONDS)
                    if self._counts.n_answers == self._n_questions:
                        self._ask()
                stopped_by = stopped_by or self._over_limit(job, now >= deadline)
                if stopped_by is None and job.stop_when is not None and now >= next_question:
                    next_question = now + QUESTION_SECONDS
                    if job.stop_when():
                        stopped_by = StoppedBy.CALLER
        wall_seconds = time.monotonic() - self._started
        if stopped_by is not StoppedBy.ITSELF:
            self._ask()
            self._wait_for_answer(_PATIENCE_WITH_KILLED_SECONDS)
            return Ending(stopped_by, None, None, wall_seconds, self._counts.latest)
        return self._by_itself(job, wall_seconds)

    def drain(self, log: BoundedLog) -> None:
        """Pass on what was printed last, after the container was removed."""
        while self._printed is not None and (data := self._printed.read()):
            log.write(data)

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        if self._printed is not None:
            self._printed.close()

    def _over_limit(self, job: Job, late: bool) -> StoppedBy | None:
        used = self._counts.latest
        if used is not None and used.over_memory:
            return StoppedBy.MEMORY
        if used is not None and job.limits.cpu_seconds is not None and used.cpu_seconds > job.limits.cpu_seconds:
            return StoppedBy.CPU_LIMIT
        return StoppedBy.WALL_LIMIT if late else None

    def _by_itself(self, job: Job, wall_seconds: float) -> Ending:
        state = self._engine.executed(self._process)
        if not state["Pid"]:
            said = " ".join(job.log.read_text().split())  # the engine speaks where the job would
            raise SandboxError(f"Docker did not start the job: {said}; check the mounts and working folder of the task")
        self._ask()
        used = self._counts.latest if self._wait_for_answer() else None
        if self._keeper_ended:  # then the job did not end by itself either
            return self._without_keeper()
        if used is not None and used.over_memory:
            return Ending(StoppedBy.MEMORY, None, None, wall_seconds, used)
        code = state["ExitCode"]
        if 1 <= code - 128 < signal.NSIG:
            return Ending(StoppedBy.SIGNAL, None, code - 128, wall_seconds, used)
        return Ending(StoppedBy.ITSELF, code, None, wall_seconds, used)

    def _without_keeper(self) -> Ending:
        """Return how the job ended whose keeper died before it: the kernel chose it when memory was short."""
        wall_seconds = time.monotonic() - self._started
        if self._engine.state(self._name)["OOMKilled"]:
            return Ending(StoppedBy.MEMORY, None, None, wall_seconds, self._counts.latest)
        raise SandboxError("something outside stopped the job's container; was the engine restarted? Go on with resume")

    def _ask(self) -> None:
        self._n_questions += 1
        self._kept.write(supervisor.ASK)

    def _wait_for_answer(self, patience_seconds: float = _ANSWER_SECONDS) -> bool:
        """Return whether the last question was answered in time."""
        deadline = time.monotonic() + patience_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._kept.fd, selectors.EVENT_READ)
            while self._counts.n_answers < self._n_questions:
                if not selector.select(max(0.0, deadline - time.monotonic())) or not self._take_counts():
                    return False
        return True

    def _take_counts(self) -> bool:
        """Take in what the keeper has printed; return False if it has ended."""
        data = self._kept.read()
        self._counts.take(data or b"")
        self._keeper_ended = data is None
        return not self._keeper_ended

    def _pass_on(self, log: BoundedLog) -> bool:
        """Take in what the job has printed; return False at the end of it."""
        assert self._printed is not None
        data = self._printed.read()
        log.write(data or b"")
        return data is not None
