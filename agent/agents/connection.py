"""A coding agent's connection to our MCP server: the values that the settings of every agent need."""

from dataclasses import dataclass
from pathlib import Path

SERVER_NAME = "autocentaur"
"""The name of the server in an agent's settings; the agent puts it before the names of the tools."""

START_SECONDS = 60
"""Seconds that an agent waits for the server to start: 2 s on an idle machine, more on a busy one."""

CALL_SECONDS = 600
"""Seconds that an agent waits for one call. A call returns within 50 s, later on a busy machine."""


@dataclass(frozen=True)
class McpServer:
    """A server that speaks MCP on its standard input and output.

    Attributes:
        command: program and arguments; absolute paths, since an agent may start it in any folder.
        variables: names of the environment variables that it reads; some agents pass on no others.
    """

    command: tuple[str, ...]
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class SettingsFolders:
    """The folders with an agent's settings, as absolute paths.

    Attributes:
        project: the folder in which a person starts the agent.
        own: the agent's folder of this user's own settings.
    """

    project: Path
    own: Path
