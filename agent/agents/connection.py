"""A coding agent's connection to our MCP server: what the settings of every agent need."""

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
        variables: names of the environment variables that it reads, for agents that pass on only those they know.
    """

    command: tuple[str, ...]
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Places:
    """Where an agent keeps settings. Both are absolute paths.

    Attributes:
        project: the folder in which a person starts the agent.
        own: the agent's folder of this user's own settings.
    """

    project: Path
    own: Path
