"""A coding agent's headless command: how it is started for one request, and how its output is read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOME = "/tmp/home"
"""The agent's home folder inside its sandbox; it is deleted with the sandbox."""

PLACEHOLDER_KEY = "placeholder-key"
"""The key that an agent is given: it opens nothing, and the gateway replaces it by the real one."""


@dataclass(frozen=True)
class HeadlessRequest:
    """One request to an agent, and the address of its model."""

    prompt: str
    folder: str  # with the script, inside the sandbox
    base_url: str  # of the gateway, without a path
    model: str
    program: str  # the file that starts the agent, inside the sandbox
    key: str = field(default=PLACEHOLDER_KEY, kw_only=True)
    proxy: str = field(default="", kw_only=True)  # address of the HTTPS proxy for --agent-login; empty: use the gateway

    @property
    def proxy_variables(self) -> dict[str, str]:
        """The environment variables that let a client use the proxy for HTTPS."""
        return {"HTTPS_PROXY": self.proxy, "https_proxy": self.proxy, "NO_PROXY": "127.0.0.1,localhost"}


@dataclass(frozen=True)
class HeadlessCommand:
    """How to start an agent for one request."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    home_files: Mapping[str, str] = field(default_factory=dict)  # below HOME, by path


@dataclass(frozen=True)
class FinalMessage:
    """The last message that an agent printed. It is untrusted: usage and edit are never taken from it."""

    text: str = ""
    error: str = ""  # why it failed, as the agent reports; empty without a failure
    session: str = ""  # id of the session, as the agent reports it


@dataclass(frozen=True)
class Program:
    """An agent's program on this machine.

    Attributes:
        inside: the file that starts it, inside the sandbox.
        mounts: folders of this machine that it needs, by their paths inside the sandbox.
        folders: folders at the front of PATH, inside the sandbox.
    """

    inside: str
    mounts: Mapping[str, Path] = field(default_factory=dict)
    folders: tuple[str, ...] = ()


def json_lines(output: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in an output, one a line; other lines are skipped."""
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def text_of(document: Mapping[str, Any], *keys: str) -> str:
    """Return the text at a path of keys; empty if there is none."""
    found: Any = document
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def plain_error(text: str) -> str:
    """Return the message in an error that is its provider's JSON document; any other text as it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return (text_of(found, "error", "message") if isinstance(found, dict) else "") or text
