"""Identities on this host: a unique name for each process, and an otherwise unused user for each job.

Containers and folders carry the name of the process that made them, so that those of dead processes can be removed.
"""

import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_serial = itertools.count()
_NAME = re.compile(r"(?P<boot>[0-9a-f]{32})-(?P<namespace>[0-9]{1,20})\.(?P<pid>[0-9]{1,20})\.(?P<ticks>[0-9]{1,20})")
"""A name from `process_id`."""
_FIRST_USER, _USERS_PER_PROCESS = 1_900_000_000, 50_000


def process_id() -> str:
    """Return the name of this process, which is unique on this machine for all time."""
    return f"{_space()}.{os.getpid()}.{start_ticks(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Return whether the process with the name `owner`, from `process_id`, is known to be dead.

    False for a process of another pid namespace, for example in another container, which cannot be seen from here;
    and for a text that is no such name, since nothing is known about its process.
    """
    named = _NAME.fullmatch(owner)
    if named is None:
        return False
    own_boot, _, own_namespace = _space().partition("-")
    if named["boot"] != own_boot:
        return True
    return named["namespace"] == own_namespace and start_ticks(int(named["pid"])) != int(named["ticks"])


def own_folder(prefix: str, parent: Path | None = None) -> Path:
    """Make a folder for this process alone (mode 0700), with its name; `parent`: by default that of temporary files."""
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{process_id()}.", dir=parent))


def folders_of_dead_processes(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield the folders that dead processes of this user have left, by the same prefix as `own_folder`."""
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{prefix}*"):
        with suppress(FileNotFoundError):  # another process has removed it
            if is_dead(folder.name.removeprefix(prefix).rpartition(".")[0]) and folder.lstat().st_uid == os.geteuid():
                yield folder


def is_alive_here(owner: str) -> bool:
    """Return whether the process with the name `owner`, from `process_id`, lives and has its pid in this namespace."""
    named = _NAME.fullmatch(owner)
    if named is None or f"{named['boot']}-{named['namespace']}" != _space():
        return False
    return start_ticks(int(named["pid"])) == int(named["ticks"])


def boot_id() -> str:
    """Return a name of the time since the last start of this machine: 32 hexadecimal digits."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip().replace("-", "")


def _space() -> str:
    return f"{boot_id()}-{os.stat('/proc/self/ns/pid').st_ino}"


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot, which together with `pid` identifies it for all time.

    None if there is no such process, or if it is a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def private_id() -> int:
    """Return the number of an otherwise unused user, a new one for each job.

    It repeats after 50,000 jobs of a process, so that jobs that run at the same time have different users. In a
    container with few users it repeats after 5,000.
    """
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines())
    if mapped > _FIRST_USER + 4096 * _USERS_PER_PROCESS:
        return _FIRST_USER + os.getpid() % 4096 * _USERS_PER_PROCESS + next(_serial) % _USERS_PER_PROCESS
    return 60_000 + (os.getpid() * 256 + next(_serial)) % 5_000
