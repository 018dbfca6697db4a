"""Constant text in place of the files under /proc with counters of the whole machine, which would connect jobs.

The activity of a job changes these counters, and another job could read that. The constant text has the same lines
with all numbers 0, except for the size of the machine's memory, which programs need, and the time of its start.
"""

import re
from functools import cache
from pathlib import Path

_COUNTERS = (
    *("buddyinfo", "cgroups", "diskstats", "interrupts", "loadavg", "locks", "meminfo", "schedstat", "slabinfo"),
    *("softirqs", "stat", "swaps", "uptime", "vmstat", "zoneinfo", "pressure/cpu", "pressure/io", "pressure/memory"),
    *("crypto", "key-users", "modules", "sys/fs/aio-nr", "sys/kernel/pty/nr"),
    *("sys/fs/quota/allocated_dquots", "sys/fs/quota/cache_hits", "sys/fs/quota/drops", "sys/fs/quota/free_dquots"),
    *("sys/fs/quota/lookups", "sys/fs/quota/reads", "sys/fs/quota/syncs", "sys/fs/quota/writes"),
    *("pressure/irq", "sys/fs/dentry-state", "sys/fs/file-nr", "sys/fs/inode-nr", "sys/fs/inode-state"),
)
FOLDERS = ("fs", "irq")
"""Folders below /proc with counters in many files; they appear empty."""
MASKABLE = ("diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime")
"""The files that Docker allows to replace by ours; the others can only appear empty there."""
_NUMBER = re.compile(r"(?<![A-Za-z_0-9.])(\d+\.\d+|\d+)(?![A-Za-z_0-9])")


@cache
def texts() -> dict[str, bytes]:
    """Return name below /proc → constant text, for the files that this kernel has."""
    found = {}
    for name in _COUNTERS:
        path = Path("/proc", name)
        try:
            found[name] = constant(name, path.read_text(encoding="utf-8")).encode()
        except FileNotFoundError:
            continue
        except OSError:  # a job may not read it either
            found[name] = b""
    return found


def constant(name: str, text: str) -> str:
    """Return `text`, of the file `name`, without anything that changes."""
    if name in ("locks", "swaps"):
        return "".join(text.splitlines(keepends=True)[:1]) if name == "swaps" else ""
    if name == "meminfo":
        total = re.search(r"^MemTotal:\s+(\d+)", text, re.MULTILINE)
        text = re.sub(r"\d+ kB", "0 kB", text)
        free = total[1] if total is not None else "0"
        return re.sub(r"^(Mem(?:Total|Free|Available):\s+)0", rf"\g<1>{free}", text, flags=re.MULTILINE)
    lines = (line if line.startswith("btime ") else _zeros(line) for line in text.splitlines(keepends=True))
    return "".join(lines)


def _zeros(line: str) -> str:
    return _NUMBER.sub(lambda match: "0.00" if "." in match[0] else "0", line)
