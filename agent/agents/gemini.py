"""Gemini CLI: https://geminicli.com/docs/tools/mcp-server and https://geminicli.com/docs/cli/trusted-folders."""

import json
import re

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, McpServer, SettingsFolders
from agent.agents.headless import HOME, FinalMessage, HeadlessCommand, HeadlessRequest, plain_error, text_of
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, folders: SettingsFolders) -> tuple[SettingsFile, ...]:
    """Return the settings that start the server in this project, and mark the project as trusted by this user.

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
            folders.project / ".gemini" / "settings.json",
            (SettingsEntry(("mcpServers", SERVER_NAME), entry, is_ours=True),),
        ),
        SettingsFile(
            folders.own / "trustedFolders.json", (SettingsEntry((str(folders.project),), "TRUST_FOLDER"),), is_own=True
        ),
    )


def headless(request: HeadlessRequest) -> HeadlessCommand:
    """Return `gemini -p` for one request. It ignores SIGTERM for 15 s; our sandbox ends it by SIGKILL."""
    settings = {
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False, "disableUpdateNag": True, "maxAttempts": 3},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "security": {
            "auth": {"selectedType": "oauth-personal" if request.proxy else "gemini-api-key"},
            "folderTrust": {"enabled": False},
        },
        "tools": {"exclude": ["google_web_search", "web_fetch", "save_memory"]},
        "context": {"fileName": "NONE.md"},
    }
    argv = (
        *(request.program, "-p", request.prompt, "-m", request.model, "-o", "json"),
        *("--skip-trust", "--approval-mode", "yolo"),
    )
    gateway = {"GEMINI_API_KEY": request.key, "GOOGLE_GEMINI_BASE_URL": request.base_url}
    environment = {
        **(request.proxy_variables if request.proxy else gateway),
        "GEMINI_CLI_HOME": HOME,
        "GEMINI_TELEMETRY_ENABLED": "false",
    }
    return HeadlessCommand(argv, environment, {".gemini/settings.json": json.dumps(settings)})


def shell_call(command: str) -> tuple[str, dict[str, str]]:
    """Return the tool by which its model runs a shell command, and the arguments."""
    return "run_shell_command", {"command": command, "description": "edit the file"}


def final_message(stdout: str) -> FinalMessage:
    """Return the last message of an agent's output: one JSON document, perhaps after other lines.

    After a failure the document is at the end of the standard error.
    """
    begins = [match.start() for match in re.finditer(r"^\{$", stdout, re.MULTILINE)] or [max(0, stdout.find("{"))]
    try:
        found = json.loads(stdout[begins[-1] :])
    except (ValueError, RecursionError):
        return FinalMessage(error="it printed no result")
    if not isinstance(found, dict):
        return FinalMessage(error="it printed no result")
    error = plain_error(text_of(found, "error", "message"))
    return FinalMessage(text_of(found, "response"), error, text_of(found, "session_id"))
