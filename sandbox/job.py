"""The contract of a place that runs untrusted code: a Job goes in, an Execution comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

OUTPUT = "/out/artifact"
"""Where a job finds its one writable file. It exists, is empty, and cannot grow past `Limits.output_mb`."""
EXTRA_OUTPUT = "/out/extra"
"""Where it finds a second one, if it has one, of the same kind."""
POLL_SECONDS = 0.5
"""Between two questions whether the caller wants the job stopped."""


@dataclass(frozen=True)
class Mount:
    """A file or folder of the host that the job may read, and never write."""

    source: Path
    target: str  # absolute path inside
    grows: bool = False  # the host adds to the file while the job runs: never a copy


@dataclass(frozen=True)
class Limits:
    """Caps of one job; every sandbox enforces all of them or names the one it cannot."""

    wall_seconds: float  # by the host's monotonic clock, then everything is killed
    memory_gb: float  # all processes together, GiB; no swap
    cpu_seconds: float | None = None  # all processes together; None: not limited
    processes: int = 64  # processes and threads
    cpus: float = 1.0
    output_mb: float = 256.0  # the output file, MiB
    scratch_mb: float = 256.0  # /tmp and /dev/shm, each, MiB
    log_mb: float = 1.0  # what is kept of stdout and stderr, MiB


@dataclass(frozen=True)
class Job:
    """One command to run to its end in a fresh sandbox. Paths inside are the sandbox's own."""

    argv: tuple[str, ...]  # argv[0] is looked up on the sandbox's PATH; "python" is the task's interpreter
    label: str  # "RUN/0007/train": names processes, cgroups and containers, so that orphans can be found
    limits: Limits
    log: Path  # host file that receives stdout and stderr while the job runs
    output: Path | None = None  # host file that becomes OUTPUT inside; None: the job writes nothing
    extra_output: Path | None = None  # host file that becomes EXTRA_OUTPUT inside; for jobs that have an output
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # beside PATH, HOME, LANG and what the image sets: all
    workdir: str = "/"
    gpus: tuple[str, ...] = ()  # devices that the job may see, as nvidia-smi names them
    on_cpu: bool = False  # whether it is given no GPU, where there are some to give
    together: str = ""  # jobs with the same word wait for each other: they share a GPU, where each would lease one
    apart: bool = False  # sees no file system that another job sees or that remembers: copies in memory
    imports: tuple[str, ...] = ()  # modules that a job `apart` imports: other packages are not there
    compiles: bool = False  # whether a job `apart` finds a C++ compiler, as torch.compile needs it
    stop_when: Callable[[], bool] | None = None  # asked every POLL_SECONDS; True ends the job like a limit


class StoppedBy(StrEnum):
    """Who ended the job."""

    ITSELF = "itself"
    CALLER = "caller"  # Job.stop_when said so
    WALL_LIMIT = "wall_limit"
    CPU_LIMIT = "cpu_limit"
    MEMORY = "memory"
    SIGNAL = "signal"  # killed by a signal that this sandbox did not send


@dataclass(frozen=True)
class GpuState:
    """What the driver said of a job's GPU while the job ran."""

    held_back: Mapping[str, float] = field(default_factory=dict)  # reason → share of the looks in which it held
    sm_mhz: int | None = None  # clock of its processors, median
    others: tuple[int, ...] = ()  # programs on it that were not the job's, by their numbers


@dataclass(frozen=True)
class Execution:
    """What was observed of one job. Nothing here was said by the job itself but the log and the output file."""

    exit_code: int | None  # None unless the job ended by itself
    stopped_by: StoppedBy
    wall_seconds: float  # start to end, host's monotonic clock
    cpu_seconds: float | None  # all processes; None where it cannot be known
    peak_memory_gb: float | None  # all processes, GiB; None where it cannot be known
    output_bytes: int | None  # size of the output file; None if the job had none
    log_truncated: bool  # the middle of the log was dropped
    signal: int | None = None
    sandbox: str = ""  # name, version and, for a container, the image's digest
    unenforced: tuple[str, ...] = ()  # limits that were not, or only approximately, enforced, with the reason
    peak_vram_gb: float | None = None  # of its GPU, GiB, as the driver counts; None where it cannot be known
    gpu_state: GpuState | None = None  # None: it had no GPU, or the driver cannot be asked
    copied_gb: float = 0.0  # of a job apart: what it and its like share, copied once for them all, GiB


class Sandbox(Protocol):
    """Runs jobs, one at a time or from several threads; no job sees anything of another."""

    def run(self, job: Job) -> Execution:
        """Run `job` to its end. When this returns or raises, no process of the job is left.

        Raises:
            SandboxError: the sandbox failed; the job's own failure is in the Execution.
        """
        ...

    def close(self) -> None:
        """Give back what the sandbox holds. Safe to call twice."""
        ...
