"""What this user has agreed to: the digests of the steps that tasks do on this machine outside of any sandbox.

Trust is about what runs, not about where it lies: a copy of a command that was agreed to, or that ships with this
installation, runs without a question. See agent.task.host_commands.host_code for what a digest covers.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.errors import TaskError
from agent.files import read_json
from agent.resources import folder as shipped
from agent.store.atomic_file import write_durably
from agent.task.host_commands.host_code import HostStep, host_steps
from agent.task.task import CONFIG_NAME, Task

_MOST_KNOWN = 2**22  # bytes of the file of what is trusted


@dataclass(frozen=True)
class Trust:
    """What this user has agreed to, remembered in a file of the user's configuration."""

    file: Path

    def lacking(self, steps: Iterable[HostStep]) -> tuple[HostStep, ...]:
        """Return the steps that nobody has agreed to, and that do not ship with this installation."""
        known = self._known()
        unknown = {step.digest: step for step in steps if step.digest not in known}
        for digest in _shipped_digests() if unknown else ():
            unknown.pop(digest, None)
            if not unknown:
                break
        return tuple(unknown.values())

    def remember(self, steps: Iterable[HostStep]) -> None:
        """Agree to steps. Raises OSError if that cannot be written down."""
        known, made = self._known(), {step.digest for step in steps}
        if not made <= known:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self.file, json.dumps(sorted(known | made), indent=1) + "\n")

    def _known(self) -> set[str]:
        try:
            return set(map(str, read_json(self.file, _MOST_KNOWN)))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return set()


def _shipped_digests() -> Iterator[str]:
    """Yield the digests of the tasks of this installation: the bundled one, examples, and a checkout's tests."""
    bundled = shipped("train_template").resolve()
    for folder in (bundled, *(bundled.parent / "examples").glob("*"), *(bundled.parent / "tests/tasks").glob("*")):
        if (folder / CONFIG_NAME).is_file():
            with suppress(TaskError):  # somebody is changing it
                yield from (step.digest for task in profiles_of(folder) for step in host_steps(task))


def profiles_of(folder: Path) -> Iterator[Task]:
    """Yield the task of a folder as it is without a profile, if it can be, and with each. Raises TaskError."""
    task = Task.load(folder)
    yield task
    for name in task.profiles:
        if name != task.profile:
            yield Task.load(folder, name)
