"""Access to untrusted files: links, FIFOs and devices are refused, and sizes are bounded.

A folder of runs can come from a stranger. A link in it can lead to any file of this machine, a FIFO or a device can
block its reader for ever, and a write to any of these lands elsewhere.
"""

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.errors import UnsafeFileError, UsageError

RUNS_MARKER = ".autocentaur-runs"
"""Name of the file that marks the folder of all runs as such."""

_KINDS = {
    stat.S_IFLNK: "a link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file",
}  # fmt: skip
_DEEPEST = 64  # folders within folders


def plain_file(path: Path) -> Path:
    """Return the path if a plain file or nothing is there. Raises UnsafeFileError if something else is."""
    return _checked(path, stat.S_IFREG)


def plain_folder(path: Path) -> Path:
    """Return the path if a folder or nothing is there. Raises UnsafeFileError if something else is."""
    return _checked(path, stat.S_IFDIR)


def private_folder(path: Path) -> Path:
    """Make a folder, with its parents, that only this user can enter, whatever the umask is; return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that only this user can read, whatever the umask is."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Return the content of a plain file.

    Raises:
        UnsafeFileError: it is not a plain file, or is larger than `most_bytes`.
        FileNotFoundError: it is missing.
    """
    plain_file(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise _too_large(path, most_bytes)
    return content


def refuse_larger(path: Path, most_bytes: int) -> None:
    """Raise UnsafeFileError unless a plain file of at most so many bytes, or nothing, is there."""
    with suppress(FileNotFoundError):
        if plain_file(path).stat().st_size > most_bytes:
            raise _too_large(path, most_bytes)


def _too_large(path: Path, most_bytes: int) -> UnsafeFileError:
    size = f"{most_bytes / 2**20:g} MiB" if most_bytes >= 2**20 else f"{most_bytes} bytes"
    return UnsafeFileError(f"{path} is over {size}, and no run writes such a file: remove it")


def read_text(path: Path, most_bytes: int) -> str:
    """Return the text of a plain UTF-8 file. Raises as `read_bytes` does, and UnicodeDecodeError (a ValueError)."""
    return read_bytes(path, most_bytes).decode()


def read_json(path: Path, most_bytes: int) -> Any:
    """Return the JSON data in a plain file. Raises as `read_bytes` does, and ValueError if it is not JSON."""
    try:
        return json.loads(read_bytes(path, most_bytes))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def refuse_taken(path: Path, mark: bytes, *, force: bool) -> None:
    """Raise UsageError if `path` exists and this program did not write it, unless `force`.

    Files of this program have `mark` within their first 4096 bytes.
    """
    if force or not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file() or mark not in _first_bytes(path):
        raise UsageError(f"{path} exists already, and this command did not write it; --force replaces it")


def write_over(path: Path, content: bytes, mark: bytes, *, force: bool) -> None:
    """Write a file in one step, replacing only what `refuse_taken` accepts. Raises as it does, and OSError."""
    refuse_taken(path, mark, force=force)
    if path.exists() and not path.is_file():  # with --force, e.g. /dev/stdout
        path.write_bytes(content)
        return
    try:
        growing = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:80]}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    with growing:
        try:
            growing.write(content)
            growing.close()
            os.chmod(growing.name, 0o666 & ~_umask())
            os.replace(growing.name, path)
        except BaseException:
            os.unlink(growing.name)
            raise


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _umask() -> int:
    """Return the umask of this process. os.umask() could read it only by changing it, for all threads."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("\nUmask:")[2].split()[0], 8)


def let_jobs_read(folder: Path) -> None:
    """Let every user read a folder that this program has made, whatever the umask: root's jobs run as another user."""
    for place, _, names in os.walk(folder):
        for path, mode in [(Path(place), 0o055), *((Path(place, name), 0o044) for name in names)]:
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)


def refuse_unsafe(folder: Path) -> None:
    """Raise UnsafeFileError unless a folder holds only plain files and folders; a missing folder passes."""
    plain_folder(folder)
    for path, kind in _below(folder, 0):
        raise _refused(path, kind)


def _below(folder: Path, depth: int) -> Iterator[tuple[Path, int]]:
    """Yield the path and kind of each entry that is neither a plain file nor a folder."""
    if depth > _DEEPEST:
        raise UnsafeFileError(f"{folder} is nested more than {_DEEPEST} folders deep, and no run does that: remove it")
    with suppress(FileNotFoundError), os.scandir(folder) as entries:  # another process may remove it meanwhile
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path), depth + 1)
            elif not entry.is_file(follow_symlinks=False):
                yield Path(entry.path), stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)


def _checked(path: Path, wanted: int) -> Path:
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return path
    if kind != wanted:
        raise _refused(path, kind)
    return path


def _refused(path: Path, kind: int) -> UnsafeFileError:
    return UnsafeFileError(
        f"{path} is {_KINDS.get(kind, 'no file')}, which no run creates there; find out where it is from, and remove it"
    )
