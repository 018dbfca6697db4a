"""Identities on this host: a name for each process, and a user for each job that is nobody else's.

What a run leaves on the machine carries the name of its process, so that only what dead processes left is removed.
"""

import itertools
import os
from pathlib import Path

_serial = itertools.count()
_FIRST_USER, _USERS_PER_PROCESS = 1_900_000_000, 50_000


def process_id() -> str:
    """Return the name of this process, which no other process of this machine has, had or will have."""
    return f"{_space()}.{os.getpid()}.{start_ticks(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Return whether the process named by `own` is known to be dead.

    False for one of another pid namespace, as in a container beside us, which cannot be seen from here.
    """
    boot, _, rest = owner.partition("-")
    namespace, *numbers = rest.split(".")
    own_boot, _, own_namespace = _space().partition("-")
    if boot != own_boot:
        return True
    if namespace != own_namespace or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        return False
    return start_ticks(int(numbers[0])) != int(numbers[1])


def _space() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    return f"{boot}-{os.stat('/proc/self/ns/pid').st_ino}"


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; with its number it names it for good.

    None: there is no such process, or only its remains, which nobody has waited for.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def private_id() -> int:
    """Return a user that is nobody's on this machine, another one for each job.

    A process of 50,000 jobs gets none twice, so that a long job shares its user with none of the short ones beside it;
    in a container with few users, one of 5,000.
    """
    mapped = sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())
    if mapped > _FIRST_USER + 4096 * _USERS_PER_PROCESS:
        return _FIRST_USER + os.getpid() % 4096 * _USERS_PER_PROCESS + next(_serial) % _USERS_PER_PROCESS
    return 60_000 + (os.getpid() * 256 + next(_serial)) % 5_000
