"""The contract of every sandbox: it runs a Job and returns an Execution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

OUTPUT = "/out/artifact"
"""Path inside of the job's output file, which is empty at the start and cannot exceed `Limits.output_mb`."""
EXTRA_OUTPUT = "/out/extra"
"""Path inside of a second output file of the same kind, if the job has one."""
GIVEN = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
"""Variables that every job has, beside PATH. Python would buffer its output, and lose that when it is killed."""
HOST_NAME = "sandbox"
"""The name of the machine inside, which resolves to its loopback address."""
POLL_SECONDS = 0.5
"""Between two calls of `Job.stop_when`."""


@dataclass(frozen=True)
class Mount:
    """A file or folder of the host that the job may only read."""

    source: Path
    target: str  # absolute path inside
    grows: bool = False  # the host appends to the file while the job runs: it must not be replaced by a copy


@dataclass(frozen=True)
class Limits:
    """The limits of a job. A sandbox enforces all of them, or names those that it cannot."""

    wall_seconds: float  # by the host's monotonic clock
    memory_gb: float  # all processes together, GiB; no swap
    cpu_seconds: float | None = None  # all processes together; None: not limited
    processes: int = 64  # processes and threads
    cpus: float = 1.0
    output_mb: float = 256.0  # the output file, MiB
    scratch_mb: float = 256.0  # /tmp and /dev/shm, each, MiB
    log_mb: float = 1.0  # size of the log, which holds stdout and stderr, MiB


@dataclass(frozen=True)
class Job:
    """One command to run in a fresh sandbox. `argv`, `workdir` and mount targets are paths inside the sandbox."""

    argv: tuple[str, ...]  # argv[0] is looked up on the sandbox's PATH; "python" and "python3" are the task's
    label: str  # "RUN/0007/train": part of the names of processes, control groups and containers
    limits: Limits
    log: Path  # host file that receives stdout and stderr while the job runs, each line whole
    output: Path | None = None  # host file that becomes OUTPUT inside; None: the job writes nothing
    extra_output: Path | None = None  # host file that becomes EXTRA_OUTPUT inside; for jobs that have an output
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # in addition to PATH, GIVEN and the image's variables
    workdir: str = "/"
    gpus: tuple[
        str, ...
    ] = ()  # GPUs that it sees, as nvidia-smi names them; of a GpuLeasingSandbox, it gets one of them
    cores: tuple[int, ...] = ()  # processors that its processes run on, by their numbers here; empty: any
    on_cpu: bool = False  # whether it gets no GPU, even if the sandbox has some
    together: str = ""  # jobs with the same word share one leased GPU, because they wait for each other
    apart: bool = False  # runs from copies in memory, so that it learns nothing about other jobs
    imports: tuple[str, ...] = ()  # modules that a job `apart` imports; it does not see other packages
    compiles: bool = False  # whether a job `apart` gets a C++ compiler, for torch.compile
    pidfds: bool = (
        False  # whether pidfd_open is allowed, in bubblewrap alone; programs made with Bun lose output without
    )
    stdout: Path | None = None  # host file that receives stdout alone; None: only the log does
    stderr: Path | None = None  # the same for stderr
    stop_when: Callable[[], bool] | None = None  # called every POLL_SECONDS; True stops the job


class StoppedBy(StrEnum):
    """Why the job ended."""

    ITSELF = "itself"
    CALLER = "caller"  # Job.stop_when returned True
    WALL_LIMIT = "wall_limit"
    CPU_LIMIT = "cpu_limit"
    MEMORY = "memory"
    SIGNAL = "signal"  # killed by a signal that this sandbox did not send


@dataclass(frozen=True)
class GpuState:
    """The state of a job's GPU while the job ran, according to the driver."""

    throttled: Mapping[str, float] = field(default_factory=dict)  # reason for throttling → share of the samples with it
    sm_mhz: int | None = None  # median clock of its processors, MHz
    others: tuple[int, ...] = ()  # pids of programs on it that were not the job's


@dataclass(frozen=True)
class Execution:
    """What the host observed of a job. Only the log and the output file are under the job's control."""

    exit_code: int | None  # None unless the job ended by itself
    stopped_by: StoppedBy
    wall_seconds: float  # start to end, host's monotonic clock
    cpu_seconds: float | None  # all processes; None where it cannot be known
    peak_memory_gb: float | None  # all processes, GiB; None where it cannot be known
    output_bytes: int | None  # size of the output file; None if the job had none
    log_truncated: bool  # the middle of the log was dropped
    signal: int | None = None
    sandbox: str = ""  # name, version and, for a container, the image's digest
    unenforced: tuple[str, ...] = ()  # limits that were not enforced exactly, with the reason
    peak_vram_gb: float | None = None  # of its GPU, GiB, according to the driver; None where it cannot be known
    gpu_state: GpuState | None = None  # None: it had no GPU, or the driver does not answer
    copied_gb: float = 0.0  # of a job `apart`: size of the copy that all such jobs share, GiB


class Sandbox(Protocol):
    """Runs jobs, from one or several threads. No job sees another."""

    def run(self, job: Job) -> Execution:
        """Run `job` until it ends. When this returns or raises, no process of the job is alive.

        If there are several reasons to end, `sandbox.supervision.stopped_by` decides which one is reported.

        Raises:
            JobLostError: nobody knows how the job ended.
            SandboxError: the sandbox failed. A failure of the job is part of the Execution instead.
        """
        ...

    def close(self) -> None:
        """Release what the sandbox holds. Safe to call twice."""
        ...
