"""Codex: https://developers.openai.com/codex/mcp and https://developers.openai.com/codex/config-reference."""

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, START_SECONDS, McpServer, SettingsFolders
from agent.agents.headless import HOME, FinalMessage, HeadlessCommand, HeadlessRequest, json_lines, plain_error, text_of
from agent.agents.settings import SettingsEntry, SettingsFile


def configuration(server: McpServer, folders: SettingsFolders) -> tuple[SettingsFile, ...]:
    """Return the settings that start the server in this project, and mark the project as trusted by this user.

    Codex reads the settings of a trusted project only. Without `required` it does not wait for the server to start, and
    a short session ends before the tools arrive; without the approval mode, `codex exec` refuses every call.
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
            folders.project / ".codex" / "config.toml",
            (SettingsEntry(("mcp_servers", SERVER_NAME), entry, is_ours=True),),
        ),
        SettingsFile(
            folders.own / "config.toml",
            (SettingsEntry(("projects", str(folders.project), "trust_level"), "trusted"),),
            is_own=True,
        ),
    )


def headless(request: HeadlessRequest) -> HeadlessCommand:
    """Return `codex exec` for one request. Codex edits by shell commands; our sandbox is around it, not its own.

    The disabled features would contact three hosts at every start.
    """
    provider = (
        f'{{name="gateway",base_url="{request.base_url}/v1",env_key="GATEWAY_KEY",wire_api="responses",'
        "request_max_retries=2,stream_max_retries=2}"
    )
    access = (
        ("-c", 'cli_auth_credentials_store="file"')
        if request.proxy
        else ("-c", "model_provider=gateway", "-c", f"model_providers.gateway={provider}")
    )
    argv = (
        *(request.program, "exec", "--json", "--skip-git-repo-check", "--ignore-user-config", "--ignore-rules"),
        "--dangerously-bypass-approvals-and-sandbox",
        *("-m", request.model, *access),
        *("-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false", "-c", 'web_search="disabled"'),
        *("-c", "history.persistence=none", "--disable", "plugins", "--disable", "apps", "--disable", "remote_plugin"),
        request.prompt,
    )
    variables = request.proxy_variables if request.proxy else {"GATEWAY_KEY": request.key}
    return HeadlessCommand(argv, {"CODEX_HOME": f"{HOME}/.codex", **variables}, {".codex/.keep": ""})


def shell_call(command: str) -> tuple[str, dict[str, str]]:
    """Return the tool by which its model runs a shell command, and the arguments."""
    return "exec_command", {"cmd": command}


def final_message(stdout: str) -> FinalMessage:
    """Return the last message of an agent's output: one JSON object a line."""
    text, session, error = "", "", ""
    for event in json_lines(stdout):
        match event.get("type"):
            case "thread.started":
                session = text_of(event, "thread_id")
            case "item.completed" if text_of(event, "item", "type") == "agent_message":
                text = text_of(event, "item", "text")
            case "turn.failed" | "error":
                error = plain_error(text_of(event, "message") or text_of(event, "error", "message")) or "it failed"
    return FinalMessage(text, error, session)
