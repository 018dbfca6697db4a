"""Claude Code: https://code.claude.com/docs/en/mcp and https://code.claude.com/docs/en/settings."""

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, START_SECONDS, McpServer, Places
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, places: Places) -> tuple[SettingsFile, ...]:
    """Return the server for this project, and that it may be used: for this user and project, and by this user.

    Claude Code sends its first request to the model without the tools of a server that is not ready, and a model that
    is asked one thing has ended before it learns of them. `alwaysLoad` lets it wait, for MCP_CONNECT_TIMEOUT_MS: 5 s by
    default, which a server on a busy machine exceeds. The tools are allowed in the user's own settings, because those
    of a project count only after a person has answered that its folder is trusted, which `claude -p` does not ask.
    """
    entry = {
        "type": "stdio",
        "command": server.command[0],
        "args": list(server.command[1:]),
        "timeout": CALL_SECONDS * 1000,  # of one call, in ms
        "alwaysLoad": True,
    }
    allowed = (
        SettingsEntry(("enabledMcpjsonServers",), [SERVER_NAME]),
        SettingsEntry(("env", "MCP_CONNECT_TIMEOUT_MS"), str(START_SECONDS * 1000)),
    )
    return (
        SettingsFile(places.project / ".mcp.json", (SettingsEntry(("mcpServers", SERVER_NAME), entry, is_ours=True),)),
        SettingsFile(places.project / ".claude" / "settings.local.json", allowed),
        SettingsFile(
            places.own / "settings.json",
            (SettingsEntry(("permissions", "allow"), [f"mcp__{SERVER_NAME}"]),),
            is_own=True,
        ),
    )
