"""The subscription log-in of a coding agent: its files on this machine, and the hosts that the agent calls with it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import MissingRequirementError, UnsafeFileError, UsageError
from agent.files import read_text

MOST_LOGIN_BYTES = 65_536
_SHORTEST_SECRET = 16  # characters; shorter values, such as the name of a plan, are no tokens


@dataclass(frozen=True)
class Login:
    """Where an agent stores the log-in of a subscription, and which hosts it needs.

    Attributes:
        places: the file on this machine, as `$VARIABLE/path`; the first whose variable is set counts.
        file: the same file inside the agent's home folder in the sandbox.
        hosts: lower-case DNS names of the model's endpoint and of the endpoint that renews tokens.
        command: what the user runs to log in.
    """

    places: tuple[str, ...]
    file: str
    hosts: tuple[str, ...]
    command: str

    def path_in(self, variables: Mapping[str, str]) -> Path:
        """Return the absolute path of the file. Raises UsageError if no variable is set."""
        return first_place(self.places, variables)

    def read(self, variables: Mapping[str, str]) -> str:
        """Return the content of the file, a JSON object.

        Raises:
            MissingRequirementError: there is no such file, or it holds no log-in.
            UsageError: it cannot be read.
        """
        path = self.path_in(variables).resolve()  # users link their own settings
        try:
            text = read_text(path, MOST_LOGIN_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingRequirementError(
                f"there is no log-in at {path}; run `{self.command}`, or leave out --agent-login and set a key"
            ) from None
        except UnsafeFileError as error:
            raise UsageError(str(error)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read ({error}); correct that, or run `{self.command}` again") from None
        if not secrets_in(text):
            raise MissingRequirementError(f"{path} holds no log-in; run `{self.command}`")
        return text


def first_place(places: tuple[str, ...], variables: Mapping[str, str]) -> Path:
    """Return the first of `$VARIABLE/path` whose variable is set, as an absolute path. Raises UsageError if none is."""
    for place in places:
        name, _, below = place.removeprefix("$").partition("/")
        if variables.get(name):
            return Path(variables[name], below).absolute()
    raise UsageError("HOME is not set; set it to your home folder")


def secrets_in(text: str) -> tuple[str, ...]:
    """Return the texts in a log-in file, a JSON object, that may be tokens; none if it is no such file."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    found = _texts(document) if isinstance(document, dict) else ()
    return tuple(dict.fromkeys(value for value in found if len(value) >= _SHORTEST_SECRET))


def _texts(document: Any) -> Iterator[str]:
    """Yield all texts in JSON data, without the names of fields."""
    todo = [document]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            todo.extend(value.values() if isinstance(value, dict) else value)
