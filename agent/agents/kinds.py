"""The coding agents by name, one row each.

A coding agent is a file that has `configuration(server, places)`, and a row of AGENTS.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.agents.connection import McpServer, Places
    from agent.agents.settings import SettingsFile


@dataclass(frozen=True)
class CodingAgent:
    """One coding agent, as a person starts it."""

    name: str
    title: str  # what its vendor calls it
    module: str  # has `configuration(server, places)`
    package: str  # at npm
    tested: str  # the version that our tests run
    own_folder: tuple[str, str]  # of a user's own settings: within the folder that a variable names, else within HOME

    def configuration(self, server: "McpServer", places: "Places") -> "Sequence[SettingsFile]":
        """Return what to put into which files, so that the agent starts a server and asks nothing about its tools."""
        found: Sequence[SettingsFile] = importlib.import_module(self.module).configuration(server, places)
        return found

    def own_folder_in(self, environment: Mapping[str, str]) -> Path:
        """Return the absolute path of the agent's folder of a user's own settings. Raises UsageError without HOME."""
        for choice in self.own_folder:
            variable, _, below = choice.removeprefix("$").partition("/")
            if environment.get(variable):
                return Path(environment[variable], below).absolute()
        raise UsageError(f"HOME is not set, and it is where {self.title} keeps its settings: set it")


_ROWS = (
    CodingAgent(
        "claude", "Claude Code", "agent.agents.claude", "@anthropic-ai/claude-code", "2.1.197",
        ("$CLAUDE_CONFIG_DIR", "$HOME/.claude"),
    ),
    CodingAgent("codex", "Codex", "agent.agents.codex", "@openai/codex", "0.171.0", ("$CODEX_HOME", "$HOME/.codex")),
    CodingAgent(
        "opencode", "OpenCode", "agent.agents.opencode", "opencode-ai", "1.18.33",
        ("$XDG_CONFIG_HOME/opencode", "$HOME/.config/opencode"),
    ),
    CodingAgent(
        "gemini", "Gemini CLI", "agent.agents.gemini", "@google/gemini-cli", "0.61.0",
        ("$GEMINI_CLI_HOME/.gemini", "$HOME/.gemini"),
    ),
)  # fmt: skip
AGENTS = {row.name: row for row in _ROWS}
