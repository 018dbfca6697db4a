"""The files that make a folder with a training script a task: checked, then written."""

from collections.abc import Mapping
from pathlib import Path

from agent.errors import TaskError, UsageError
from agent.start.document import document
from agent.start.reading import Reading
from agent.task import CONFIG_NAME, Task


def files_of(reading: Reading) -> dict[str, str]:
    """Return the files to write into the folder, by name, task.toml last.

    Raises:
        UsageError: `agent run` would refuse the task; the message says why.
    """
    files = {reading.lifted.name: reading.lifted.text} if reading.lifted else {}
    files[CONFIG_NAME] = document(reading)
    _check(reading, files)
    return files


def write(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Write the files, each whole or not at all.

    Raises:
        UsageError: one is there already, and no `force`; then nothing is written. Or it cannot be written.
    """
    there = [name for name in files if (folder / name).exists() or (folder / name).is_symlink()]
    if there and not force:
        raise UsageError(f"{folder / there[-1]} is there already, and nothing was written; --force replaces it")
    for name, text in files.items():
        path = folder / name
        growing = path.with_name(f".{path.name}.new")
        try:
            growing.unlink(missing_ok=True)  # a link that came with the folder would lead out of it
            with growing.open("xb") as file:
                file.write(text.encode())
            growing.replace(path)
        except OSError as fault:
            raise UsageError(f"{path} cannot be written: {fault.strerror}") from None


def _check(reading: Reading, files: Mapping[str, str]) -> None:
    folder = reading.folder
    try:
        wanted = [name for name in (reading.edited[0], *reading.needs.frozen) if name not in files]
        content = {name: (folder / name).read_bytes() for name in wanted}
        Task(folder, content | {name: text.encode() for name, text in files.items()})
    except TaskError as fault:
        raise UsageError(f"{fault}; nothing was written: docs/tasks.md says how to write it by hand") from None
    except UnicodeEncodeError:
        raise UsageError(f"{folder}: the name of a file that the script needs is not UTF-8 text; rename it") from None
    except OSError as fault:
        raise UsageError(f"{fault.filename} cannot be read: {fault.strerror}") from None
