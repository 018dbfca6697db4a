"""OpenCode: https://opencode.ai/docs/mcp-servers and https://opencode.ai/docs/permissions."""

import json
from typing import Any

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, McpServer, SettingsFolders
from agent.agents.headless import FinalMessage, HeadlessCommand, HeadlessRequest, json_lines, text_of
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, folders: SettingsFolders) -> tuple[SettingsFile, ...]:
    """Return the settings that start the server in this project, and allow its tools.

    The timeout, in ms, is that of each request to the server: its default is 60 s.
    """
    entry = {"type": "local", "command": list(server.command), "enabled": True, "timeout": CALL_SECONDS * 1000}
    settings = (
        SettingsEntry(("mcp", SERVER_NAME), entry, is_ours=True),
        SettingsEntry(("permission", f"{SERVER_NAME}_*"), "allow"),
    )
    return (SettingsFile(folders.project / "opencode.json", settings),)


def headless(request: HeadlessRequest) -> HeadlessCommand:
    """Return `opencode run` for one request. With a log-in, the model is named PROVIDER/MODEL."""
    model = request.model if request.proxy else f"gateway/{request.model}"
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "lsp": False,
        "formatter": False,
        "model": model,
        "small_model": model,
        **({} if request.proxy else _gateway(request)),
        "permission": {
            **dict.fromkeys(("edit", "bash"), "allow"),
            **dict.fromkeys(("webfetch", "websearch", "external_directory", "doom_loop", "task", "skill"), "deny"),
        },
    }
    variables = ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "PROJECT_CONFIG", "CLAUDE_CODE"]
    variables += [] if request.proxy else ["DEFAULT_PLUGINS"]  # these read a subscription's log-in
    environment = {f"OPENCODE_DISABLE_{name}": "1" for name in variables}
    environment["OPENCODE_CONFIG_CONTENT"] = json.dumps(settings)
    if request.proxy:
        environment |= request.proxy_variables
    return HeadlessCommand((request.program, "run", "--format", "json", "--pure", request.prompt), environment)


def _gateway(request: HeadlessRequest) -> dict[str, Any]:
    """Return the settings that make the gateway the only provider."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "gateway",
        "options": {"baseURL": f"{request.base_url}/v1", "apiKey": request.key},
        "models": {request.model: {"name": request.model, "limit": {"context": 128_000, "output": 8192}}},
    }
    return {"enabled_providers": ["gateway"], "provider": {"gateway": provider}}


def shell_call(command: str) -> tuple[str, dict[str, str]]:
    """Return the tool by which its model runs a shell command, and the arguments."""
    return "bash", {"command": command, "description": "edit the file"}


def final_message(stdout: str) -> FinalMessage:
    """Return the last message of an agent's output: one JSON object a line."""
    text, session, error = "", "", ""
    for event in json_lines(stdout):
        session = text_of(event, "sessionID") or session
        match event.get("type"):
            case "text":
                text = text_of(event, "part", "text")
            case "error":
                error = text_of(event, "error", "data", "message") or text_of(event, "error", "name") or "it failed"
    return FinalMessage(text, error, session)
