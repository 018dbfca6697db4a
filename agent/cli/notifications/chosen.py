"""Which commands run when a run ends or confirms a gain: options, the file of the task, and the file of the user.

None of them is stored with a run: a folder of runs may come from somebody else, and resuming it must run nothing of
theirs. The file of a task counts only once the user has agreed to it. Its commands run in a private copy of the files
that they name, as long as these are what the user agreed to, and without the keys of models.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from agent.cli.search_options.panels import OUTPUT, option
from agent.cli.setup.settings_files import settings_digest, step_of, task_settings, user_settings
from agent.cli.trust import agree_to_settings
from agent.errors import UsageError

OnEnd = Annotated[
    str | None,
    option(OUTPUT, "Shell command to run when the run ends, with a JSON document as its input.", metavar="CMD"),
]
OnConfirmed = Annotated[
    str | None,
    option(OUTPUT, "Shell command to run for each gain that a fresh run confirms, likewise.", metavar="CMD"),
]

END, CONFIRMED = "end", "confirmed"
"""The events, as AUTOCENTAUR_EVENT and the document name them."""
SETTING = {END: "on-end", CONFIRMED: "on-confirmed"}
"""The setting of each event."""


@dataclass(frozen=True)
class UserCommand:
    """A shell command of the user or, once the user has agreed, of a task's file."""

    line: str
    task_folder: Path | None = None  # of the task whose file sets it; None: the user set it
    digest: str = ""  # of what the user agreed to, if a task's file sets it

    @contextmanager
    def place(self) -> Iterator[Path | None]:
        """Yield the folder to run in; None: the current one.

        Raises:
            UsageError, TaskError: the file of the task, or a file that its commands name, is not what was agreed to.
        """
        if self.task_folder is None:
            yield None
            return
        with TemporaryDirectory(prefix="autocentaur-command-", ignore_cleanup_errors=True) as copy:
            if settings_digest(task_settings(self.task_folder), self.task_folder, Path(copy)) != self.digest:
                raise UsageError(f"what the user agreed to in {self.task_folder} has changed since")
            yield Path(copy)


@dataclass(frozen=True)
class UserCommands:
    """The commands of a run, by event, and the environment that they get."""

    by_event: Mapping[str, UserCommand] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def variables_of(self, command: UserCommand) -> dict[str, str]:
        """Return the environment of a command: the user's own or, of a task's file, without the keys of models."""
        from agent.llm.gateway.dialects import DIALECTS
        from agent.server.runner import CONSENT_VARIABLE

        hidden = {CONSENT_VARIABLE}  # consent to one task; a command that starts another run asks anew
        if command.task_folder is not None:
            providers = [row.provider for row in DIALECTS.values()]
            hidden |= {name for each in providers for name in (each.key_variable, each.address_variable)}
        return {name: value for name, value in self.variables.items() if name not in hidden}


NO_COMMANDS = UserCommands()


def folder_of_file(task_folder: Path, mode: str, of_trial: str | None) -> Path | None:
    """Return the folder whose file may set commands for a run; None if there is none.

    There is none for a run from a trial, whose script is not the folder's; and none for a mode in which clients submit
    changes, since a client that can write to the folder could set a command.
    """
    from agent.modes.registry import find_mode

    row = find_mode(mode)
    return None if of_trial is not None or (row is not None and row.awaits_submissions) else task_folder


def chosen_commands(
    on_end: str | None, on_confirmed: str | None, task_folder: Path | None, *, trusted: bool
) -> UserCommands:
    """Return the commands of a run: each from its option, else from the task's file, else from the user's file.

    Called before anything changes the environment, of which the commands get a copy.

    Args:
        on_end, on_confirmed: of the command line; None: not given; blank: no command, whatever the files set.
        task_folder: where the task's file is; None: it does not count.
        trusted: whether the user has agreed, with this command, to what the file of the task sets.

    Raises:
        UsageError: a file is invalid, or the user has not agreed to that of the task.
    """
    options = {END: on_end, CONFIRMED: on_confirmed}
    variables, users = dict(os.environ), user_settings()
    tasks = task_settings(task_folder) if task_folder is not None else {}
    found = {}
    for event, key in SETTING.items():
        own = options[event]
        if own is not None:
            if own.strip():
                found[event] = UserCommand(own)
        elif task_folder is not None and key in tasks:
            step = step_of(tasks, task_folder)
            agree_to_settings(step, task_folder, trusted=trusted)
            found[event] = UserCommand(tasks[key].value, task_folder, step.digest)
        elif key in users:
            found[event] = UserCommand(users[key].value)
    return UserCommands(found, variables)
