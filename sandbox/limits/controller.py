"""What caps and counts all processes of a job together: the contract of control groups and their stand-in."""

from dataclasses import dataclass, field
from typing import Protocol

from sandbox.job import Limits


@dataclass(frozen=True)
class Usage:
    """What the processes of a job have used so far."""

    cpu_seconds: float
    peak_memory_bytes: int
    over_memory: bool  # a process was killed for memory, or must be


@dataclass(frozen=True)
class Wrapping:
    """What the launching command must be started in, for a control that cannot take in a running process."""

    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()


class Control(Protocol):
    """Holds one job."""

    wrapping: Wrapping
    rlimit_processes: int | None  # what RLIMIT_NPROC must be, where that is how processes are counted

    def adopt(self, pid: int, init: int) -> None:
        """Put process `pid` and all that it will start under the limits. It has not run the job's code yet.

        `init` is process 1 of the job's pid namespace. Both are numbers of the host.
        """
        ...

    def read(self) -> Usage:
        """Return what was used so far; also when all processes have ended."""
        ...

    def close(self) -> None:
        """Leave nothing behind. No process of the job is alive when this is called."""
        ...


class Controller(Protocol):
    """A way of this machine to control jobs."""

    how: str  # "cgroup v1", for people
    inexact: tuple[str, ...]  # limits that are only approximately enforced, "memory: sampled every 50 ms, ..."
    missing: tuple[str, ...]  # limits that are not enforced at all, "processes: why"
    refused_calls: tuple[str, ...]  # system calls that would evade it

    def hold(self, label: str, limits: Limits) -> Control:
        """Return the control of one job. Called before its launch."""
        ...

    def sweep(self) -> None:
        """Remove what runs that died without cleaning up have left."""
        ...
