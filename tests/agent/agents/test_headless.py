"""The command of each agent for one request, and what is read off outputs that the tested versions have printed."""

import json
from typing import Any

import pytest

from agent.agents import custom
from agent.agents.headless import HOME, PLACEHOLDER_KEY, FinalMessage, HeadlessRequest
from agent.agents.kinds import AGENTS
from agent.errors import UsageError

REQUEST = HeadlessRequest("make it better; $HOME {model}", "/tmp/work", "http://127.0.0.1:8765", "model-1",
                          "/agent/it")  # fmt: skip
CUT = "this proposal may make 2 model calls, and no more"
CODEX = [
    '{"type":"thread.started","thread_id":"01a22b61-7776-7081-bf60-5b2eaa421139"}',
    '{"type":"item.completed","item":{"id":"item_0","type":"error","message":"Model metadata for `scripted` not found. '
    'Defaulting to fallback metadata; this can degrade performance and cause issues."}}',
    '{"type":"turn.started"}',
    '{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"/bin/sh -lc true",'
    '"aggregated_output":"","exit_code":0,"status":"completed"}}',
]
CODEX_ENDED = [
    '{"type":"item.completed","item":{"id":"item_2","type":"agent_message","text":"I am done.\\nTITLE: deeper"}}',
    '{"type":"turn.completed","usage":{"input_tokens":2000,"cached_input_tokens":800,"output_tokens":100}}',
]
_IN_CODEX = json.dumps(json.dumps({"error": {"message": CUT, "type": "invalid_request_error", "code": None}}))
CODEX_FAILED = [
    f'{{"type":"error","message":{_IN_CODEX}}}',
    f'{{"type":"turn.failed","error":{{"message":{_IN_CODEX}}}}}',
]
CLAUDE = (
    '{"type":"result","subtype":"success","is_error":false,"api_error_status":null,"num_turns":2,'
    '"result":"I am done.\\nTITLE: deeper","stop_reason":"end_turn","session_id":"d62d98c9","total_cost_usd":0.0089,'
    '"usage":{"input_tokens":1200,"output_tokens":100},"permission_denials":[],"terminal_reason":"completed"}'
)
CLAUDE_FAILED = (
    '{"type":"result","subtype":"success","is_error":true,"api_error_status":400,"num_turns":1,'
    f'"result":"API Error: 400 {CUT}","stop_reason":"stop_sequence","session_id":"931db8ba","total_cost_usd":0}}'
)
OPENCODE = [
    '{"type":"step_start","timestamp":1,"sessionID":"ses_1","part":{"id":"prt_1","type":"step-start"}}',
    '{"type":"tool_use","timestamp":2,"sessionID":"ses_1","part":{"type":"tool","tool":"bash","callID":"call_2",'
    '"state":{"status":"completed","input":{"command":"true"},"output":"(no output)"}}}',
    '{"type":"text","timestamp":3,"sessionID":"ses_1","part":{"id":"prt_2","type":"text",'
    '"text":"I am done.\\nTITLE: deeper","time":{"start":1,"end":2}}}',
    '{"type":"step_finish","timestamp":4,"sessionID":"ses_1","part":{"id":"prt_3","reason":"stop","cost":0}}',
]
OPENCODE_FAILED = (
    '{"type":"error","timestamp":1,"sessionID":"ses_2","error":{"name":"APIError","data":'
    f'{{"message":"{CUT}","statusCode":400,"isRetryable":false}}}}}}'
)
GEMINI = """{
  "session_id": "4cce5c98",
  "response": "I am done.\\nTITLE: deeper",
  "stats": {"tools": {"totalCalls": 1}}
}
"""
GEMINI_FAILED = """    at async Turn.run (file:///agent/node_modules/@google/gemini-cli/bundle/chunk.js:333001:24) {
  status: 400
}
{
  "session_id": "c80a4a72",
  "error": {
    "type": "Error",
    "message": "{\\"error\\":{\\"code\\":400,\\"message\\":\\"this proposal may make 2 model calls, and no more\\"}}",
    "code": 400
  }
}
"""
DONE = "I am done.\nTITLE: deeper"


