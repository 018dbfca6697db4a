"""The protocol of a cluster's job queue, as far as it is needed to place jobs on nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandbox.errors import SandboxError
from sandbox.job import Limits


class QueueUnreachableError(SandboxError):
    """The cluster does not answer, so it is unknown whether it carried out the request, and what its jobs do."""


class QueueBusyError(SandboxError):
    """The cluster takes no further job at present, and will again: the user has too many jobs, or all have.

    The message is what the cluster printed about it.
    """


@dataclass(frozen=True)
class JobNeeds:
    """What the cluster must reserve for a job."""

    cpus: int
    memory_mb: int
    gpus: int
    seconds: float  # after which the cluster may end the job: a safeguard, as the sandbox has its own clock
    avoided: tuple[str, ...] = ()  # nodes that it must not run on

    @classmethod
    def of(cls, limits: Limits, *, gpus: int, apart: bool, slack_seconds: float) -> "JobNeeds":
        """Return the needs of a job with these limits, and of the program that runs it."""
        copy_gb = (_COPY_WITH_CUDA_GB if gpus else _COPY_GB) if apart else 0.0
        memory_gb = limits.memory_gb + _PROGRAM_GB + copy_gb
        memory_mb = memory_gb * 1024 + 2 * limits.scratch_mb + limits.output_mb
        return cls(max(1, -int(-limits.cpus // 1)), int(memory_mb), gpus, limits.wall_seconds + slack_seconds)


_PROGRAM_GB = 0.5  # of the program on the node, and of bubblewrap
_COPY_GB, _COPY_WITH_CUDA_GB = 2.0, 8.0  # of the copy in memory that a job `apart` runs from


@dataclass(frozen=True)
class QueueState:
    """What the cluster says about a job. It is a hint: the job's folder has the truth."""

    is_alive: bool  # it waits, runs or is being ended
    state: str  # in the cluster's own terms, "RUNNING"
    node: str = ""  # empty: none yet
    why_waiting: str = ""  # why it has no node yet, "no node is free (Resources)"; empty: it has one, or nobody knows
    remedy: str = ""  # what a person can do about that; empty: wait


class JobQueue(Protocol):
    """A cluster's job queue. Jobs are known by the names that we give them: numbers are used again after a crash."""

    @property
    def shares_folder(self) -> bool:
        """Whether the nodes see the folders of jobs; if not, the queue brings there what a node writes."""
        ...

    def check(self, needs: JobNeeds) -> None:
        """Return if the cluster would accept such a job. Raises SandboxError, with the remedy, if not."""
        ...

    def submit(self, name: str, folder: Path, needs: JobNeeds, is_to_stop: Callable[[], bool]) -> None:
        """Submit the job of a folder (sandbox.node), to be started at most once.

        Args:
            is_to_stop: returns whether to give up, which is called every now and then.

        Raises:
            QueueUnreachableError: it may be submitted or not, also because it was given up.
            QueueBusyError: the cluster takes no further job at present.
            SandboxError: the cluster refuses it for good; the message has the remedy.
        """
        ...

    def states(self) -> Mapping[str, QueueState]:
        """Return the state of each of this user's jobs that the cluster knows, by name.

        Raises:
            QueueUnreachableError: nothing is known.
        """
        ...

    def cancel(self, name: str) -> None:
        """End all jobs of that name; there may be none. Raises QueueUnreachableError."""
        ...

    def close(self) -> None:
        """Release what the queue holds. Safe to call twice."""
        ...
