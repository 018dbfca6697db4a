"""Gemini CLI: https://geminicli.com/docs/tools/mcp-server and https://geminicli.com/docs/cli/trusted-folders."""

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, McpServer, Places
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, places: Places) -> tuple[SettingsFile, ...]:
    """Return the server for this project, and in the user's own settings that the project is trusted.

    Gemini CLI reads the settings of a trusted folder only. `trust` lets it call the server's tools without a question.
    """
    entry = {
        "command": server.command[0],
        "args": list(server.command[1:]),
        "timeout": CALL_SECONDS * 1000,  # of one call, in ms
        "trust": True,
    }
    return (
        SettingsFile(
            places.project / ".gemini" / "settings.json",
            (SettingsEntry(("mcpServers", SERVER_NAME), entry, is_ours=True),),
        ),
        SettingsFile(
            places.own / "trustedFolders.json", (SettingsEntry((str(places.project),), "TRUST_FOLDER"),), is_own=True
        ),
    )
