"""The supervision loop of every sandbox: it writes the job's log, enforces its limits and decides why the job ended.

A sandbox gives the loop a `Supervised` job, which says how to read its output and how to ask what it has used. The
rule that decides between several reasons is here alone, so that all sandboxes report the same one.
"""

import select
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from sandbox.job import POLL_SECONDS, Job, Limits, StoppedBy
from sandbox.job_log import BoundedLog
from sandbox.limits.controller import Usage

_LOOK_SHARE = 0.1  # of one processor that looking may take, on a machine with very many processes


class Supervised(Protocol):
    """A started job. Its methods do not wait, unless they are asked for `fresh` answers.

    An answer never goes back: a job that has ended stays so, and what it has used only grows.
    """

    def fds(self) -> Collection[int]:
        """Return the file descriptors that become readable when the job prints, when it ends, or with its usage."""
        ...

    def look_seconds(self) -> float:
        """Return the time until its usage is to be looked at again."""
        ...

    def drain(self, log: BoundedLog) -> None:
        """Move what can be read now from the job to `log`."""
        ...

    def usage(self, *, fresh: bool = False) -> Usage | None:
        """Return what all processes of the job have used; None if that is not known (yet).

        Without `fresh` the figures may be those of the last look.
        """
        ...

    def has_ended(self, *, fresh: bool = False) -> bool:
        """Return whether the job's main process has ended; without `fresh`, it may be noticed a look later."""
        ...


@dataclass(frozen=True)
class Ending:
    """Why and when a job ended, as the host observed it."""

    stopped_by: StoppedBy
    wall_seconds: float
    usage: Usage | None  # at that moment
    exit_code: int | None = None  # None unless the job ended by itself
    signal: int | None = None

    def with_status(self, status: int) -> "Ending":
        """Return the ending with the exit status of the job; unchanged if the job was stopped.

        128 + n stands for signal n, as in a shell, and so does -n.
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
    """Return why a job ends, None if it goes on: ended by itself > memory > CPU > wall > caller.

    A job has not ended by itself if the kernel killed one of its processes for lack of memory: the kernel may have
    chosen the main process, or a child whose death the main process did not report.
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
    log: BoundedLog,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[Collection[int], float], None] = wait_for_input,
) -> Ending:
    """Follow a job that has just started until it ends or must be stopped; return why. It does not kill anything.

    Safe to call from several threads, one for each job.

    Args:
        clock: seconds that never go back.
        wait: waits for input, as `wait_for_input` does.

    Raises:
        SandboxError: the log cannot be written, or the sandbox lost the job.
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
        has_reason = stopped_by(
            job.limits, has_ended=process.has_ended(), usage=usage, is_late=now >= deadline, stop_requested=False
        )
        stop_requested = False
        if has_reason is None and job.stop_when is not None and now >= next_question:
            next_question = now + POLL_SECONDS
            stop_requested = job.stop_when()
        if has_reason is not None or stop_requested:
            # Look at everything once more, so that the reason does not depend on which limit was looked at first.
            # Usage comes last: when a job has ended, its usage then includes what ended it.
            now = clock()
            process.drain(log)
            has_ended = process.has_ended(fresh=True)
            usage = process.usage(fresh=True) or usage
            reason = stopped_by(
                job.limits,
                has_ended=has_ended,
                usage=usage,
                is_late=now >= deadline,
                stop_requested=stop_requested,
            )
            assert reason is not None  # no reason goes away: see `Supervised`
            return Ending(reason, now - started, usage)
