"""`agent doctor --agent NAME` with small programs in place of real agents; tests of the real ones need a download."""

import json
import os
import socket
from pathlib import Path

import pytest

from agent.agents.kinds import AGENTS
from agent.cli.checks.coding_agents import examine_agent
from agent.cli.checks.machine import DoctorFinding
from tests import commands

PROGRAM = """#!/usr/bin/env python3
import json, re, subprocess, sys, urllib.request
if sys.argv[1:] == ["--version"]:
    sys.exit("codex-cli VERSION")
address = re.search(r'base_url="([^"]+)"', " ".join(sys.argv))[1] + "/responses"
body = {"model": "scripted", "input": [], "tools": [{"type": "function", "name": "exec_command"}]}
request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
(called,) = json.load(urllib.request.urlopen(request))["output"]
subprocess.run(json.loads(called["arguments"])["cmd"], shell=True)
"""
TESTED = AGENTS["codex"].tested
RIGHT = PROGRAM.replace("VERSION", TESTED)
KEY = {"OPENAI_API_KEY": "sk-secret"}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Where the user's agent is."""
    (tmp_path / "own").mkdir()
    return tmp_path / "own" / "codex"


def install(program: Path, text: str) -> dict[str, str]:
    """Write the program of an agent; return the environment of its user."""
    program.write_text(text)
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", **KEY}


def found(named: str, variables: dict[str, str]) -> dict[str, DoctorFinding]:
    return {finding.what: finding for finding in examine_agent(named, variables)}


def test_an_agent_that_works(installed: Path) -> None:
    findings = found("codex", install(installed, RIGHT) | {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert {finding.verdict for finding in findings.values()} == {"ok"}
    assert findings["agent"].detail == f"Codex {TESTED} starts in its sandbox"
    assert findings["agent's edit"].detail == "it made the edit that its model asked for"
    assert findings["agent's key"].detail == "OPENAI_API_KEY is set; calls will go to 127.0.0.1"


@pytest.mark.parametrize(
    ("text", "what", "verdict", "detail"),
    [
        (PROGRAM.replace("VERSION", "0.9.9"), "agent", "note", f"starts in its sandbox; tested is {TESTED}"),
        ("#!/opt/none\n", "agent", "missing", "Codex does not start in a sandbox"),
        ("#!/bin/sh\nexit 3\n", "agent", "missing", "Codex does not start in a sandbox"),
        (RIGHT.replace("address = ", "sys.exit(0)\naddress = "), "agent's model", "missing", "called no model"),
        (RIGHT.replace("/responses", "/other"), "agent's model", "missing", "does not relay POST /v1/other"),
        (RIGHT.replace("subprocess.run", "print"), "agent's edit", "missing", "changed nothing"),
    ],
)
def test_each_fault_has_its_remedy(installed: Path, text: str, what: str, verdict: str, detail: str) -> None:
    finding = found("codex", install(installed, text))[what]
    assert finding.verdict == verdict
    assert detail in finding.detail
    assert f"npm install -g @openai/codex@{TESTED}" in finding.remedy


def test_what_is_not_there_is_named_with_its_remedy(tmp_path: Path) -> None:
    findings = found("claude", {"PATH": str(tmp_path)})
    assert findings["agent"].verdict == findings["agent's key"].verdict == "missing"
    assert findings["agent"].detail == "claude is not on the PATH"
    assert findings["agent's key"].remedy == "set it to your key for api.anthropic.com"
    assert "there is no such agent" in found("cortex", {})["agent"].detail


def test_a_command_of_the_users_own_is_tried_as_far_as_it_goes(installed: Path) -> None:
    variables = install(installed, RIGHT)
    findings = found('codex {prompt} base_url="{base_url}/v1"', variables)
    assert findings["agent's model"].verdict == "missing"  # it cannot read a text in place of a tool's call
    assert "exit code 1" in findings["agent's model"].detail


@pytest.mark.slow
def test_the_command_prints_it(installed: Path, cache: Path, tmp_path: Path) -> None:
    variables = {**install(installed, RIGHT), "HOME": str(tmp_path), "AUTOCENTAUR_CACHE": str(cache)}
    task = Path(__file__).parents[2] / "tasks" / "bigram_plain"
    done = commands.agent("doctor", "--task", str(task), "--agent", "codex", "--json", cwd=tmp_path, env=variables)
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["agent's edit"]["verdict"] == "ok", done.stdout
    assert "model" not in findings
    assert "sk-secret" not in done.stdout


def test_a_log_in_is_looked_for_and_its_hosts_are_tried_without_a_call(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = install(installed, RIGHT) | {"HOME": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked: list[object] = []

        def resolved(host: str, port: int, *_: object, **__: object) -> list[object]:
            asked.append((host, port))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        findings = {each.what: each for each in examine_agent("codex", variables, login=True)}
        assert findings["agent's log-in"].verdict == "missing"
        assert findings["agent's log-in"].detail == f"there is no log-in at {tmp_path}/.codex/auth.json"
        assert findings["agent's log-in"].remedy.startswith("run `codex login`")
        (tmp_path / ".codex").mkdir()
        (tmp_path / ".codex" / "auth.json").write_text('{"token": "tok-0123456789abcdef"}')
        findings = {each.what: each for each in examine_agent("codex", variables, login=True)}
    assert [finding.verdict for finding in findings.values()] == ["ok", "ok", "ok", "note"]
    assert "not tried: it would use your subscription" in findings["agent's edit"].detail
    assert set(asked) == {(host, 443) for host in AGENTS["codex"].login.hosts}
    assert "tok-" not in str(findings)


def test_hosts_that_cannot_be_reached_are_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    findings = {each.what: each for each in examine_agent("codex", install(installed, RIGHT), login=True)}
    assert findings["agent's hosts"].verdict == "missing"
    assert "chatgpt.com (Name or service not known)" in findings["agent's hosts"].detail
    assert findings["agent's log-in"].detail == "HOME is not set"
    own = {each.what: each for each in examine_agent("codex {prompt}", install(installed, RIGHT), login=True)}
    assert own["agent's log-in"].verdict == "missing"
