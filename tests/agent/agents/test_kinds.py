"""The table of coding agents, and the settings with which each starts a server."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.agents.connection import McpServer, SettingsFolders
from agent.agents.kinds import AGENTS
from agent.errors import UsageError

SERVER = McpServer(("/env/bin/python", "-m", "agent", "mcp", "--trials", "5"), ("AUTOCENTAUR_CACHE",))
PLACES = SettingsFolders(Path("/home/me/project"), Path("/home/me/.own"))


def settings_of(name: str) -> dict[str, dict[str, Any]]:
    """Return what an agent's files hold, by path."""
    files = AGENTS[name].configuration(SERVER, PLACES)
    parse = {".json": json.loads, ".toml": tomllib.loads}
    return {str(file.path): parse[file.path.suffix](file.alone()) for file in files}


@pytest.mark.parametrize("name", AGENTS)
def test_each_agent_gets_the_command_and_may_wait(name: str) -> None:
    files = AGENTS[name].configuration(SERVER, PLACES)
    text = "".join(file.alone() for file in files)
    for word in SERVER.command:
        assert json.dumps(word) in text
    assert "600" in text  # seconds, or milliseconds
    for file in files:
        assert file.path.is_relative_to(PLACES.own if file.is_own else PLACES.project)


def test_codex_waits_for_the_server_and_asks_nothing() -> None:
    project, own = settings_of("codex").values()
    server = project["mcp_servers"]["autocentaur"]
    assert (server["required"], server["default_tools_approval_mode"]) == (True, "approve")
    assert server["env_vars"] == ["AUTOCENTAUR_CACHE"]
    assert own == {"projects": {"/home/me/project": {"trust_level": "trusted"}}}


def test_claude_code_waits_for_the_server_and_asks_nothing() -> None:
    server, project, own = settings_of("claude").values()
    assert server["mcpServers"]["autocentaur"]["alwaysLoad"] is True
    assert project == {"enabledMcpjsonServers": ["autocentaur"], "env": {"MCP_CONNECT_TIMEOUT_MS": "60000"}}
    assert own == {"permissions": {"allow": ["mcp__autocentaur"]}}


@pytest.mark.parametrize(
    ("name", "environment", "folder"),
    [
        ("codex", {"HOME": "/h"}, "/h/.codex"),
        ("codex", {"HOME": "/h", "CODEX_HOME": "/c"}, "/c"),
        ("claude", {"HOME": "/h", "CLAUDE_CONFIG_DIR": ""}, "/h/.claude"),
        ("gemini", {"HOME": "/h", "GEMINI_CLI_HOME": "/g"}, "/g/.gemini"),
        ("opencode", {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/opencode"),
    ],
)
def test_the_folder_of_a_users_own_settings(name: str, environment: dict[str, str], folder: str) -> None:
    assert AGENTS[name].own_folder_in(environment) == Path(folder)


def test_without_a_home_there_is_no_such_folder() -> None:
    with pytest.raises(UsageError, match="HOME is not set; set it to your home folder"):
        AGENTS["codex"].own_folder_in({})
