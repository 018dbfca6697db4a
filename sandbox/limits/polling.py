"""Polling, the substitute for control groups where none are available: it samples a job's processes."""

import itertools
import math
import os
import platform
from collections import defaultdict
from pathlib import Path

from sandbox.job import Limits
from sandbox.limits.affinity import pin
from sandbox.limits.controller import Control, Usage, Wrapping

TICK_MS = 50
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_INODE_BYTES = 1024  # about what the kernel needs for an empty file of a tmpfs
_turn = itertools.count()


class PollingController:
    """Samples memory and CPU seconds, limits processes by a resource limit and processors by affinity."""

    how = "sampled"
    # Memory from the last two need not be mapped by a process, and would not be counted.
    refused_calls: tuple[str, ...] = ("sched_setaffinity", "memfd_create", "shmget")

    def __init__(self, why: str) -> None:
        self.inexact: tuple[str, ...] = (
            f"memory: sampled every {TICK_MS} ms, {why}",
            f"cpu_seconds: sampled every {TICK_MS} ms, {why}",
            f"cpus: whole processors by affinity, {why}",
        )
        # Older kernels count all processes of the user, also those outside of the sandbox.
        old = tuple(int(part) for part in platform.release().split(".")[:2]) < (5, 14)
        self.missing: tuple[str, ...] = (
            ("processes: this kernel (older than 5.14) counts them for the whole user",)
            if old and os.geteuid() != 0
            else ()
        )

    def hold(self, label: str, limits: Limits) -> Control:
        return _Watch(limits, limit_processes=not self.missing)

    def sweep(self) -> None:
        """Do nothing: polling creates nothing on the machine."""


class _Watch:
    wrapping = Wrapping()

    def __init__(self, limits: Limits, *, limit_processes: bool) -> None:
        self._limits = limits
        # If we are not root, process 1 of the namespace counts too: it has the same user.
        most = limits.processes + (os.geteuid() != 0)
        self.rlimit_processes: int | None = most if limit_processes else None
        self._main = self._init = 0
        self._usage = Usage(0.0, 0, False)

    def adopt(self, pid: int, init: int) -> None:
        self._main, self._init = pid, init
        allowed = sorted(os.sched_getaffinity(pid))
        count = min(math.ceil(self._limits.cpus), len(allowed))
        first = next(_turn) * count
        pin({allowed[(first + offset) % len(allowed)] for offset in range(count)}, init, pid)

    def read(self) -> Usage:
        processes = _tree(self._init)
        limit = int(self._limits.memory_gb * 2**30)
        in_files = _tmpfs_bytes(self._main)
        memory = sum(_resident_bytes(pid) for pid in processes) + in_files
        if memory > limit:  # shared pages were counted once per process: measure exactly
            anonymous, shared = 0, 0
            for pid in processes:
                private_part, shared_part = _proportional_bytes(pid)
                anonymous, shared = anonymous + private_part, shared + shared_part
            memory = anonymous + max(shared, in_files)
        self._usage = Usage(
            cpu_seconds=max(self._usage.cpu_seconds, sum(processes.values()) / _TICKS_PER_SECOND),
            peak_memory_bytes=max(self._usage.peak_memory_bytes, memory),
            over_memory=self._usage.over_memory or memory > limit,
        )
        return self._usage

    def close(self) -> None:
        """Do nothing: there is nothing to remove."""


def _tree(init: int) -> dict[int, int]:
    """Return pid → CPU ticks, including those of reaped children, for `init` and all its descendants.

    No process can leave this tree: an orphan becomes a child of process 1 of its pid namespace.
    """
    children: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        children[int(fields[1])].append(int(entry))
        ticks[int(entry)] = sum(int(value) for value in fields[11:15])
    found: dict[int, int] = {}
    waiting = [init] if init in ticks else []
    while waiting:
        pid = waiting.pop()
        found[pid] = ticks[pid]
        waiting += children[pid]
    return found


def _resident_bytes(pid: int) -> int:
    return sum(_kilobytes(Path(f"/proc/{pid}/status"), "RssAnon", "RssShmem", "VmPTE").values()) * 1024


def _proportional_bytes(pid: int) -> tuple[int, int]:
    """Return a process's share of anonymous and of shared memory: each page divided by the number of its users."""
    found = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss_Anon", "Pss_Shmem")
    return found.get("Pss_Anon", 0) * 1024, found.get("Pss_Shmem", 0) * 1024


def _kilobytes(file: Path, *names: str) -> dict[str, int]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: int(value.split()[0]) for name, _, value in pairs if name in names}


def _tmpfs_bytes(pid: int) -> int:
    """Return the memory of the files in the job's /tmp and /dev/shm."""
    total = 0
    for folder in ("tmp", "dev/shm"):
        try:
            found = os.statvfs(f"/proc/{pid}/root/{folder}")
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has just ended
            continue
        total += (found.f_blocks - found.f_bfree) * found.f_frsize + (found.f_files - found.f_ffree) * _INODE_BYTES
    return total
