"""Claude Code: https://code.claude.com/docs/en/mcp and https://code.claude.com/docs/en/settings."""

from agent.agents.connection import CALL_SECONDS, SERVER_NAME, START_SECONDS, McpServer, SettingsFolders
from agent.agents.headless import HOME, FinalMessage, HeadlessCommand, HeadlessRequest, json_lines, text_of
from agent.agents.settings import SettingsEntry, SettingsFile

_TOOLS = "Read,Edit,Write,Grep,Glob,Bash"


def configuration(server: McpServer, folders: SettingsFolders) -> tuple[SettingsFile, ...]:
    """Return the settings that start the server in this project, and allow its tools.

    Claude Code sends its first request to the model without the tools of a server that is not ready, and a
    short session ends before they arrive. `alwaysLoad` lets it wait, for MCP_CONNECT_TIMEOUT_MS: 5 s by default, which
    a server on a busy machine exceeds. The tools are allowed in the user's own settings, because those
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
        SettingsFile(folders.project / ".mcp.json", (SettingsEntry(("mcpServers", SERVER_NAME), entry, is_ours=True),)),
        SettingsFile(folders.project / ".claude" / "settings.local.json", allowed),
        SettingsFile(
            folders.own / "settings.json",
            (SettingsEntry(("permissions", "allow"), [f"mcp__{SERVER_NAME}"]),),
            is_own=True,
        ),
    )


def headless(request: HeadlessRequest) -> HeadlessCommand:
    """Return `claude -p` for one request. It edits with its own tools and runs commands; our sandbox is around it.

    With its default number of retries it tries a wrong key ten times, for minutes.
    """
    argv = (
        *(request.program, "-p", request.prompt, "--model", request.model, "--output-format", "json"),
        *("--permission-mode", "acceptEdits", "--tools", _TOOLS, "--allowedTools", _TOOLS),
        *("--setting-sources", "", "--strict-mcp-config", "--disable-slash-commands", "--no-chrome"),
    )
    gateway = {"ANTHROPIC_BASE_URL": request.base_url, "ANTHROPIC_API_KEY": request.key}
    environment = {
        **(request.proxy_variables if request.proxy else gateway),
        "CLAUDE_CONFIG_DIR": f"{HOME}/.claude",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "CLAUDE_CODE_MAX_RETRIES": "2",
    }
    return HeadlessCommand(argv, environment)


def shell_call(command: str) -> tuple[str, dict[str, str]]:
    """Return the tool by which its model runs a shell command, and the arguments."""
    return "Bash", {"command": command, "description": "edit the file"}


def final_message(stdout: str) -> FinalMessage:
    """Return the last message of an agent's output: one JSON object."""
    for event in json_lines(stdout):
        if event.get("type") == "result":
            text, session = text_of(event, "result"), text_of(event, "session_id")
            error = (text or text_of(event, "subtype") or "it failed") if event.get("is_error") else ""
            return FinalMessage(text, error, session)
    return FinalMessage(error="it printed no result")
