"""What cannot work with a coding agent is said in one line, before anything is written."""

from pathlib import Path

import pytest

from tests.agent.modes.coding_agents.conftest import BIGRAM, COMMAND, Run, search

HERE = ["run", "--task", str(BIGRAM), "--name", "r", "--mode", "code-edit"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (
            [*HERE, "--agent", "cortex", "--model", "m"],
            "no such agent; there are claude, codex, opencode, gemini, or a",
        ),
        ([*HERE, "--agent", "", "--model", "m"], "no such agent"),
        ([*HERE, "--agent", "codex", "--model", "m"], "codex is not on the PATH; install Codex: npm install -g"),
        ([*HERE, "--agent", "no-agent {prompt}", "--model", "m"], "no-agent is not on the PATH"),
        ([*HERE, "--agent", "small-agent --task it", "--model", "m"], "write the command with {prompt}"),
        ([*HERE, "--agent", "small-agent '{prompt}", "--model", "m"], "quote it as for a shell"),
        ([*HERE, "--agent", COMMAND], "name its model with --model"),
        ([*HERE, "--agent", "claude"], "name its model with --model"),
        (search("--max-cost", "1"), "--max-cost needs the price of fake-1"),
        (search("--edit-format", "diff"), "--edit-format is for chat models; a coding agent would ignore it"),
        (search("--attempts", "2"), "--attempts is for chat models"),
        (search("--context-tokens", "9000"), "--context-tokens is for chat models"),
        (search("--base-url", "http://127.0.0.1:1/v1"), "such as OPENAI_BASE_URL"),
        (search("--agent-time", "soon"), "soon"),
        (search("--agent-calls", "0"), "--agent-calls"),
        (search(model="replay:none.jsonl"), "there is no recording"),
        ([*HERE, "--agent-time", "5m"], "--agent-time is for a coding agent: add --agent NAME"),
        ([*HERE, "--agent-calls", "5"], "--agent-calls is for a coding agent"),
        (
            ["run", "--task", str(BIGRAM), "--agent", "codex", "--mode", "fixed"],
            "asks no coding agent; add --mode code-edit",
        ),
        (["run", "--task", str(BIGRAM), "--agent-time", "5m", "--mode", "random"], "--agent-time is for code-edit"),
    ],
)
def test_it_is_one_line(
    agent: Run, environment: dict[str, str], tmp_path: Path, argv: list[str], expected: str
) -> None:
    environment["PATH"] = f"{tmp_path / 'own'}:/usr/bin:/bin"
    done = agent(*argv)
    assert expected in done.stderr, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.returncode in (2, 4)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("is_set", ["none", "empty"])
def test_a_missing_key_is_named(agent: Run, environment: dict[str, str], tmp_path: Path, is_set: str) -> None:
    environment |= {"OPENAI_API_KEY": ""}
    if is_set == "none":
        del environment["OPENAI_API_KEY"]
    done = agent(*search())
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("address", "variable", "value"),
    [
        ("https://llm.example.org/v1", "HTTPS_PROXY", "htp://127.0.0.1:1"),
        ("https://llm.example.org/v1", "ALL_PROXY", "socks5://127.0.0.1:1"),
        ("https://llm.example.org/v1", "SSL_CERT_FILE", "/gone.pem"),
        ("http://[::1/v1", "OPENAI_BASE_URL", "http://[::1/v1"),
    ],
)
def test_a_way_to_the_endpoint_that_cannot_be_used_is_named(
    agent: Run, environment: dict[str, str], tmp_path: Path, *, address: str, variable: str, value: str
) -> None:
    environment |= {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "sk-key", variable: value}
    done = agent(*search())
    assert done.stderr.count("\n") == 1, done.stderr
    assert variable in done.stderr
    assert done.returncode in (2, 4)
    assert not (tmp_path / "runs").exists()


def test_a_program_that_cannot_start_is_found_before_the_first_trial(
    agent: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "own" / "small-agent").write_text("#!/opt/none/python3\n")
    done = agent(*search())
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "small-agent does not start in a sandbox" in done.stderr
    assert not (tmp_path / "runs").exists()
