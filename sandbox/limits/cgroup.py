"""Control groups that this process creates itself: as root, or as a user to whom a subtree was delegated.

This was developed on version 1. Version 2 follows Documentation/admin-guide/cgroup-v2.rst, and was only tested on a
folder tree that imitates one.
"""

import errno
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sandbox.errors import SandboxError
from sandbox.host_identity import is_dead, process_id
from sandbox.job import Limits
from sandbox.limits.controller import Control, Controller, Usage, Wrapping
from sandbox.limits.memory_peak import MemoryPeak, droppable_bytes

ROOT = Path("/sys/fs/cgroup")
_PREFIX = "autocentaur"
_PERIOD_US = 100_000
_REMOVE_SECONDS, _SWEEP_SECONDS = 60.0, 5.0  # for the processes of a group to end, on a busy machine
_INIT = 1  # process 1 of the job's pid namespace belongs to bubblewrap
_V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
_V2_CONTROLLERS = ("memory", "pids", "cpu")
_Group = TypeVar("_Group", bound=Control)


def find(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Controller | None:
    """Return the controller for the version in use, None if this process may not create groups."""
    memberships: dict[str, str] = {}
    for names, path in re.findall(
        r"^\d+:([^:]*):(.*)$", own.read_text(encoding="utf-8") if own.exists() else "", re.MULTILINE
    ):
        memberships |= dict.fromkeys(names.split(","), path)
    if (root / "cgroup.controllers").exists():
        for parent in _v2_parents(root, memberships.get("", "/")):
            if _try_v2(parent):
                return CgroupV2(parent)
        return None
    parents = {}
    for name in _V1_CONTROLLERS:
        mounted = (root / name).resolve()  # often cpu and cpuacct are two names of one mount
        inside = mounted / memberships.get(name, "/").lstrip("/")
        parents[name] = inside if inside.is_dir() else mounted
    return CgroupV1(parents) if all(_try_make(parent) for parent in parents.values()) else None


class CgroupV1:
    """Version 1: one folder per controller, below the groups of this process, whose limits then apply too."""

    how = "cgroup v1"
    inexact: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refused_calls: tuple[str, ...] = ()

    def __init__(self, parents: dict[str, Path]) -> None:
        self.parents = parents

    def hold(self, label: str, limits: Limits) -> Control:
        name = _name(label)
        folders = {controller: parent / name for controller, parent in self.parents.items()}
        memory_bytes = str(int(limits.memory_gb * 2**30))
        with _undone_on_error(_V1Group(folders)) as group:
            for folder in dict.fromkeys(folders.values()):
                _make(folder)
            _write(folders["memory"] / "memory.limit_in_bytes", memory_bytes)
            swap = folders["memory"] / "memory.memsw.limit_in_bytes"
            if swap.exists():  # missing if the kernel does not count swap; then memory.swappiness has to do
                _write(swap, memory_bytes)
            _write(folders["memory"] / "memory.swappiness", "0")
            _write(folders["pids"] / "pids.max", str(limits.processes + _INIT))
            _write(folders["cpu"] / "cpu.cfs_period_us", str(_PERIOD_US))
            _write(folders["cpu"] / "cpu.cfs_quota_us", str(int(limits.cpus * _PERIOD_US)))
        return group

    def sweep(self) -> None:
        for parent in self.parents.values():
            _sweep(parent)


class CgroupV2:
    """Version 2: one folder for all controllers, below `parent`."""

    how = "cgroup v2"
    inexact: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refused_calls: tuple[str, ...] = ()

    def __init__(self, parent: Path) -> None:
        self.parent = parent

    def hold(self, label: str, limits: Limits) -> Control:
        folder = self.parent / _name(label)
        with _undone_on_error(_V2Group(folder)) as group:
            _make(folder)
            _write(folder / "memory.max", str(int(limits.memory_gb * 2**30)))
            if (folder / "memory.swap.max").exists():  # missing if the kernel does not count swap
                _write(folder / "memory.swap.max", "0")
            _write(folder / "memory.oom.group", "1")
            _write(folder / "pids.max", str(limits.processes + _INIT))
            _write(folder / "cpu.max", f"{int(limits.cpus * _PERIOD_US)} {_PERIOD_US}")
        return group

    def sweep(self) -> None:
        _sweep(self.parent)


class _V1Group:
    wrapping = Wrapping()
    rlimit_processes: int | None = None

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self._peak = MemoryPeak()

    def adopt(self, pid: int, init: int) -> None:
        for folder in dict.fromkeys(self.folders.values()):
            _take_in(folder, init, pid)

    def read(self) -> Usage:
        memory = self.folders["memory"]
        return Usage(
            cpu_seconds=int((self.folders["cpuacct"] / "cpuacct.usage").read_text(encoding="utf-8")) / 1e9,
            peak_memory_bytes=self._peak.look(
                used=int((memory / "memory.usage_in_bytes").read_text(encoding="utf-8")),
                droppable=droppable_bytes(_counters(memory / "memory.stat")),
                highest=int((memory / "memory.max_usage_in_bytes").read_text(encoding="utf-8")),
            ),
            over_memory=_counters(memory / "memory.oom_control")["oom_kill"] > 0,
        )

    def close(self) -> None:
        for folder in self.folders.values():
            _remove(folder)


class _V2Group:
    wrapping = Wrapping()
    rlimit_processes: int | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._peak = MemoryPeak()

    def adopt(self, pid: int, init: int) -> None:
        _take_in(self.folder, init, pid)

    def read(self) -> Usage:
        return read_v2(self.folder, self._peak)

    def close(self) -> None:
        _remove(self.folder)


def read_v2(folder: Path, peak: MemoryPeak) -> Usage:
    """Return the usage of the group at `folder`; `peak` keeps the peak over all calls.

    Before Linux 5.19 the kernel does not count a peak; then it is the highest usage at a call.
    """
    highest = folder / "memory.peak"
    return Usage(
        cpu_seconds=_counters(folder / "cpu.stat")["usage_usec"] / 1e6,
        peak_memory_bytes=peak.look(
            used=int((folder / "memory.current").read_text(encoding="utf-8")),
            droppable=droppable_bytes(_counters(folder / "memory.stat")),
            highest=int(highest.read_text(encoding="utf-8")) if highest.exists() else None,
        ),
        over_memory=_counters(folder / "memory.events")["oom_kill"] > 0,
    )


def _name(label: str) -> str:
    """Return the name of a new group, which contains the name of this process, for `_sweep`.

    The rest is random, because a job can read the name, and a serial number would reveal how many jobs ran before.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", label)[:60]
    return f"{_PREFIX}.{process_id()}.{secrets.token_hex(8)}.{slug}"


def _sweep(parent: Path) -> None:
    """Remove the groups of dead processes; never those of another pid namespace, where others may be alive."""
    for folder in parent.glob(f"{_PREFIX}.*"):
        owner = re.match(rf"{_PREFIX}\.([0-9a-f]+-\d+\.\d+\.\d+)\.", folder.name)
        if owner is not None and is_dead(owner[1]):
            _remove(folder, is_leftover=True)


def _kill_all(folder: Path) -> None:
    try:
        members = (folder / "cgroup.procs").read_text(encoding="utf-8").split()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):  # another process has removed it
            return
        raise
    for member in members:
        if member == "0":  # of another pid namespace: to `kill`, 0 would mean our own process group
            continue
        try:
            os.kill(int(member), signal.SIGKILL)
        except ProcessLookupError:
            continue


def _remove(folder: Path, *, is_leftover: bool = False) -> None:
    """Remove a group. This may take a moment, because the kernel counts a process a little longer than it lives.

    `is_leftover`: of a dead process; its processes are killed, and if they take long to die, a later sweep removes it.
    """
    deadline = time.monotonic() + (_SWEEP_SECONDS if is_leftover else _REMOVE_SECONDS)
    while True:
        if is_leftover:
            _kill_all(folder)  # each time: one may have forked meanwhile
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or (time.monotonic() > deadline and not is_leftover):
                raise SandboxError(f"cannot remove the control group {folder}: {error.strerror}") from error
        if time.monotonic() > deadline:
            return
        time.sleep(0.005)


@contextmanager
def _undone_on_error(group: _Group) -> Iterator[_Group]:
    """Remove a group that could not be set up completely."""
    try:
        yield group
    except SandboxError:
        group.close()
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise SandboxError(f"cannot create the control group {folder}: {error.strerror}") from error


def _take_in(folder: Path, *pids: int) -> None:
    for pid in pids:
        _write(folder / "cgroup.procs", str(pid))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SandboxError(
            f"cannot write {text!r} to {file}: {error.strerror}; check the limits of the task"
        ) from error


def _counters(file: Path) -> dict[str, int]:
    return {
        name: int(value) for name, value in (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    }


def _try_make(parent: Path) -> bool:
    folder = parent / _name("try")
    try:
        folder.mkdir()
    except OSError:
        return False
    _remove(folder)
    return True


def _v2_parents(root: Path, own: str) -> list[Path]:
    """Return the possible parents of new groups, best first: our own group, then its parents up to the root."""
    here = root / own.lstrip("/")
    return [here, *(path for path in here.parents if path.is_relative_to(root))]


def _try_v2(parent: Path) -> bool:
    """Return whether groups below `parent` have all controllers, after enabling them if that is allowed.

    The kernel refuses that (EBUSY) if `parent` itself has processes and is not the root.
    """
    switch = parent / "cgroup.subtree_control"
    try:
        enabled = switch.read_text(encoding="utf-8").split()
        if not set(_V2_CONTROLLERS) <= set(enabled):
            switch.write_text(" ".join(f"+{name}" for name in _V2_CONTROLLERS), encoding="utf-8")
            enabled = switch.read_text(encoding="utf-8").split()
    except OSError:
        return False
    return set(_V2_CONTROLLERS) <= set(enabled) and _try_make(parent)
