"""OpenCode: https://opencode.ai/docs/mcp-servers and https://opencode.ai/docs/permissions."""

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, McpServer, Places
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, places: Places) -> tuple[SettingsFile, ...]:
    """Return the server for this project, and that its tools may be called without a question.

    The timeout, in ms, is that of each request to the server: by default it gives a call up after 60 s.
    """
    entry = {"type": "local", "command": list(server.command), "enabled": True, "timeout": CALL_SECONDS * 1000}
    settings = (
        SettingsEntry(("mcp", SERVER_NAME), entry, is_ours=True),
        SettingsEntry(("permission", f"{SERVER_NAME}_*"), "allow"),
    )
    return (SettingsFile(places.project / "opencode.json", settings),)
