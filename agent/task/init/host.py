"""What this machine offers a script: memory, processors, and the interpreter of the script's folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MEMORY_SHARE = 0.75
"""Share of the machine's memory for trials; the rest is for the system, the agent and the page cache."""
_ASK = "import importlib.util as u, sys; print(*[name for name in sys.argv[1:] if u.find_spec(name) is None])"


@dataclass(frozen=True)
class HostResources:
    """The resources that trials may use on this machine."""

    memory_gb: float  # a share of the machine's memory, GiB
    total_gb: float
    cpus: int

    @classmethod
    def here(cls) -> "HostResources":
        total = min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_of_group()]) / 2**30
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = total * MEMORY_SHARE
        return cls(float(int(share)) if share >= 2 else round(share, 1), round(total, 1), cpus)


def interpreter_of(folder: Path) -> str | None:
    """Return the interpreter of a virtual environment in `folder`, relative to it; None if there is none."""
    for name in (".venv", "venv"):
        if (folder / name / "bin" / "python").exists():
            return f"{name}/bin/python"
    return None


def missing_modules(folder: Path, python: str | None, names: Iterable[str]) -> list[str]:
    """Return the top-level modules that the trials' interpreter lacks. Imports none of them.

    An interpreter in the folder is as untrusted as the script and is not run: its installed files are listed instead.
    """
    wanted = sorted(set(names) - sys.stdlib_module_names)
    if not wanted:
        return []
    if python is not None:
        installed = _installed((folder / python).parents[1])
        return [name for name in wanted if name not in installed] if installed is not None else []
    done = subprocess.run([sys.executable, "-I", "-c", _ASK, *wanted], capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def _installed(environment: Path) -> set[str] | None:
    """Return the top-level modules in a virtual environment; None if they are unknown, as some may be elsewhere."""
    sites = list(environment.glob("lib*/python3*/site-packages"))
    settings = environment / "pyvenv.cfg"
    said = settings.read_bytes() if settings.is_file() else b""
    if not sites or re.search(rb"include-system-site-packages\s*=\s*true", said):
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
    lines = file.read_text(errors="replace").split("\n") if file.is_file() else []
    return "editable" in file.name or any(line.strip() and not line.startswith(("#", "import")) for line in lines)


def has_gpu() -> bool:
    """Return whether this machine has an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists()


def _of_group() -> list[int]:
    """Return the memory limit of this process's control group, if it has one."""
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text()))
        except (OSError, ValueError):  # missing, or `max`
            continue
    return limits
