"""What this machine offers a script: memory, processors, and the interpreter of the script's folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError

MEMORY_SHARE = 0.75
"""Share of the machine's memory for trials; the rest is for the system, the agent and the page cache."""
_GPUS = Path("/proc/driver/nvidia/gpus")
_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_ASK_SECONDS = 60
_ASK = "import importlib.util as u, sys; print(*[name for name in sys.argv[1:] if u.find_spec(name) is None])"


@dataclass(frozen=True)
class HostResources:
    """The resources that trials may use on this machine."""

    memory_gb: float  # a share of the machine's memory, GiB
    total_gb: float
    cpus: float
    n_gpus: int = 0

    @property
    def for_one(self) -> tuple[float, float]:
        """The memory in GiB and the processors for one trial, so that there can be a trial on each GPU."""
        if self.n_gpus < 2:
            return self.memory_gb, self.cpus
        return _in_whole(self.memory_gb / self.n_gpus), max(1.0, float(int(self.cpus / self.n_gpus)))

    @classmethod
    def here(cls, root: Path = _ROOT, own: Path = _OWN, gpus: Path = _GPUS) -> "HostResources":
        """Return what this process may use: what the machine has, capped by the control groups of the process.

        Args:
            root: where control groups are mounted.
            own: the file that names the groups of this process.
            gpus: the folder in which the NVIDIA driver has a folder for each GPU.
        """
        total = min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_memory_caps(root, own)]) / 2**30
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        memory_gb = _in_whole(total * MEMORY_SHARE)
        n_gpus = len(list(gpus.iterdir())) if gpus.is_dir() else 0
        return cls(memory_gb, round(total, 1), min([float(cpus), *_quotas(root, own)]), n_gpus)


def _in_whole(memory_gb: float) -> float:
    """Return an amount of memory rounded down to whole GiB; below 2 GiB, to a tenth."""
    return float(int(memory_gb)) if memory_gb >= 2 else round(memory_gb, 1)


def interpreter_of(folder: Path) -> str | None:
    """Return the interpreter of a virtual environment in `folder`, relative to it; None if there is none."""
    for name in (".venv", "venv"):
        if (folder / name / "bin" / "python").exists():
            return f"{name}/bin/python"
    return None


def chosen_interpreter(folder: Path, named: str) -> str:
    """Return the interpreter that the user names, as task.toml has it: relative to the folder if it is inside.

    Raises:
        UsageError: it is no program.
    """
    found = shutil.which(named) if "/" not in named else os.path.expanduser(named)
    path = Path(os.path.abspath(found)) if found else Path(named)  # links of virtual environments stay
    if not found or not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(f"--python {named}: there is no such program; give the path of a Python interpreter")
    top = Path(os.path.abspath(folder))
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else str(path)


def missing_modules(folder: Path, python: str | None, names: Iterable[str], *, is_chosen: bool = False) -> list[str]:
    """Return the top-level modules that the trials' interpreter lacks. Imports none of them.

    An interpreter in the folder is as untrusted as the script and is not run, unless the user has named it: its
    installed files are listed instead.

    Raises:
        UsageError: the interpreter that the user has named does not run as Python.
    """
    wanted = sorted(set(names) - sys.stdlib_module_names - {"__main__"})
    if not wanted:
        return []
    if python is not None and not is_chosen:
        installed = _installed((folder / python).parents[1])
        return [name for name in wanted if name not in installed] if installed is not None else []
    program = sys.executable if python is None else folder / python
    command = [program, "-I", "-c", _ASK, *wanted]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=_ASK_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        raise UsageError(f"--python {program}: it does not run as Python; give the path of an interpreter") from None
    return done.stdout.split()


def _installed(environment: Path) -> set[str] | None:
    """Return the top-level modules in a virtual environment; None if they are unknown, as some may be elsewhere."""
    sites = list(environment.glob("lib*/python3*/site-packages"))
    settings = environment / "pyvenv.cfg"
    content = settings.read_bytes() if settings.is_file() else b""
    if not sites or re.search(rb"include-system-site-packages\s*=\s*true", content):
        return None
    names: set[str] = set()
    for site in sites:
        for file in site.iterdir():
            if file.suffix == ".pth" and _leads_elsewhere(file):
                return None
            names.add(file.name.partition(".")[0])
    return names


def _leads_elsewhere(file: Path) -> bool:
    """Return whether a .pth file names a folder, as that of an editable install does."""
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.is_file() else []
    return "editable" in file.name or any(line.strip() and not line.startswith(("#", "import")) for line in lines)


def has_gpu() -> bool:
    """Return whether this machine has an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists()


def _memory_caps(root: Path, own: Path) -> Iterator[int]:
    """Yield the memory limits of this process's control groups, in bytes."""
    for folder in _groups("memory", root, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            value = _first_line(folder / name)
            if value.isdigit():  # not `max`
                yield int(value)


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """Yield the processor quotas of this process's control groups, in processors."""
    for folder in _groups("cpu", root, own):
        apart = f"{_first_line(folder / 'cpu.cfs_quota_us')} {_first_line(folder / 'cpu.cfs_period_us')}"
        for text in (_first_line(folder / "cpu.max"), apart):
            quota, _, period = text.partition(" ")
            if quota.isdigit() and period.isdigit():  # not `max`, or -1
                yield int(quota) / int(period)


def _groups(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """Yield the control groups of this process for a controller, each up to the root, of version 1 and 2."""
    for names, path in re.findall(
        r"^\d+:([^:]*):/(.*)$", own.read_text(encoding="utf-8") if own.exists() else "", re.MULTILINE
    ):
        if not names or controller in names.split(","):
            top = root / controller if names else root
            yield from (parent for parent in (top / path / "group").parents if parent.is_relative_to(top))


def _first_line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""
