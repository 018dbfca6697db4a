"""A coding agent that the user gives as a command line with placeholders for the request."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from agent.agents.headless import FinalMessage, HeadlessCommand, HeadlessRequest
from agent.errors import UsageError

_INSIDE = "/agent/files"
PYTHONS = ("python", "python3")
"""Programs for which the sandbox uses its own interpreter: one in a user's folder would lack its libraries."""
PLACEHOLDERS = ("{prompt}", "{folder}", "{base_url}", "{model}")


def split_command(command: str) -> tuple[str, ...]:
    """Return the words of a command line such as 'my-agent --task {prompt} --api {base_url}/v1'.

    Raises:
        UsageError: it cannot be parsed, or has no {prompt}.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as fault:
        raise UsageError(f"--agent {command!r}: {fault}; quote it as for a shell") from None
    if not words or not any("{prompt}" in word for word in words[1:]):
        raise UsageError(f"--agent {command!r}: write the command with {{prompt}} where the request goes, "
                         f"and {', '.join(PLACEHOLDERS[1:])} where it needs them")  # fmt: skip
    return words


def with_absolute_paths(command: str) -> str:
    """Return a command line with absolute paths of the files that it names, so that it means the same in any folder.

    Raises:
        UsageError: as for `split_command`.
    """
    program, *rest = split_command(command)
    return shlex.join([program if os.sep not in program else os.path.abspath(program), *map(_absolute, rest)])


def mount_files(words: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, Path]]:
    """Return a command's words with paths inside the sandbox, and the files that they name, by those paths."""
    mounts = {f"{_INSIDE}/{n}/{Path(word).name}": Path(word) for n, word in enumerate(words) if n and _is_file(word)}
    inside = {str(path): target for target, path in mounts.items()}
    return (words[0], *(inside.get(word, word) for word in words[1:])), mounts


def headless(words: tuple[str, ...], request: HeadlessRequest) -> HeadlessCommand:
    """Return the user's command for one request, with the usual variables for address and key of each provider."""
    values = {
        "{prompt}": request.prompt,
        "{folder}": request.folder,
        "{base_url}": request.base_url,
        "{model}": request.model,
    }
    argv = (request.program, *(_filled(word, values) for word in words[1:]))
    environment = {
        "OPENAI_BASE_URL": f"{request.base_url}/v1",
        "ANTHROPIC_BASE_URL": request.base_url,
        "GOOGLE_GEMINI_BASE_URL": request.base_url,
        **dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), request.key),
    }
    return HeadlessCommand(argv, environment)


def final_message(stdout: str) -> FinalMessage:
    """Return what the command printed."""
    return FinalMessage(stdout.strip())


def _is_file(word: str) -> bool:
    """Whether a word of a command names a file of this machine, which the agent may then read."""
    return not any(each in word for each in PLACEHOLDERS) and os.path.isfile(word)


def _absolute(word: str) -> str:
    return os.path.abspath(word) if _is_file(word) else word


def _filled(word: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value) if placeholder != "{prompt}" else word
    return word.replace("{prompt}", values["{prompt}"])