@pytest.mark.parametrize(
    ("name", "printed", "expected"),
    [
        ("codex", "\n".join([*CODEX, *CODEX_ENDED]), FinalMessage(DONE, "", "01a22b61-7776-7081-bf60-5b2eaa421139")),
        ("codex", "\n".join([*CODEX, *CODEX_FAILED]), FinalMessage("", CUT, "01a22b61-7776-7081-bf60-5b2eaa421139")),
        ("claude", CLAUDE, FinalMessage(DONE, "", "d62d98c9")),
        ("claude", CLAUDE_FAILED, FinalMessage(f"API Error: 400 {CUT}", f"API Error: 400 {CUT}", "931db8ba")),
        ("opencode", "\n".join(OPENCODE), FinalMessage(DONE, "", "ses_1")),
        ("opencode", OPENCODE_FAILED, FinalMessage("", CUT, "ses_2")),
        ("gemini", GEMINI, FinalMessage(DONE, "", "4cce5c98")),
        ("gemini", GEMINI_FAILED, FinalMessage("", CUT, "c80a4a72")),
        ("gemini", f"Loaded cached credentials.\n{GEMINI}", FinalMessage(DONE, "", "4cce5c98")),
    ],
)
def test_the_last_message_is_read(name: str, printed: str, expected: FinalMessage) -> None:
    assert AGENTS[name].final_message(printed) == expected


NOT_READ = ["", "Segmentation fault", "{", "[" * 5000, "null\n3", '{"type": ["result"]}', '{"type":"text","part":3}']


@pytest.mark.parametrize(
    "printed", [*NOT_READ, '{"error": "no"}', '{"type":"error","error":{"data":[1]}}', "\x00\x1b[2J"]
)
@pytest.mark.parametrize("name", AGENTS)
def test_any_other_output_has_no_message(name: str, printed: str) -> None:
    assert AGENTS[name].final_message(printed).text == ""


@pytest.mark.parametrize("name", AGENTS)
def test_each_is_given_the_request_as_one_word_and_the_gateway_and_no_other_key(name: str) -> None:
    command = AGENTS[name].headless(REQUEST)
    assert command.argv[0] == REQUEST.program
    assert command.argv.count(REQUEST.prompt) == 1
    found = json.dumps([command.argv, dict(command.environment), dict(command.home_files)])
    for part in (REQUEST.base_url, REQUEST.model, REQUEST.key):
        assert part in found
    assert all(path.startswith(HOME) for path in _homes(command.environment))
    assert not any(path.startswith("/") for path in command.home_files)


def _homes(environment: Any) -> list[str]:
    return [value for name, value in environment.items() if name.endswith(("_HOME", "_DIR"))]


def test_settings_in_json_are_json() -> None:
    opencode = json.loads(AGENTS["opencode"].headless(REQUEST).environment["OPENCODE_CONFIG_CONTENT"])
    assert opencode["provider"]["gateway"]["options"] == {"baseURL": f"{REQUEST.base_url}/v1", "apiKey": REQUEST.key}
    gemini = json.loads(AGENTS["gemini"].headless(REQUEST).home_files[".gemini/settings.json"])
    assert gemini["privacy"] == {"usageStatisticsEnabled": False}


def test_a_command_of_the_users_own_is_filled_once() -> None:
    words = custom.split_command("mine --do={prompt} '{base_url}/v1' {model} {folder}")
    command = custom.headless(words, REQUEST)
    assert command.argv == (REQUEST.program, f"--do={REQUEST.prompt}", f"{REQUEST.base_url}/v1", "model-1", "/tmp/work")
    assert command.environment["OPENAI_BASE_URL"] == f"{REQUEST.base_url}/v1"
    assert {value for name, value in command.environment.items() if name.endswith("KEY")} == {PLACEHOLDER_KEY}
    assert custom.final_message(" TITLE: x \n") == FinalMessage("TITLE: x")


def test_a_file_that_a_command_names_is_shown(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "{prompt}").write_text("")
    monkeypatch.chdir(tmp_path)
    whole = custom.with_absolute_paths("python3 -u mine.py {prompt}")
    assert whole == f"python3 -u {tmp_path}/mine.py '{{prompt}}'"
    words, shown = custom.mount_files(custom.split_command(whole))
    assert words == ("python3", "-u", "/agent/files/2/mine.py", "{prompt}")
    assert shown == {"/agent/files/2/mine.py": tmp_path / "mine.py"}


@pytest.mark.parametrize("command", ["", "mine", "{prompt}", "mine 'x {prompt}", "mine {model}"])
def test_a_command_that_asks_nothing_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match="--agent"):
        custom.split_command(command)
