"""Where each agent's log-in file is, and what is said if it is missing or holds no log-in."""

import json
import os
from pathlib import Path

import pytest

from agent.agents.headless import HOME, HeadlessRequest
from agent.agents.kinds import AGENTS
from agent.agents.login import MOST_LOGIN_BYTES, secrets_in
from agent.errors import MissingRequirementError, UsageError

TOKEN = "tok-0123456789abcdef"
LOGIN = json.dumps({"tokens": {"access": TOKEN, "plan": "pro"}, "list": [{"refresh": TOKEN + "-r"}], "expires": 5})
REQUEST = HeadlessRequest("better", "/tmp/work", "http://127.0.0.1:8765", "vendor/model-1", "/agent/it",
                          proxy="http://127.0.0.1:8765")  # fmt: skip
PLACES = {
    "claude": (".claude/.credentials.json", "CLAUDE_CONFIG_DIR", ".credentials.json"),
    "codex": (".codex/auth.json", "CODEX_HOME", "auth.json"),
    "opencode": (".local/share/opencode/auth.json", "XDG_DATA_HOME", "opencode/auth.json"),
    "gemini": (".gemini/oauth_creds.json", "GEMINI_CLI_HOME", ".gemini/oauth_creds.json"),
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", AGENTS)
def test_the_file_of_each_agent(name: str, tmp_path: Path) -> None:
    below_home, variable, below = PLACES[name]
    login = AGENTS[name].login
    write(tmp_path / below_home, LOGIN)
    assert login.read({"HOME": str(tmp_path)}) == LOGIN
    own = LOGIN.replace("pro", "max")
    write(tmp_path / "own" / below, own)
    assert login.read({"HOME": str(tmp_path), variable: str(tmp_path / "own")}) == own
    assert below_home == login.file
    assert all(host == host.lower() and "." in host and "*" not in host for host in login.hosts)


@pytest.mark.parametrize("name", AGENTS)
def test_with_a_log_in_the_command_has_the_proxy_and_neither_gateway_nor_key(name: str) -> None:
    command = AGENTS[name].headless(REQUEST)
    assert command.environment["HTTPS_PROXY"] == REQUEST.proxy
    assert "HTTP_PROXY" not in command.environment
    assert "http_proxy" not in command.environment  # ./check is plain HTTP
    others = {k: v for k, v in command.environment.items() if k.lower() != "https_proxy"}
    found = json.dumps([command.argv, others, dict(command.home_files)])
    assert REQUEST.key not in found
    assert REQUEST.base_url not in found
    assert REQUEST.model in found
    assert AGENTS[name].login.file not in command.home_files
    homes = [value for variable, value in command.environment.items() if variable.endswith(("_HOME", "_DIR"))]
    assert all(value.startswith(HOME) for value in homes)


def test_a_missing_log_in_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        MissingRequirementError, match=r"there is no log-in at .*/\.codex/auth\.json; run `codex login`"
    ):
        AGENTS["codex"].login.read({"HOME": str(tmp_path)})
    with pytest.raises(UsageError, match="HOME is not set; set it to your home folder"):
        AGENTS["codex"].login.read({})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"OPENAI_API_KEY": null}', '{"mode": "none"}', "[" * 9000])
def test_a_file_without_a_log_in_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path / ".codex" / "auth.json", text)
    with pytest.raises(MissingRequirementError, match="holds no log-in; run `codex login`"):
        AGENTS["codex"].login.read({"HOME": str(tmp_path)})


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    login, variables = AGENTS["codex"].login, {"HOME": str(tmp_path)}
    path = write(tmp_path / ".codex" / "auth.json", "x")
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UsageError, match="cannot be read"):
        login.read(variables)
    path.write_text(" " * (MOST_LOGIN_BYTES + 1))
    with pytest.raises(UsageError, match=r"auth\.json is over"):
        login.read(variables)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="FIFO"):
        login.read(variables)
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match="folder"):
        login.read(variables)


def test_a_linked_file_is_read(tmp_path: Path) -> None:
    kept = write(tmp_path / "elsewhere.json", LOGIN)
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "auth.json").symlink_to(kept)
    assert AGENTS["codex"].login.read({"HOME": str(tmp_path)}) == LOGIN


def test_the_tokens_in_a_file() -> None:
    assert set(secrets_in(LOGIN)) == {TOKEN, TOKEN + "-r"}
    assert secrets_in("no json") == ()
