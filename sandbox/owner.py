"""Whose a thing is that a run leaves on the machine, so that only what the dead have left is swept away."""

import os
from pathlib import Path

from sandbox.cgroup import start_ticks


def own() -> str:
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
