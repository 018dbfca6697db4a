"""The contract of what caps and counts all processes of a job: control groups, or polling in their place."""

from dataclasses import dataclass, field
from typing import Protocol

from sandbox.job import Limits


@dataclass(frozen=True)
class Usage:
    """The usage of a job, all processes together."""

    cpu_seconds: float
    peak_memory_bytes: int
    over_memory: bool  # the kernel killed a process for lack of memory, or the job must be stopped for it


@dataclass(frozen=True)
class Wrapping:
    """The command and environment around the launch, for a control that cannot adopt a running process."""

    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    pass_fds: tuple[int, ...] = ()


class Control(Protocol):
    """Caps and counts the processes of one job."""

    wrapping: Wrapping
    rlimit_processes: int | None  # value of RLIMIT_NPROC, if that is what limits the number of processes

    def adopt(self, pid: int, init: int) -> None:
        """Apply the limits to process `pid`, which has not run the job's code yet, and to all its descendants.

        `init` is process 1 of the job's pid namespace. Both are the host's pids.
        """
        ...

    def read(self) -> Usage:
        """Return the usage so far. This works also after all processes have ended."""
        ...

    def close(self) -> None:
        """Remove what was created on the machine. No process of the job may be alive."""
        ...


class Controller(Protocol):
    """A way to control jobs on this machine."""

    how: str  # a name for people, such as "cgroup v1"
    inexact: tuple[str, ...]  # limits that are only approximately enforced, such as "memory: sampled every 50 ms, ..."
    missing: tuple[str, ...]  # limits that are not enforced at all, such as "processes: reason"
    refused_calls: tuple[str, ...]  # system calls that would evade the limits

    def hold(self, label: str, limits: Limits) -> Control:
        """Return the control for one job. Call it before the job's launch."""
        ...

    def sweep(self) -> None:
        """Remove what dead processes have left on the machine."""
        ...
