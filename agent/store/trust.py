"""What a task makes this machine do outside of any sandbox, and whether this user has agreed to it.

A task, a clone or a folder of runs can come from a stranger, and its task.toml names commands that prepare data on the
host, an interpreter, folders of the host that jobs see, and a Dockerfile. To agree is to remember a hash of these and
of the files that they execute, with the folder that they lie in: whoever changes one of them has to be trusted anew.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import TaskError, UnsafeFileError
from agent.files import read_bytes, read_json
from agent.resources import folder as shipped
from agent.store.atomic_file import write_durably
from agent.store.paths import MARKER
from agent.task.task import MOST_BYTES, Task

_MOST_KNOWN = 2**22  # bytes of the file of what is trusted
_MOST_CONTEXT = 10_000  # files of a Dockerfile's build context


@dataclass(frozen=True)
class HostCode:
    """What one task runs or opens on the host."""

    lines: tuple[str, ...]  # for a person, one a command, interpreter, folder or file
    digest: str

    @classmethod
    def of(cls, task: Task, *, prepares: bool = True, pools: bool = True) -> "HostCode | None":
        """Return what a task names, None if it is nothing.

        Args:
            prepares: False: its data are here already, so that nothing prepares them.
            pools: False: without the pool, which is no part of a commit.

        Raises:
            TaskError: a file of it is too large to be looked at.
        """
        environment, lines, files = task.environment, list[str](), set[str]()
        if prepares and task.data.prepare:
            lines.append(f"prepares data: {' '.join(task.data.prepare)}")
            files |= {*task.frozen, *task.data.prepare, *_beside(task)}
        if pools and task.data.pool:
            lines.append(f"makes the pool: {' '.join(task.data.pool)}")
            files |= {*task.frozen, *task.data.pool, *task.data.pool_files, *_beside(task)}
        if environment.python is not None:
            lines.append(f"interpreter: {environment.python}")
        lines += [f"opens to jobs: {mount.source}, as {mount.target}" for mount in environment.mounts]
        if environment.dockerfile is not None:
            lines.append(f"builds: {environment.dockerfile}")
            files |= set(_context(task.folder, (task.folder / environment.dockerfile).parent))
        if not lines:
            return None
        state = hashlib.sha256(json.dumps([str(task.folder.resolve()), lines]).encode())
        for name in sorted(files):
            content = _content(task, name)
            if content is not None:
                state.update(f"\0{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
        return cls(tuple(lines), state.hexdigest())


def _beside(task: Task) -> Iterator[str]:
    """Yield the Python files beside the script, which a command that prepares may import."""
    if task.folder.is_dir():
        yield from (path.name for path in task.folder.glob("*.py") if path.name != task.script)


def _context(folder: Path, context: Path) -> Iterator[str]:
    """Yield the files of a build context by their path in the task's folder, but for folders of runs.

    Raises:
        TaskError: they are too many to be looked at.
    """
    n_files = 0
    for place, folders, names in os.walk(context):
        folders[:] = [name for name in folders if not (name == ".git" or (Path(place) / name / MARKER).exists())]
        for name in names:
            n_files += 1
            if n_files > _MOST_CONTEXT:
                raise TaskError(f"{folder} has more than {_MOST_CONTEXT} files: give its Dockerfile a smaller folder")
            yield str((Path(place) / name).relative_to(folder))


def _content(task: Task, name: str) -> bytes | None:
    """Return a file as it lies in the task's folder, which is what would be executed; None if it is none."""
    try:
        return read_bytes((task.folder / name).resolve(), MOST_BYTES)
    except UnsafeFileError as error:
        if (task.folder / name).is_dir():
            return None
        raise TaskError(str(error)) from error
    except OSError:
        return None


@dataclass(frozen=True)
class Trust:
    """What this user has agreed to, remembered in a file of his configuration."""

    file: Path

    def holds(self, task: Task, code: HostCode) -> bool:
        """Whether a task may do that: this user has agreed, or it is what came with this installation."""
        return code.digest in self._known() or _came_along(task, code)

    def remember(self, task: Task) -> None:
        """Agree to what a task names. Raises OSError if that cannot be written down."""
        made = {code.digest for code in _ways(task)}
        known = self._known()
        if not made <= known:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self.file, json.dumps(sorted(known | made), indent=1) + "\n")

    def _known(self) -> set[str]:
        try:
            return set(map(str, read_json(self.file, _MOST_KNOWN)))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return set()


def _ways(task: Task) -> Iterator[HostCode]:
    """Yield what a task names, with and without its data and its pool."""
    for prepares in (True, False):
        for pools in (True, False):
            code = HostCode.of(task, prepares=prepares, pools=pools)
            if code is not None:
                yield code


def _came_along(task: Task, code: HostCode) -> bool:
    """Whether a task in a folder of this installation names what its own task.toml there names."""
    bundled = shipped("train_template").resolve()
    places, folder = (bundled, bundled.parent / "examples"), task.folder.resolve()
    if not any(folder.is_relative_to(place) for place in places):
        return False
    try:
        own = Task.load(folder, task.profile)
    except TaskError:
        return False
    return code in list(_ways(own))
