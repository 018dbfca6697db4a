"""Whole runs with a coding agent, as a user starts them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.agent.llm.fake_server import fails, fake_server, says
from tests.agent.modes.coding_agents.conftest import COMMAND, PROGRAM, Run, edit, search
from tests.pages import details_of

TOLD = ("number", "status", "title", "val_loss", "kept", "origin", "agent")


def rows_of(agent: Run, name: str) -> list[list[Any]]:
    """Return what the log says about each trial of a run, without what depends on the time."""
    document = json.loads(agent("log", name, "--json").stdout)
    return [[trial[key] for key in TOLD] for trial in document["trials"]]


def commit_message(folder: Path, ref: str) -> str:
    command = ["git", "--git-dir", str(folder / "runs" / "trials.git"), "log", "-1", "--format=%B", ref]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_run_is_recorded_and_served_again_without_an_endpoint(
    agent: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    with fake_server([says(edit(90.0)), says("SMOOTHING = 20.0 => SMOOTHING = ")]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", "3", "--record", "night.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "agent: small-agent 1.2.3, model fake-1\n" in done.stdout
    assert server.authorizations == ["Bearer sk-secret"] * 2
    _, first, second = rows_of(agent, "r")
    assert (first[1], first[2], first[5]) == ("ok", "SMOOTHING = 90.0", "agent")
    assert first[6] == {"name": "small-agent", "version": "1.2.3", "session": "", "ending": "exit code 0",
                        "changed": []}  # fmt: skip
    assert second[1] == "invalid_edit"
    assert agent("log", "--verify").stdout == "run r: journal, git and files agree\n"
    shown = agent("show", "r/1").stdout
    assert "agent" in shown
    assert "small-agent 1.2.3, exit code 0" in shown
    assert "reply 1: 11 tokens in, 7 out" in shown
    exchanged = agent("show", "r/1", "--exchange").stdout
    assert "Improve the training script train.py" in exchanged
    assert edit(90.0) in exchanged
    message = commit_message(tmp_path, "r/0001")
    assert "\nModel: small-agent:fake-1\nAgent: small-agent 1.2.3\n" in message
    prompt = agent("prompt", "r/1")
    assert (prompt.returncode, prompt.stderr.count("\n")) == (2, 1)
    assert "0001/agent, in settings.json and files/NOTES.md" in prompt.stderr
    assert agent("report", "r").returncode == 0
    (page,) = tmp_path.glob("*.html")
    assert "small-agent 1.2.3, exit code 0" in json.dumps(details_of(page.read_text()))
    assert agent("export", "r").returncode == 0
    assert "SMOOTHING = 90.0" in (tmp_path / "runs" / "r" / "trials" / "0001" / "llm.jsonl").read_text()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert [path for path in files if b"sk-secret" in path.read_bytes()] == []

    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        del environment[name]
    again = agent(*search("--trials", "3", model="replay:night.jsonl", name="again"))
    assert again.returncode == 0, again.stderr
    assert rows_of(agent, "again") == rows_of(agent, "r")
    assert str(tmp_path) not in agent("log", "again").stdout
    further = agent("resume", "again", "--trials", "4")
    assert further.returncode == 1
    assert further.stderr.count("\n") == 1
    assert "night.jsonl records no further POST of /chat/completions" in further.stderr


@pytest.mark.slow
def test_a_searcher_tunes_the_numbers_that_an_agent_wrote(
    agent: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    with fake_server([says("def main(): => GAIN = 1.0  # tune: 0.1..9\n\n\ndef main():")] * 9) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--mode", "centaur-code", "--trials", "18"))
    assert done.returncode == 0, done.stderr
    trials = json.loads(agent("log", "r", "--json").stdout)["trials"]
    first = next(trial for trial in trials[1:] if trial["turn"]["kind"] == "structure")
    assert first["origin"] == "agent"
    assert all(trial["turn"]["tunes"] == 0 for trial in trials[1 : first["number"]])
    tuned = trials[first["number"] + 1 : first["number"] + 5]
    assert [(trial["origin"], trial["turn"]["tunes"]) for trial in tuned] == [("searcher", first["number"])] * 4
    assert len({trial["title"] for trial in tuned}) == 4
    notes = tmp_path / f"runs/r/trials/{first['number']:04d}/agent/files/NOTES.md"
    assert "# tune: 32..1024 log2" in notes.read_text()
    assert agent("log", "--verify").stdout == "run r: journal, git and files agree\n"


def test_a_recording_that_is_there_is_not_written_over(agent: Run, tmp_path: Path) -> None:
    (tmp_path / "night.jsonl").write_text("")
    done = agent(*search("--record", "night.jsonl"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the file exists already" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "caps", "expected"),
    [
        ("--max-tokens", ("30", "60"), "the cap of 30 model tokens is reached (36 used)"),
        ("--max-cost", ("0.0001", "0.0003"), "the cap of $0.0001 for model calls is reached"),
    ],
)
def test_a_cap_ends_the_run_and_a_higher_one_lets_it_go_on(
    agent: Run, environment: dict[str, str], option: str, caps: tuple[str, str], expected: str
) -> None:
    with fake_server(lambda _request: says(edit(90.0 + len(server.requests)))) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", "9", "--price", "2,10", option, caps[0]))
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        assert len(server.requests) == 2
        resumed = agent("resume", "r", option, caps[1])
        assert resumed.returncode == 0, resumed.stderr
        assert len(server.requests) == 4
    trials = json.loads(agent("log", "--json").stdout)["trials"]
    assert [(trial["status"], trial["usage"]["calls"]) for trial in trials[1:]] == [("ok", 1)] * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "expected"), [(fails(401, "bad key"), "bad key"), (fails(404, "no such model"), "no such model")]
)
def test_an_endpoint_that_answers_nothing_stops_the_run_and_costs_no_trial(
    agent: Run, environment: dict[str, str], answer: Any, expected: str
) -> None:
    with fake_server([answer, says(edit(90.0))]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", "2"))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"small-agent cannot reach its model: {answer.status}" in done.stderr
        assert expected in done.stderr
        assert agent("resume", "r").returncode == 0
    assert [row[1] for row in rows_of(agent, "r")] == ["ok", "ok"]


def test_a_server_of_this_machine_needs_no_key(agent: Run, environment: dict[str, str]) -> None:
    del environment["OPENAI_API_KEY"]
    with fake_server([says(edit(90.0))]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        done = agent(*search("--trials", "2"))
    assert done.returncode == 0, done.stderr
    assert server.authorizations == [None]


def test_a_program_that_lies_in_the_users_folder_is_shown_to_its_interpreter(
    agent: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(PROGRAM)
    with fake_server([says(edit(90.0)), says(edit(80.0))]) as server:
        environment["OPENAI_BASE_URL"] = server.base_url
        command = COMMAND.replace("small-agent", "python3 mine.py")
        done = agent(*search("--trials", "2", command=command))
        assert done.returncode == 0, done.stderr
        resumed = agent("resume", "r", "--trials", "3", "--runs", str(tmp_path / "runs"), cwd=tmp_path / "own")
        assert resumed.returncode == 0, resumed.stderr
    assert [row[2] for row in rows_of(agent, "r")] == ["baseline", "SMOOTHING = 90.0", "SMOOTHING = 80.0"]
