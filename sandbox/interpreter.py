"""The folders that a Python interpreter needs, so that a job sees nothing else of the host."""

import filecmp
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox.errors import SandboxUnavailableError

NAMES = ("python", "python3")
"""Names by which a command calls the task's interpreter."""
NAMED_PYTHON = "/opt/python"
"""First folder on the PATH inside, with links of all NAMES, if the interpreter does not have them in its own folder."""
_SYSTEM_PREFIXES = (Path("/usr"), Path("/usr/local"))
_PARTS = ("bin", "lib", "lib64", "include")  # the parts of a system prefix that are shown

_ASK = (
    "import json, sys, sysconfig; print(json.dumps([sys.executable, sys.prefix, sys.base_prefix,"
    " sysconfig.get_path('purelib', vars={'base': sys.base_prefix, 'platbase': sys.base_prefix}),"
    " '%d.%d' % sys.version_info[:2], sys.path, [sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib')]]))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python installation, as a job sees it."""

    executable: Path  # each of NAMES inside the sandbox is this file
    has_name: bool  # whether each of NAMES in its folder is the same program
    shown: tuple[Path, ...]  # folders that it needs, each shown at its own path
    hidden: tuple[Path, ...]  # folders in `shown` that it does not need: packages of a venv's base installation
    links: tuple[tuple[Path, str], ...]  # symbolic links that lead from `executable` to its file, outside of `shown`
    prefixes: tuple[Path, ...]  # its own prefix and its base installation's
    libraries: tuple[Path, ...]  # folders of the standard library
    packages: tuple[Path, ...]  # folders of packages that it imports from


@cache
def interpreter(executable: Path) -> Interpreter:
    """Return what the interpreter at `executable` needs. The first call for a path runs the interpreter.

    Raises:
        SandboxUnavailableError: the interpreter does not start.
    """
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _ASK], capture_output=True, encoding="utf-8", errors="replace", check=True, env={}
        )
        shown_executable, prefix, base, base_packages, version, path, libraries = json.loads(
            answer.stdout.splitlines()[-1]
        )
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError) as error:
        raise SandboxUnavailableError(
            f"the task's python {executable} does not run ({error}); set [environment] python in task.toml"
        ) from error
    prefixes = [Path(prefix), Path(base), Path(prefix).resolve(), Path(base).resolve()]
    shown: list[Path] = []
    for folder in prefixes:
        wanted = [folder / part for part in _PARTS] if folder in _SYSTEM_PREFIXES else [folder]
        shown += [path for path in wanted if path.is_dir() and path not in shown]
    hidden: list[Path] = []
    if prefix != base and not _sees_base_packages(Path(prefix)):
        candidates = {Path(base_packages)}
        if Path(base) in _SYSTEM_PREFIXES:  # where Debian puts packages
            candidates |= {
                Path("/usr/lib/python3/dist-packages"),
                Path(f"/usr/local/lib/python{version}/dist-packages"),
                Path(f"/usr/lib/python{version}/site-packages"),
            }
        hidden = sorted(path for path in candidates if path.is_dir())
    given = Path(shown_executable)
    program = given.parent.resolve() / given.name  # by a link to the environment, the copy in memory would lack it
    has_name = all(_is_same_program(program.parent / name, program) for name in NAMES)
    return Interpreter(
        program,
        has_name,
        tuple(shown),
        tuple(hidden),
        _links(program, shown),
        prefixes=tuple(dict.fromkeys(prefixes)),
        libraries=tuple(dict.fromkeys(folder for folder in map(Path, libraries) if folder.is_dir())),
        packages=tuple(Path(name) for name in path if Path(name).name in ("site-packages", "dist-packages")),
    )


def _is_same_program(path: Path, program: Path) -> bool:
    """Return whether a path leads to a program, or to a copy of it, as in an environment without links."""
    return path.resolve() == program.resolve() or (path.is_file() and filecmp.cmp(path, program, shallow=False))


def own_interpreter() -> Path:
    """Return the path of the interpreter that runs this program, the default for a task."""
    return Path(sys.executable)


def _sees_base_packages(venv: Path) -> bool:
    lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").lower().splitlines()
    return any(line.replace(" ", "") == "include-system-site-packages=true" for line in lines)


def _links(start: Path, shown: list[Path]) -> tuple[tuple[Path, str], ...]:
    links: list[tuple[Path, str]] = []
    path = start
    while path.is_symlink() and len(links) < 40:
        target = path.readlink()
        if not any(path.is_relative_to(folder) for folder in shown):
            links.append((path, str(target)))
        path = Path(os.path.normpath(path.parent / target))
    return tuple(links)
