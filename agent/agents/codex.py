"""Codex: https://developers.openai.com/codex/mcp and https://developers.openai.com/codex/config-reference."""

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, START_SECONDS, McpServer, Places
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, places: Places) -> tuple[SettingsFile, ...]:
    """Return the server for this project, and in the user's own settings that the project is trusted.

    Codex reads the settings of a trusted project only. Without `required` it does not wait for the server to start, and
    its model has ended before it learns of the tools; without the approval mode, `codex exec` refuses every call.
    """
    entry = {
        "command": server.command[0],
        "args": list(server.command[1:]),
        "required": True,
        "default_tools_approval_mode": "approve",
        "startup_timeout_sec": START_SECONDS,
        "tool_timeout_sec": CALL_SECONDS,
    }
    if server.variables:
        entry["env_vars"] = list(server.variables)  # it passes on PATH, HOME and few others by itself
    return (
        SettingsFile(
            places.project / ".codex" / "config.toml",
            (SettingsEntry(("mcp_servers", SERVER_NAME), entry, is_ours=True),),
        ),
        SettingsFile(
            places.own / "config.toml",
            (SettingsEntry(("projects", str(places.project), "trust_level"), "trusted"),),
            is_own=True,
        ),
    )
