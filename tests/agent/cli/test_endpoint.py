"""Whole runs against an endpoint that misbehaves: what passes is survived, nothing is lost, the rest is said."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agent.edits.guard import Guard
from agent.errors import ModelError
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from agent.llm.prompt_templates import PromptSet
from agent.llm.recording import Transcript
from agent.modes.code_edit import CodeEditProposer
from agent.modes.prompting.trial_digest import Briefing
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.trials.trial import Status
from tests import commands
from tests.agent.llm.fake_server import BROKEN_JSON, CUT, Answer, FakeServer, fails, fake_server, says, streams
from tests.agent.llm.simulated_clock import SimulatedClock

BIGRAM = Path(__file__).parents[2] / "tasks" / "bigram_plain"
BRIEFING = Briefing("train.py", "val_bpb", False, ("prepare.py", "score.py"), "4 steps")
OpenRunWith = Callable[..., Run]
WARM = "SMOOTHING = 20.0  # added to every count"


def edit(value: float) -> str:
    return f"TITLE: smoothing {value}\n<<<<<<< SEARCH\n{WARM}\n=======\nSMOOTHING = {value}\n>>>>>>> REPLACE\n"


def proposer(server: FakeServer, run_folder: Path) -> CodeEditProposer:
    patience = RetryPolicy(timing=SimulatedClock().timing)
    model = OpenAIModel(
        "fake-1", base_url=server.base_url, api_key="sk-secret", patience=patience, on_tokens=lambda _: None
    )
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    return CodeEditProposer(
        lambda number: Transcript(model, run_folder / f"{number}.jsonl", ["sk-secret"]),
        prompts,
        BRIEFING,
        Guard(("load",)),
    )


def test_passing_trouble_is_survived_and_a_refused_key_ends_the_run_in_order(
    open_run: OpenRunWith, tmp_path: Path
) -> None:
    cut = streams("TITLE: sm", ended=False)
    trouble = [fails(429, "slow down", {"Retry-After": "1"}), fails(500, "oops"), CUT, cut, BROKEN_JSON]
    answers = [*trouble, streams(edit(90.0)), says(""), streams(edit(80.0)), fails(401, "no such key")]
    with fake_server(answers) as server:
        run = open_run(proposer(server, tmp_path), trials=5)
        with pytest.raises(ModelError, match="set OPENAI_API_KEY and resume"):
            run_trials(run)
    first, second = run.history.trials[1:]
    assert (first.status, second.status) == (Status.OK, Status.OK)
    assert first.proposal.usage is not None
    assert (first.proposal.usage.calls, first.proposal.usage.retries) == (1, len(trouble))
    assert second.proposal.usage is not None
    assert (second.proposal.usage.calls, second.proposal.usage.retries) == (2, 0)
    assert len((tmp_path / "2.jsonl").read_text().splitlines()) == 2
    run.records.journal.close()

    with fake_server([streams(edit(70.0)), streams(edit(60.0))]) as server:
        resumed = open_run(proposer(server, tmp_path), trials=5)
        assert run_trials(resumed).ending is EndReason.DONE
    assert [trial.proposal.title for trial in resumed.history.trials[1:]] == [
        f"smoothing {value}.0" for value in (90, 80, 70, 60)
    ]


@pytest.fixture
def environment(cache: Path, tmp_path: Path) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    return {**kept, "AUTOCENTAUR_CACHE": str(cache), "OPENAI_API_KEY": "sk-secret", "OPENAI_MODEL": "fake-1"}


def agent(environment: dict[str, str], folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return commands.agent(*args, cwd=folder, env=environment)


def search(*args: str) -> list[str]:
    return ["run", "--task", str(BIGRAM), "--mode", "code-edit", "--name", "r", "--no-smoke", *args]


PROBED: list[Answer] = [says(json.dumps({"word": "heron"}))]


def test_the_log_shows_what_the_endpoint_did_and_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    answers = [*PROBED, fails(429, "slow down", {"Retry-After": "0"}), streams(edit(90.0))]
    with fake_server(answers) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(environment, tmp_path, *search("--trials", "2", "--price", "2,10", "--max-cost", "1"))
    assert done.returncode == 0, done.stderr
    assert "slow down; trying again in 0 s" in done.stdout
    log = agent(environment, tmp_path, "log").stdout
    assert "[1 retry] smoothing 90" in log
    assert "1 model call (11 tokens in, 7 out, $0.00), 1 transient endpoint failure" in log
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert [path for path in files if b"sk-secret" in path.read_bytes()] == []


def test_a_cap_on_tokens_ends_the_run(environment: dict[str, str], tmp_path: Path) -> None:
    with fake_server([*PROBED, streams(edit(90.0)), streams(edit(80.0))]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(environment, tmp_path, *search("--trials", "9", "--max-tokens", "30"))
    assert done.returncode == 0, done.stderr
    assert "the cap of 30 model tokens is reached (36 used)" in done.stdout


@pytest.mark.parametrize(
    ("answers", "args", "remedy"),
    [
        ([fails(401, "bad key")], [], "set OPENAI_API_KEY"),
        ([fails(404, "no such model")], [], "check --model"),
        ([], ["--max-cost", "1"], "give --price"),
    ],
)
def test_what_cannot_work_is_reported_before_anything_is_written(
    environment: dict[str, str], tmp_path: Path, answers: list[Answer], args: list[str], remedy: str
) -> None:
    with fake_server(answers) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(environment, tmp_path, *search(*args))
    assert done.returncode != 0
    assert remedy in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_recorded_run_replays_exactly_and_offline(environment: dict[str, str], tmp_path: Path) -> None:
    answers = [*PROBED, streams("no block"), fails(429, "wait", {"Retry-After": "0"}), streams(edit(90.0))]
    with fake_server([*answers, streams(edit(80.0)), fails(401, "the key was withdrawn")]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(environment, tmp_path, *search("--trials", "4", "--record", "night.jsonl"))
        assert "set OPENAI_API_KEY and resume the run" in done.stderr

    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        del environment[name]
    again = [a for a in search("--trials", "3", "--model", "replay:night.jsonl") if a not in ("--name", "r")]
    done = agent(environment, tmp_path, *again, "--name", "again")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(agent(environment, tmp_path, "log", name, "--json").stdout) for name in ("r", "again"))
    keys = ("number", "status", "title", "val_loss", "kept")
    assert [[t[k] for k in keys] for t in first["trials"]] == [[t[k] for k in keys] for t in second["trials"]]
    assert "sk-secret" not in (tmp_path / "night.jsonl").read_text()


def test_a_prompt_is_shown_as_it_was_sent(environment: dict[str, str], tmp_path: Path) -> None:
    with fake_server([*PROBED, streams(edit(90.0)), streams(edit(80.0))]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        agent(environment, tmp_path, *search("--trials", "3"))
    shown = json.loads(agent(environment, tmp_path, "prompt", "r/2", "--json").stdout)["messages"]
    assert shown == server.requests[2]["messages"]
    following = agent(environment, tmp_path, "prompt", "r/3").stdout
    assert "2: smoothing 80.0 ->" in following
    assert "r has prompts for trials 1 to 3 only" in agent(environment, tmp_path, "prompt", "r/4").stderr


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OPENAI_API_KEY": "sk-a\u2014b"}, "OPENAI_API_KEY contains"),
        ({"OPENAI_BASE_URL": "localhost:11434/v1"}, "write http://localhost:11434/v1"),
        ({"OPENAI_BASE_URL": "http://[::1/v1"}, "OPENAI_BASE_URL"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "`ollama serve`"),
        ({"OPENAI_BASE_URL": "http://a.example/v1", "ALL_PROXY": "socks5://127.0.0.1:1"}, "ALL_PROXY"),
        ({"OPENAI_BASE_URL": "http://a.example/v1", "SSL_CERT_FILE": "/gone.pem"}, "SSL_CERT_FILE /gone.pem"),
    ],
)
def test_an_endpoint_that_cannot_be_reached_is_refused_at_once(
    environment: dict[str, str], tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    done = agent(environment | variables, tmp_path, *search())
    assert done.returncode == 4
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_secret_in_an_address_is_stored_nowhere_and_needed_to_resume(
    environment: dict[str, str], tmp_path: Path
) -> None:
    answers = [
        *PROBED,
        streams(edit(90.0).replace("90.0\n<", "pass-word QUERY-KEY\n<", 1)),
        fails(401, "pass-word QUERY-KEY"),
    ]
    with fake_server(answers) as server:
        address = server.base_url.replace("://", "://user:pass-word@") + "?key=QUERY-KEY"
        done = agent(environment, tmp_path, *search("--trials", "4", "--base-url", address, "--record", "night.jsonl"))
    assert "refuses the key" in done.stderr
    assert server.authorizations[0] == "Basic " + base64.b64encode(b"user:pass-word").decode()
    assert server.paths[0] == "POST /v1/chat/completions?key=QUERY-KEY"

    resumed = agent(environment, tmp_path, "resume", "r")
    assert resumed.returncode == 4
    assert "set OPENAI_BASE_URL to the whole address and resume the run" in resumed.stderr
    with fake_server([*PROBED, streams(edit(80.0)), streams(edit(70.0))], port=urlsplit(address).port or 0):
        again = agent(environment | {"OPENAI_BASE_URL": address}, tmp_path, "resume", "r")
    assert again.returncode == 0, again.stderr

    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    shown = (done.stdout, done.stderr, resumed.stderr, again.stdout)
    for secret in ("pass-word", "QUERY-KEY"):
        assert not any(secret.encode() in content for content in written)
        assert not any(secret in text for text in shown)
