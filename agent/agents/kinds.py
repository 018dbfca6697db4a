"""The coding agents by name, one row each.

A coding agent is a file that has `configuration(server, folders)`, `headless(request)`, `shell_call(command)` and
`final_message(stdout)`, and a row of AGENTS.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.agents.login import Login, first_place

if TYPE_CHECKING:
    from agent.agents.connection import McpServer, SettingsFolders
    from agent.agents.headless import FinalMessage, HeadlessCommand, HeadlessRequest
    from agent.agents.settings import SettingsFile


@dataclass(frozen=True)
class CodingAgent:
    """A coding agent of another vendor."""

    name: str
    title: str  # what its vendor calls it
    module: str  # with the functions above
    package: str  # at npm
    tested: str  # the version that our tests run
    dialect: str  # in which it calls its model: a row of agent.llm.gateway.dialects
    own_folder: tuple[str, str]  # of the user's settings: the first whose variable is set
    skills: str  # the folder of a project in which it looks for skills (pages of instructions)
    login: Login  # of a subscription; see --agent-login

    def configuration(self, server: "McpServer", folders: "SettingsFolders") -> "Sequence[SettingsFile]":
        """Return the settings files with which the agent starts a server, and calls its tools without asking."""
        found: Sequence[SettingsFile] = importlib.import_module(self.module).configuration(server, folders)
        return found

    def headless(self, request: "HeadlessRequest") -> "HeadlessCommand":
        """Return the command for one request, without a person."""
        command: HeadlessCommand = importlib.import_module(self.module).headless(request)
        return command

    def final_message(self, stdout: str) -> "FinalMessage":
        """Return the last message in what that command printed; to its standard error, if it printed nothing else."""
        message: FinalMessage = importlib.import_module(self.module).final_message(stdout)
        return message

    def shell_call(self, command: str) -> tuple[str, dict[str, str]]:
        """Return the tool by which the agent's model runs a shell command, and its arguments."""
        call: tuple[str, dict[str, str]] = importlib.import_module(self.module).shell_call(command)
        return call

    @property
    def remedy(self) -> str:
        """How to install it."""
        return f"install {self.title}: npm install -g {self.package}@{self.tested}"

    def own_folder_in(self, environment: Mapping[str, str]) -> Path:
        """Return the absolute path of the agent's folder of a user's own settings. Raises UsageError without HOME."""
        return first_place(self.own_folder, environment)


_ROWS = (
    CodingAgent(
        "claude", "Claude Code", "agent.agents.claude", "@anthropic-ai/claude-code", "2.1.197", "messages",
        ("$CLAUDE_CONFIG_DIR", "$HOME/.claude"), ".claude/skills",
        Login(
            ("$CLAUDE_CONFIG_DIR/.credentials.json", "$HOME/.claude/.credentials.json"),
            ".claude/.credentials.json",
            ("api.anthropic.com", "platform.claude.com", "console.anthropic.com"),
            "claude, and then /login",
        ),
    ),
    CodingAgent(
        "codex", "Codex", "agent.agents.codex", "@openai/codex", "0.171.0", "responses",
        ("$CODEX_HOME", "$HOME/.codex"), ".agents/skills",
        Login(
            ("$CODEX_HOME/auth.json", "$HOME/.codex/auth.json"),
            ".codex/auth.json",
            ("chatgpt.com", "auth.openai.com", "api.openai.com"),
            "codex login",
        ),
    ),
    CodingAgent(
        "opencode", "OpenCode", "agent.agents.opencode", "opencode-ai", "1.18.33", "chat",
        ("$XDG_CONFIG_HOME/opencode", "$HOME/.config/opencode"), ".claude/skills",
        Login(
            ("$XDG_DATA_HOME/opencode/auth.json", "$HOME/.local/share/opencode/auth.json"),
            ".local/share/opencode/auth.json",
            (
                *("api.anthropic.com", "platform.claude.com", "console.anthropic.com", "api.githubcopilot.com"),
                *("chatgpt.com", "auth.openai.com", "api.openai.com", "opencode.ai"),
            ),
            "opencode auth login",
        ),
    ),
    CodingAgent(
        "gemini", "Gemini CLI", "agent.agents.gemini", "@google/gemini-cli", "0.61.0", "gemini",
        ("$GEMINI_CLI_HOME/.gemini", "$HOME/.gemini"), ".agents/skills",
        Login(
            ("$GEMINI_CLI_HOME/.gemini/oauth_creds.json", "$HOME/.gemini/oauth_creds.json"),
            ".gemini/oauth_creds.json",
            ("cloudcode-pa.googleapis.com", "oauth2.googleapis.com"),
            "gemini, and then choose to sign in with Google",
        ),
    ),
)  # fmt: skip
AGENTS = {row.name: row for row in _ROWS}
