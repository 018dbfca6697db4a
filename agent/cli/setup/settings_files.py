"""The user's settings: where options start from, in `config.toml` of the user and `autocentaur.toml` beside a task.

An option on the command line wins over the environment, that over the file of the task, that over the user's file. A
task can come from a stranger. So its file counts only once the user has agreed to what it sets, as with a command that
prepares data; of two caps the lower counts; and it never says where a model's key is sent.
"""

import json
import os
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from agent.cli.options import config_folder
from agent.errors import UnsafeFileError, UsageError
from agent.execution.sandboxes import SANDBOXES
from agent.files import read_text
from agent.task.host_commands.host_code import HostStep
from agent.task.host_commands.host_files import Parts, digest_files, named_files
from agent.task.toml_lines import hidden_text, line_of
from agent.text import one_line

USER_FILE = "config.toml"
"""Name of the user's file, in the folder of the user's configuration."""
TASK_FILE = "autocentaur.toml"
"""Name of the file of a task, beside its task.toml."""

_MOST_BYTES = 2**16
_KEY_GOES_THERE = "your key would be sent there"
_OUTSIDE = " (runs outside of the sandbox)"


@dataclass(frozen=True)
class SettingKey:
    """One key of the files: the name of an option, without its dashes."""

    key: str
    check: Callable[[Any], None]  # raises ValueError with what the value should be
    is_cap: bool = False  # the file of a task can only lower it
    not_in_tasks: str = ""  # why the file of a task may not set it; empty: it may
    is_command: bool = False  # a shell runs it on this machine, outside of the sandbox

    @property
    def field(self) -> str:
        """The name of the option as a parameter of a command."""
        return self.key.replace("-", "_")


@dataclass(frozen=True)
class Chosen:
    """The value of a setting, and where it is from."""

    value: Any
    source: str  # a file with its line, or a variable of the environment


def _text(value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text in quotes")


def _count(least: int) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if type(value) is not int or value < least:
            raise ValueError(f"a whole number of {least} or more")

    return check


def _number(value: Any) -> None:
    if type(value) not in (int, float) or not isfinite(value) or value <= 0:
        raise ValueError("a number greater than 0")


def _duration(value: Any) -> None:
    from agent.trials.budget import seconds

    try:
        seconds(value if isinstance(value, str) and not value.strip().isdigit() else "")
    except UsageError:
        raise ValueError('a duration in quotes, such as "90s", "30m", "24h" or "2d"') from None


def _price(value: Any) -> None:
    from agent.llm.prices import spoken_price

    try:
        spoken_price(value if isinstance(value, str) else "")
    except UsageError:
        raise ValueError('dollars per million tokens in and out, such as "0.25,2"') from None


def _address(value: Any) -> None:
    from agent.errors import MissingRequirementError
    from agent.llm.endpoint.address import checked_address, public_address

    _text(value)
    try:
        address = checked_address(value)
    except MissingRequirementError:
        raise ValueError("the address of an endpoint, such as http://localhost:8000/v1") from None
    if public_address(address) != address:
        raise ValueError("an address without a password or key; put the whole one into OPENAI_BASE_URL")


def _sandbox(value: Any) -> None:
    if value not in SANDBOXES:
        raise ValueError(f"one of {', '.join(SANDBOXES)}")


_ROWS = (
    SettingKey("model", _text),
    SettingKey("base-url", _address, not_in_tasks=_KEY_GOES_THERE),
    SettingKey("price", _price),
    SettingKey("trials", _count(1), is_cap=True),
    SettingKey("budget", _duration, is_cap=True),
    SettingKey("wall", _duration, is_cap=True),
    SettingKey("max-cost", _number, is_cap=True),
    SettingKey("max-tokens", _count(1), is_cap=True),
    SettingKey("workers", _count(1)),
    SettingKey("queue", _count(0)),
    SettingKey("gpus", _text),
    SettingKey("sandbox", _sandbox),
    SettingKey("on-end", _text, is_command=True),
    SettingKey("on-confirmed", _text, is_command=True),
)
SETTINGS = {row.key: row for row in _ROWS}


def user_settings() -> dict[str, Chosen]:
    """Return the settings in the user's file, by key; none if there is no such file. Raises UsageError."""
    path = config_folder() / USER_FILE
    try:
        text = path.read_text(encoding="utf-8")  # a link is fine here: it is the user's own
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path} cannot be read: {fault}") from None
    return _parsed(path, text)


