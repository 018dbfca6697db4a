"""Looks around in a coding agent's sandbox as a spy would, and prints what it found as one line of JSON.

    python3 spy.py MARK [memory]

MARK is written backwards, so that this command does not find itself: the key, and the texts of the host that must not
be seen, contain it. With `memory`, the memory of all processes is searched too.
"""

import json
import os
import socket
import stat
import sys
from collections.abc import Iterator

MARK = sys.argv[1][::-1].encode()
SKIPPED = ("/proc", "/sys", "/usr", "/lib", "/lib64", "/bin", "/sbin")  # the system's own, and walked in another way
MOST_BYTES = 2**22  # of a file that is searched
HOSTS = ("1.1.1.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "172.17.0.1", "2606:4700::1111")


def attempt(act):
    """Return what an action returns, or the name of what it raises."""
    try:
        return act()
    except OSError as error:
        return type(error).__name__ if error.errno is None else os.strerror(error.errno)


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MOST_BYTES)


def lines(path: str) -> list[str]:
    return content(path).decode().splitlines()


def files() -> Iterator[str]:
    for root, folders, names in os.walk("/"):
        folders[:] = [
            name
            for name in folders
            if os.path.join(root, name) not in SKIPPED and name not in ("site-packages", "node_modules")
        ]
        yield from (os.path.join(root, name) for name in names)


def is_marked(path: str) -> bool:
    if MARK in os.fsencode(path):
        return True
    try:
        return stat.S_ISREG(os.lstat(path).st_mode) and MARK in content(path)
    except OSError:
        return False


def marked_in_proc() -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline", "mountinfo", "maps"):
            found = attempt(lambda pid=pid, name=name: content(f"/proc/{pid}/{name}"))
            if isinstance(found, bytes) and MARK in found:
                yield f"/proc/{pid}/{name}"


def marked_in_memory() -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        maps = attempt(lambda pid=pid: content(f"/proc/{pid}/maps"))
        if not isinstance(maps, bytes):
            continue
        memory = attempt(lambda pid=pid: os.open(f"/proc/{pid}/mem", os.O_RDONLY))
        if isinstance(memory, str):
            continue
        for line in maps.decode().splitlines():
            span, rights = line.split()[:2]
            first, last = (int(end, 16) for end in span.split("-"))
            if rights.startswith("r") and last - first < 2**28:
                try:
                    if MARK in os.pread(memory, last - first, first):
                        yield f"memory of {pid}"
                except (OSError, ValueError, OverflowError):
                    continue
        os.close(memory)


def connected(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=5):
        return "connected"


def resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False


found = {
    "uid": os.getuid(),
    "capabilities": next(line.split()[1] for line in lines("/proc/self/status") if line.startswith("CapEff")),
    "interfaces": sorted(line.split(":")[0].strip() for line in lines("/proc/net/dev") if ":" in line),
    "environment": sorted(os.environ),
    "processes": sum(map(str.isdigit, os.listdir("/proc"))),
    "top": sorted(os.listdir("/")),
    "network": {host: attempt(lambda host=host: connected(host, 80)) for host in HOSTS},
    "resolves": resolves("example.org"),
    "marked": sorted({*filter(is_marked, files()), *marked_in_proc()}),
}
if sys.argv[2:] == ["memory"]:
    found["memory"] = attempt(lambda: sorted(marked_in_memory()))
print(json.dumps(found))
