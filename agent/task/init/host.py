"""What this machine has for a script: memory, processors, and the interpreter of its folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MEMORY_SHARE = 0.75
"""Of the machine's memory: the rest is for the system, the host's own process and the page cache."""
_ASK = "import importlib.util as u, sys; print(*[name for name in sys.argv[1:] if u.find_spec(name) is None])"


@dataclass(frozen=True)
class Machine:
    """What trials may use here."""

    memory_gb: float  # a share of what there is, GiB
    total_gb: float
    cpus: int

    @classmethod
    def here(cls) -> "Machine":
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
    """Return which top-level modules the interpreter that trials would run in cannot find. Imports none of them.

    That of the folder is as strange to us as the script, and is not run: what is installed for it tells.
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
    """Return the top-level modules in a virtual environment; None if it has no place for them, or another one too."""
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
    """Return whether a .pth file names a folder, as one of a package that is being edited does."""
    lines = file.read_text(errors="replace").split("\n") if file.is_file() else []
    return "editable" in file.name or any(line.strip() and not line.startswith(("#", "import")) for line in lines)


def has_gpu() -> bool:
    """Return whether this machine has an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists()


def _of_group() -> list[int]:
    """Return the limit of the control group that this process is in, if it has one."""
    limits = []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text()))
        except (OSError, ValueError):  # not there, or `max`
            continue
    return limits
