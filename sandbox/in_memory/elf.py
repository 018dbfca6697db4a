"""The shared libraries that a program or library of this machine needs, read from its ELF file."""

import mmap
import re
import struct
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # kinds of program headers
_END, _NEEDED, _STRINGS = 0, 1, 5  # tags of the dynamic section


def needed(file: Path) -> tuple[str, ...]:
    """Return the loader's path and the names of the libraries in a 64-bit little-endian ELF file.

    Empty for all other files.
    """
    with file.open("rb") as opened:
        if opened.read(6) != b"\x7fELF\x02\x01":
            return ()
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _named(data)
            except (struct.error, ValueError, OverflowError):  # truncated or malformed
                return ()


def _named(data: mmap.mmap) -> tuple[str, ...]:
    (headers_at,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    found = []
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, headers_at + number * size)
        if kind == _LOAD:
            loads.append((address, offset, length))
        elif kind == _DYNAMIC:
            dynamic = offset, length
        elif kind == _INTERPRETER:
            found.append(_text(data, offset))
    if dynamic is None:
        return tuple(found)
    tags = []
    for at in range(dynamic[0], dynamic[0] + dynamic[1], 16):
        tag, value = struct.unpack_from("<qQ", data, at)
        if tag == _END:
            break
        tags.append((tag, value))
    strings = next((value for tag, value in tags if tag == _STRINGS), None)
    place = next((strings - a + o for a, o, n in loads if strings is not None and a <= strings < a + n), None)
    if place is not None:
        found += [_text(data, place + value) for tag, value in tags if tag == _NEEDED]
    return tuple(found)


def _text(data: mmap.mmap, at: int) -> str:
    end = data.find(b"\0", at)
    return data[at:end].decode("utf-8", "surrogateescape")


@cache
def system_libraries() -> Mapping[str, Path]:
    """Return the libraries in the cache of this machine's loader: name → file."""
    program = next((path for path in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if Path(path).exists()), None)
    if program is None:
        return {}
    printed = subprocess.run(
        [program, "-p"], capture_output=True, encoding="utf-8", errors="replace", check=False, env={}
    ).stdout
    libraries: dict[str, Path] = {}
    for name, kind, path in re.findall(r"^\s+(\S+) \(([^)]*)\) => (/\S+)$", printed, re.MULTILINE):
        if "x86-64" in kind or "AArch64" in kind:
            libraries.setdefault(name, Path(path))
    return libraries
