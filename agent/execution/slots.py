"""The slots of a run: parts of this machine, each of which runs one trial at a time.

A thread that works for a slot runs its jobs there: `in_slot` binds the two. All slots share one sandbox; `SlotSandbox`
restricts jobs to the GPUs and processors of their slot, and stops them all when the run is stopped.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from agent.errors import UsageError
from agent.task.init.host import HostResources
from agent.task.spec import LimitsSpec
from sandbox.job import Execution, Job, Sandbox

Result = TypeVar("Result")
_TOPOLOGY = Path("/sys/devices/system/cpu")


class StoppedError(Exception):
    """The run was stopped before or while a job ran, so that there is no result. No process of the job is alive."""


@dataclass(frozen=True)
class Slot:
    """A part of this machine that runs one trial at a time."""

    number: int  # 0 .. W - 1
    gpus: tuple[str, ...] = ()  # one of these is leased to each of its jobs; empty: it has no GPU
    cores: tuple[int, ...] = ()  # processors of its jobs; empty: any
    cluster: str = ""  # whose nodes its jobs run on, each where and on what GPU the cluster chooses; empty: here

    @property
    def device(self) -> str:
        """Its cluster; or its GPUs or, if it has none, its processors: "slurm", "gpu 0", "cpu 0-3", "cpu"."""
        if self.cluster:
            return self.cluster
        if self.gpus:
            return f"gpu {','.join(self.gpus)}"
        return f"cpu {_ranges(self.cores)}" if self.cores else "cpu"


def slots_of(
    n: int,
    gpus: tuple[str, ...],
    limits: LimitsSpec,
    machine: HostResources | None = None,
    processors: Sequence[Sequence[int]] | None = None,
    *,
    cluster: str = "",
) -> tuple[Slot, ...]:
    """Return `n` slots that share the GPUs of a run and this machine's processors. A single slot is not restricted.

    Slots on the nodes of a cluster take nothing of this machine.

    Args:
        n: W, at least 1.
        gpus: of the run, as nvidia-smi names them; slot i gets each n-th of them, from the i-th on.
        limits: of one job.
        machine: what jobs may use, by default of this machine.
        processors: those that this process may use, grouped by physical core; by default this machine's.
        cluster: its name; empty: jobs run here.

    Raises:
        UsageError: the GPUs, processors or memory do not suffice; the message has the arithmetic and a remedy.
    """
    if cluster:
        return tuple(Slot(number, cluster=cluster) for number in range(n))
    if n == 1:
        return (Slot(0, gpus),)
    machine = machine or HostResources.here()
    most = _most(limits, machine)
    if gpus and n > len(gpus):
        raise UsageError(
            f"--workers {n} needs {n} GPUs, one for each trial; --gpus {','.join(gpus)} names {len(gpus)}: "
            f"use --workers {min(len(gpus), most)}, or name more GPUs"
        )
    if n > most:
        raise UsageError(
            f"--workers {n} needs {n} x {limits.cpus:g} = {n * limits.cpus:g} processors and "
            f"{n} x {limits.memory_gb:g} = {n * limits.memory_gb:g} GiB of memory ([limits] of task.toml); "
            f"this machine has {machine.cpus:g} and {machine.total_gb:g}: use --workers {most}, "
            "or lower cpus or memory_gb"
        )
    cores = _shares(n, math.ceil(limits.cpus), processors or by_physical_core(os.sched_getaffinity(0)))
    return tuple(Slot(i, gpus[i::n], cores[i]) for i in range(n))


def by_physical_core(processors: Iterable[int], topology: Path = _TOPOLOGY) -> list[tuple[int, ...]]:
    """Return the processors, in ascending order, grouped by physical core; each by itself where that is unknown."""
    groups: dict[str, list[int]] = {}
    for number in sorted(processors):
        file = topology / f"cpu{number}/topology/thread_siblings_list"
        groups.setdefault(file.read_text(encoding="utf-8") if file.exists() else str(number), []).append(number)
    return [tuple(group) for group in groups.values()]


def _most(limits: LimitsSpec, machine: HostResources) -> int:
    """Return how many jobs fit this machine at once by their limits, at least 1."""
    fitting = min(machine.cpus / limits.cpus, machine.total_gb / limits.memory_gb)
    return max(1, math.floor(fitting + 1e-9))  # 0.3 / 0.1 is slightly less than 3


def _shares(n: int, each: int, by_core: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return `n` disjoint sets of `each` processors, on different physical cores if possible; all empty if too few."""
    for threads in range(1, max(map(len, by_core)) + 1):  # so many of each physical core
        usable = [core[:threads] for core in by_core if len(core) >= threads]
        n_cores = math.ceil(each / threads)
        if n * n_cores <= len(usable):
            parts = [usable[i * n_cores : (i + 1) * n_cores] for i in range(n)]
            return [tuple(sorted([number for core in part for number in core][:each])) for part in parts]
    numbers = [number for core in by_core for number in core]
    if n * each > len(numbers):
        return [()] * n
    return [tuple(sorted(numbers[i * each : (i + 1) * each])) for i in range(n)]


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as `taskset -c` reads them: "0-3,8"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


_HELD: ContextVar[tuple[Slot, threading.Event]] = ContextVar("slot")


def in_slot(slot: Slot, stop: threading.Event, function: Callable[[], Result]) -> Result:
    """Call a function whose jobs run in a slot, until `stop` is set, and return its result.

    Threads that it starts belong to the slot if they run in a copy of its context.
    """
    held = _HELD.set((slot, stop))
    try:
        return function()
    finally:
        _HELD.reset(held)


def slot_number() -> int:
    """Return the number of the slot that this thread's jobs run in; 0 outside any."""
    held = _HELD.get(None)
    return held[0].number if held is not None else 0


class SlotSandbox:
    """A sandbox that runs each job in the slot of the calling thread; outside any slot, it does not restrict jobs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def run(self, job: Job) -> Execution:
        """Run `job` until it ends. When this returns or raises, no process of the job is alive.

        Raises:
            StoppedError: the run was stopped before or while the job ran.
            SandboxError: the sandbox failed. A failure of the job is part of the Execution instead.
        """
        held = _HELD.get(None)
        if held is None:
            return self._sandbox.run(job)
        slot, stop = held
        _check(job, stop)
        on_cpu = job.on_cpu or not (slot.gpus or slot.cluster)
        execution = self._sandbox.run(
            replace(
                job,
                gpus=() if on_cpu else slot.gpus,
                cores=slot.cores,
                on_cpu=on_cpu,
                stop_when=lambda: stop.is_set() or (job.stop_when is not None and job.stop_when()),
            )
        )
        _check(job, stop)
        return execution

    def close(self) -> None:
        """Close the inner sandbox. Safe to call twice."""
        self._sandbox.close()


def _check(job: Job, stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError(f"{job.label} was stopped with its run")