def task_settings(folder: Path) -> dict[str, Chosen]:
    """Return the settings in the file beside a task, by key; none if there is no such file.

    Raises:
        UsageError: it cannot be read, has an unknown key, or sets what only the user may.
    """
    path = folder / TASK_FILE
    try:
        text = read_text(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (UnsafeFileError, OSError, UnicodeDecodeError):
        raise UsageError(f"{path} must be a plain UTF-8 file of at most {_MOST_BYTES // 1024} KiB") from None
    found = _parsed(path, text)
    for key, chosen in found.items():
        if why := SETTINGS[key].not_in_tasks:
            raise UsageError(
                f"{chosen.source}: {key} is not for the file of a task, since {why}; "
                f"set it in {config_folder() / USER_FILE}, or with --{key}"
            )
    return found


def _parsed(path: Path, text: str) -> dict[str, Chosen]:
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise UsageError(f"{path}: {one_line(str(fault))}") from None
    if hidden := hidden_text(data):
        raise UsageError(f"{path}:{line_of(text, hidden[0])}: the invisible character {hidden[1]}; remove it")
    found = {}
    for key, value in data.items():
        where = f"{path}:{line_of(text, (key,))}"
        if key not in SETTINGS:
            near = get_close_matches(key.replace("_", "-"), SETTINGS, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTINGS)}"
            raise UsageError(f"{where}: unknown key {one_line(key)}; {meant}")
        try:
            SETTINGS[key].check(value)
        except ValueError as wanted:
            raise UsageError(f"{where}: {key}: it should be {wanted}, not {one_line(repr(value))[:60]}") from None
        found[key] = Chosen(value, where)
    for chosen in [found["price"]] if "price" in found and "model" not in found else []:
        raise UsageError(f"{chosen.source}: price needs the model that it is the price of, in the same file")
    return found


def merged(users: Mapping[str, Chosen], tasks: Mapping[str, Chosen]) -> dict[str, Chosen]:
    """Return the settings of both files: those of the task, but the lower cap, and a price only with its own model."""
    found = {**users, **tasks}
    for key in users.keys() & tasks.keys():
        if SETTINGS[key].is_cap:
            found[key] = min(users[key], tasks[key], key=lambda chosen: _amount(chosen.value))
    if "model" in tasks and "price" not in tasks:
        found.pop("price", None)
    return found


def _amount(value: Any) -> float:
    from agent.trials.budget import seconds

    return seconds(value) if isinstance(value, str) else float(value)


def step_of(tasks: Mapping[str, Chosen], folder: Path) -> HostStep:
    """Return what the file of a task sets, as a step that the user agrees to. Raises TaskError as `settings_digest`."""
    pairs = [(key, one_line(json.dumps(chosen.value))) for key, chosen in sorted(tasks.items())]
    shown = [f"{key} = {text}{_OUTSIDE if SETTINGS[key].is_command else ''}" for key, text in pairs]
    return HostStep(f"its {TASK_FILE} sets {', '.join(shown)}", settings_digest(tasks, folder))


def settings_digest(tasks: Mapping[str, Chosen], folder: Path, into: Path | None = None) -> str:
    """Return the digest of what the file of a task sets, and of the files that its commands name.

    Args:
        folder: of the task.
        into: copy these files there as they are read.

    Raises:
        TaskError: a file of a command cannot be read, or there are too many.
    """
    values = {key: chosen.value for key, chosen in sorted(tasks.items())}
    words = [word for key, value in values.items() if SETTINGS[key].is_command for word in _words(value)]
    parts: Parts = {os.path.relpath(path, folder.absolute()): path for path in named_files(folder, words)}
    return digest_files(parts, json.dumps(["settings", values]), into)


def _words(line: str) -> list[str]:
    """Return the words of a shell command, which may name files."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:  # a quote is open, as in a text for another program
        return line.split()
