"""The supervision loop of every sandbox: it writes the job's log, checks its limits and decides why the job ended.

A sandbox implements `Supervised`: how to read a job's output, usage and end. The rule that decides between several
reasons to end is only here, so that all sandboxes report the same reason.
"""

import select
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from sandbox.job import POLL_SECONDS, Job, Limits, StoppedBy
from sandbox.job_log import JobLog
from sandbox.limits.controller import Usage

_LOOK_SHARE = 0.1  # of one processor, the most that looks may take on a machine with very many processes


class Supervised(Protocol):
    """A started job. Its methods do not wait, except for `fresh` answers.

    Answers are monotonic: a job that has ended stays so, and its usage only grows.
    """

    def fds(self) -> Collection[int]:
        """Return the file descriptors that become readable when there is output, an answer or an end to read."""
        ...

    def look_seconds(self) -> float:
        """Return the time until the next look at its usage."""
        ...

    def drain(self, log: JobLog) -> None:
        """Move output that can be read now from the job to `log`."""
        ...

    def usage(self, *, fresh: bool = False) -> Usage | None:
        """Return the usage of all processes of the job, None if it is not known.

        Without `fresh`, the usage may be that of the last look.
        """
        ...

    def has_ended(self, *, fresh: bool = False) -> bool:
        """Return whether the job's main process has ended. Without `fresh`, the answer may lag by a look."""
        ...


@dataclass(frozen=True)
class Ending:
    """Why and when a job ended, as the host observed it."""

    stopped_by: StoppedBy
    wall_seconds: float
    usage: Usage | None  # at that time
    exit_code: int | None = None  # None unless the job ended by itself
    signal: int | None = None

    def with_status(self, status: int) -> "Ending":
        """Return this ending with the exit status of the job; unchanged if the job was stopped.

        A status of 128 + n or -n stands for signal n.
        """
        if self.stopped_by is not StoppedBy.ITSELF:
            return self
        number = -status if status < 0 else status - 128
        if 1 <= number < signal.NSIG:
            return replace(self, stopped_by=StoppedBy.SIGNAL, signal=number)
        return replace(self, exit_code=status)


def stopped_by(
    limits: Limits, *, has_ended: bool, usage: Usage | None, is_late: bool, stop_requested: bool
) -> StoppedBy | None:
    """Return why a job ends, None if it continues: ended by itself > memory > CPU > wall > caller.

    A job did not end by itself if the kernel killed one of its processes for lack of memory. That process may be the
    main one, or a child whose death the main process did not report.
    """
    over_memory = usage is not None and usage.over_memory
    if has_ended and not over_memory:
        return StoppedBy.ITSELF
    if over_memory:
        return StoppedBy.MEMORY
    if usage is not None and limits.cpu_seconds is not None and usage.cpu_seconds > limits.cpu_seconds:
        return StoppedBy.CPU_LIMIT
    if is_late:
        return StoppedBy.WALL_LIMIT
    return StoppedBy.CALLER if stop_requested else None


def wait_for_input(fds: Collection[int], seconds: float) -> None:
    """Return when one of `fds` is readable or at its end, or after `seconds`."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.poll(max(0.0, seconds) * 1000)


def supervise(
    process: Supervised,
    job: Job,
    log: JobLog,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[Collection[int], float], None] = wait_for_input,
) -> Ending:
    """Follow a job from its start until it has ended or must be stopped, and return why.

    The caller must kill the job's remaining processes. Safe to call from several threads, for one job each.

    Args:
        clock: a monotonic clock, seconds.
        wait: waits for input, like `wait_for_input`.

    Raises:
        SandboxError: the log cannot be written, or the sandbox has lost the job.
    """
    started = clock()
    deadline = started + job.limits.wall_seconds
    next_look, next_question = started, started + POLL_SECONDS
    usage: Usage | None = None
    while True:
        wait(process.fds(), min(deadline, next_look) - clock())
        process.drain(log)
        now = clock()
        if now >= next_look:
            usage = process.usage()
            next_look = now + max(process.look_seconds(), (clock() - now) / _LOOK_SHARE)
        has_ended, is_late = process.has_ended(), now >= deadline
        stop_requested = False
        reason = stopped_by(job.limits, has_ended=has_ended, usage=usage, is_late=is_late, stop_requested=False)
        if reason is None and job.stop_when is not None and now >= next_question:
            next_question = now + POLL_SECONDS
            stop_requested = job.stop_when()
        if reason is not None or stop_requested:
            break
    # Check everything once more, so that the reason does not depend on which limit was checked first. Usage comes
    # last: if the job has ended, its usage then includes whatever ended it.
    now = clock()
    process.drain(log)
    has_ended, is_late = process.has_ended(fresh=True), now >= deadline
    usage = process.usage(fresh=True) or usage
    reason = stopped_by(job.limits, has_ended=has_ended, usage=usage, is_late=is_late, stop_requested=stop_requested)
    assert reason is not None  # answers are monotonic: see `Supervised`
    return Ending(reason, now - started, usage)
