"""`agent say`, `pause` and `stop`, and notes.md, as users have them: real commands beside a real run."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.run.steering.user_input import PAUSE
from agent.store.inbox.inbox import Inbox
from agent.store.journal import read_history
from tests.agent.cli.test_stop import begun, goes_on, mark, slow  # noqa: F401 (a fixture)
from tests.contracts.sandbox_contract import processes_with
from tests.kill_anywhere.killed_runs import INSTANT, NEVER, Death, Zygote

SIGKILL, SIGXFSZ = -9, -25


@pytest.fixture
def at(warm: Zygote, tmp_path: Path) -> Zygote:
    """Commands in a folder with the task `instant` and replies of a model for mode fixed."""
    shutil.copytree(INSTANT, tmp_path / "task")
    points = [{"WIDTH": 0.5 + n / 8, "SHIFT": 0.1, "DEPTH": 3, "ORDER": "backward"} for n in range(20)]
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps({"reply": json.dumps(p)}) + "\n" for p in points))
    return warm.within(tmp_path)


def started(at: Zygote, *options: str, mode: str = "fixed", name: str = "r") -> None:
    model = ["--model", f"replay:{at.folder}/replies.jsonl"] if mode == "fixed" else []
    argv = ["run", "--task", str(at.folder / "task"), "--mode", mode, *model, "--trials", "3", "--name", name]
    assert at.agent(*argv, *options) == 0, at.said


def output_of(at: Zygote, *argv: str, code: int = 0) -> str:
    assert at.agent(*argv) == code, at.said
    assert "Traceback" not in at.said
    return at.said


def asked(at: Zygote, number: int) -> list[dict[str, str]]:
    """Return the first prompt that the model got for a trial."""
    first = (at.runs.run("r").trial(number).llm).read_text().splitlines()[0]
    return [{"role": each["role"], "content": each["content"]} for each in json.loads(first)["messages"]]


def test_notes_and_messages_are_in_prompts_log_details_and_page(at: Zygote) -> None:
    notes = at.folder / "task" / "notes.md"
    notes.write_text("narrow ones are better\n")
    started(at)
    assert "agent resume r" in output_of(at, "say", "r", "keep DEPTH\x1b[2J at 3")
    document = json.loads(output_of(at, "say", "r", "second\nline", "--json"))
    assert document["runs"][0]["has_reader"]
    assert "- keep DEPTH [2J at 3\n- second\n  line" in output_of(at, "prompt", "r/3")  # the next, before it is asked
    notes.write_text("wide ones are better\n")
    output_of(at, "resume", "r", "--trials", "5")
    assert list(Inbox(at.runs.run("r").inbox).messages("say")) == []
    notes.unlink()
    prompts = {
        number: json.loads(output_of(at, "prompt", f"r/{number}", "--json"))["messages"] for number in range(1, 5)
    }
    assert prompts == {number: asked(at, number) for number in range(1, 5)}
    assert ["narrow ones" in each[-1]["content"] for each in prompts.values()] == [True, True, False, False]
    assert ["wide ones" in each[-1]["content"] for each in prompts.values()] == [False, False, True, True]
    assert ["keep DEPTH" in each[-1]["content"] for each in prompts.values()] == [False, False, True, True]
    lines = output_of(at, "log", "r").splitlines()
    at_two, at_three = (next(i for i, line in enumerate(lines) if line.strip().startswith(f"{n}  ")) for n in (2, 3))
    between = [line.split()[1:] for line in lines[at_two + 1 : at_three] if " message " in line]
    assert [" ".join(words) for words in between] == [
        "message person keep DEPTH [2J at 3",
        "message person second line",
    ]
    assert "message" not in output_of(at, "log", "r", "--kept")
    log = json.loads(output_of(at, "log", "r", "--json"))
    assert [(each["text"], each["number"], each["first_read_by"]) for each in log["messages"]] == [
        ("keep DEPTH [2J at 3", 3, 3),
        ("second\nline", 3, 3),
    ]
    assert [trial["n_messages"] for trial in log["trials"]] == [0, 0, 0, 2, 2]
    assert len({trial["notes"] for trial in log["trials"][1:]}) == 2
    assert "message:       second line" in output_of(at, "show", "r/3")
    assert f"hash {log['trials'][3]['notes']}" in output_of(at, "show", "r/3")
    assert "message:" not in output_of(at, "show", "r/4")
    output_of(at, "report", "r")
    page = (at.folder / "r.html").read_text()
    assert "Messages to the run" in page
    assert "keep DEPTH [2J at 3" in page
    output_of(at, "log", "r", "--verify")
    (at.runs.run("r").notes(log["trials"][3]["notes"])).unlink()
    assert "which its proposer read, is missing" in output_of(at, "log", "r", "--verify", code=1)
    assert "restore it" in output_of(at, "prompt", "r/3", code=2)


def test_a_mode_that_asks_no_model_says_so_and_records_the_message(at: Zygote) -> None:
    (at.folder / "task" / "notes.md").write_text("for people")
    started(at, mode="random")
    assert "mode random asks no model, so no model reads it" in output_of(at, "say", "r", "hello")
    output_of(at, "resume", "r", "--trials", "4")
    log = json.loads(output_of(at, "log", "r", "--json"))
    assert [(each["text"], each["first_read_by"]) for each in log["messages"]] == [("hello", None)]
    assert None not in [trial["notes"] for trial in log["trials"][1:]]
    assert "files/notes.md" not in {str(path) for path in at.runs.run("r").root.rglob("notes.md")}


@pytest.mark.slow
def test_a_message_to_a_comparison_goes_to_all_its_runs(at: Zygote) -> None:
    argv = ["compare", "--task", "task", "--modes", "random,local", "--seeds", "1", "--trials", "2", "--name", "c"]
    output_of(at, *argv)
    lines = output_of(at, "say", "c", "hello").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["c-random-s0", "c-local-s0"]
    assert all("once `agent compare --resume c` proposes again" in line for line in lines)
    output_of(at, "compare", "--resume", "c", "--trials", "3")
    for name in ("c-random-s0", "c-local-s0"):
        assert [message.text for message in read_history(at.runs.run(name).journal).run_events.messages] == ["hello"]


def test_a_client_reads_messages_and_cannot_start_a_paused_run(at: Zygote) -> None:
    submitted = ["run", "--task", "task", "--mode", "submitted", "--trials", "4", "--name", "r"]
    output_of(at, *submitted)
    assert "clients read it with their next `agent brief`" in output_of(at, "say", "r", "keep it narrow")
    assert json.loads(output_of(at, "brief", "r", "--json"))["messages"] == ["keep it narrow"]
    Inbox(at.runs.run("r").inbox).put(PAUSE)  # as `agent pause` leaves it until the run begins again
    values = ["submit", "r", "--values", '{"WIDTH": 1.0}', "--title", "narrow"]
    held = "a person has paused r; `agent resume r` continues it, and no submission is lost"
    assert held in output_of(at, *values)
    (message,) = Inbox(at.runs.run("r").inbox).messages("submission")
    assert held in output_of(at, "wait", "r", message.id, code=1)
    output_of(at, "resume", "r")
    assert [trial.proposal.title for trial in read_history(at.runs.run("r").journal).trials[1:]] == ["narrow"]


def test_a_run_that_waits_for_submissions_is_paused_although_no_process_works_on_it(at: Zygote) -> None:
    output_of(at, "run", "--task", "task", "--mode", "submitted", "--trials", "4", "--name", "r")
    for _ in range(2):
        assert "r: paused; what clients submit waits until `agent resume r` continues it" in output_of(at, "pause", "r")
    assert len(list(Inbox(at.runs.run("r").inbox).messages(PAUSE))) == 1
    # a process that a client had just started when the person paused the run
    assert "a person has paused r; `agent resume r` continues it" in output_of(
        at, "resume", "r", "--for-client", code=2
    )
    stored = output_of(at, "submit", "r", "--values", '{"WIDTH": 1.0}')
    (submission,) = [message.id for message in Inbox(at.runs.run("r").inbox).messages("submission")]
    assert f"submission {submission} is queued" in stored
    assert "it does not run yet: a person has paused r" in stored
    assert len(read_history(at.runs.run("r").journal).trials) == 1
    output_of(at, "resume", "r")
    assert len(read_history(at.runs.run("r").journal).trials) == 2
    output_of(at, "resume", "r", "--for-client")


@pytest.mark.usefixtures("slow")
def test_a_client_does_not_start_again_what_a_person_stops(warm: Zygote, tmp_path: Path) -> None:
    at = warm.within(tmp_path)
    output_of(at, "run", "--task", "task", "--mode", "submitted", "--no-smoke", "--trials", "3", "--name", "r")
    submission = json.loads(output_of(at, "submit", "r", "--values", '{"WIDTH": 1.0}', "--json"))["submission"]
    deadline = time.monotonic() + 600
    while not processes_with(mark(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "stopped process" in output_of(at, "stop", "r")
    assert "a person has paused r; `agent resume r` continues it" in output_of(at, "wait", "r", submission, code=1)
    assert processes_with(mark(tmp_path)) == []
    (tmp_path / "gate" / "go").touch()
    output_of(at, "resume", "r")
    assert json.loads(output_of(at, "wait", "r", submission, "--json"))["status"] == "ok"


def test_a_run_from_a_trial_reads_the_notes_and_replays_without_them(at: Zygote) -> None:
    (at.folder / "task" / "notes.md").write_text("wider")
    started(at)
    (at.folder / "task" / "notes.md").write_text("now deeper")
    argv = ["run", "--from", "r/1", "--mode", "random", "--trials", "2", "--name", "other"]
    output_of(at, *argv)
    assert at.runs.run("other").root.joinpath("notes").is_dir()
    output_of(at, "replay", "r/1")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["say", "r", " \n\x1b "], "the message is empty"),
        (["say", "r", "x\n" * 10_000], "the message has 10000 lines and 19999 characters, at most 10 and 500 fit"),
        (["say", "r", "x" * 501], "write it into notes.md"),
        (["say", "nobody", "hello"], "there is no run 'nobody'"),
        (["say", "r"], "Missing argument 'TEXT'"),
        (["pause", "nobody"], "there is no run 'nobody'"),
        (["pause"], "no process of this machine works on r; `agent resume r` continues it"),
        (["stop", "r"], "no process of this machine works on r; `agent resume r` continues it"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_remedy(at: Zygote, argv: list[str], why: str) -> None:
    started(at, mode="random")
    assert why in output_of(at, *argv, code=2)
    assert at.said.count("\n") == 1
    assert list(Inbox(at.runs.run("r").inbox).messages("say")) == []


def test_bad_notes_stop_a_start_and_change_nothing(at: Zygote) -> None:
    (at.folder / "task" / "notes.md").write_bytes(b"\xff")
    argv = ["run", "--task", str(at.folder / "task"), "--mode", "random", "--trials", "2", "--name", "r"]
    assert "notes.md is not UTF-8 text (byte 0); save it as UTF-8" in output_of(at, *argv, code=2)
    assert not (at.folder / "runs" / "r").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "death",
    [
        *[Death(f"{when} fsync runs/r/journal.jsonl", nth=nth) for when in ("before", "after") for nth in (1, 2, 3)],
        "torn",
    ],
    ids=str,
)
def test_a_kill_neither_loses_nor_doubles_a_message(at: Zygote, death: Death | str) -> None:
    started(at)
    for text in ("first", "second"):
        output_of(at, "say", "r", text)
    journal = at.runs.run("r").journal
    if isinstance(death, str):
        death = Death(file_bytes=journal.stat().st_size + 150)  # in the line of the second message
    assert at.agent("resume", "r", "--trials", "5", death=death) in (SIGKILL, SIGXFSZ)
    assert at.agent("resume", "r", "--trials", "5", death=NEVER) == 0, at.said
    history = read_history(journal)
    assert [message.text for message in history.run_events.messages] == ["first", "second"]
    assert [trial.proposal.n_messages for trial in history.trials[3:]] == [2, 2]
    assert list(at.runs.run("r").inbox.iterdir()) == []
    output_of(at, "log", "r", "--verify")


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("workers", [1, 3])
def test_a_paused_run_ends_what_is_in_flight_and_goes_on_later(warm: Zygote, tmp_path: Path, workers: int) -> None:
    at = warm.within(tmp_path)
    with begun(tmp_path, workers=workers) as (process, _):
        trials = "1 trial" if workers == 1 else "3 trials"
        assert f"r: pauses once {trials} in flight and repeats that are due have ended" in output_of(at, "pause", "r")
        assert "already pauses" in output_of(at, "pause")
        (tmp_path / "gate" / "go").touch()
        for trial in processes_with(mark(tmp_path)):  # which began before the gate was open
            subprocess.run(["kill", "-9", str(trial)], check=False)
        assert process.wait(timeout=600) == 0
    output = (tmp_path / "said").read_text()
    assert "paused, as `agent pause` asked; `agent resume r` continues it" in output
    history = read_history(at.runs.run("r").journal)
    assert [trial.number for trial in history.trials] == list(range(workers + 1))
    assert not history.in_flight
    output_of(at, "resume", "r")
    assert list(at.runs.run("r").inbox.iterdir()) == []
    assert len(read_history(at.runs.run("r").journal).trials) == workers + 2
    output_of(at, "log", "r", "--verify")


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
def test_a_new_process_discards_requests_to_pause(warm: Zygote, tmp_path: Path) -> None:
    at = warm.within(tmp_path)
    with begun(tmp_path) as (process, _):
        output_of(at, "pause", "r")
        process.kill()
        process.wait()
    goes_on(warm, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("ignores_sigint", [False, True])
def test_a_stopped_run_stops_its_jobs_and_goes_on_later(warm: Zygote, tmp_path: Path, ignores_sigint: bool) -> None:
    at, before = warm.within(tmp_path), tmp_path / "in-background"
    before.write_text('#!/bin/sh\ntrap "" INT\nexec "$@"\n')  # as a shell starts `agent run &` in a script
    before.chmod(0o755)
    with begun(tmp_path, before=str(before) if ignores_sigint else "") as (process, _):
        assert f"stopped process {process.pid}; `agent resume r` continues r" in output_of(at, "stop", "r")
        assert process.wait(timeout=600) == 130
    assert processes_with(mark(tmp_path)) == []
    assert (tmp_path / "said").read_text().endswith("interrupted; continue with `agent resume r`\n")
    goes_on(warm, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("command", ["pause", "stop"])
def test_a_comparison_is_steered_by_its_name(warm: Zygote, tmp_path: Path, command: str) -> None:
    at = warm.within(tmp_path)
    argv = ["compare", "--task", str(tmp_path / "task"), "--modes", "random,local", "--seeds", "1", "--trials", "3"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AUTOCENTAUR_TRUST": "1"}
    with (tmp_path / "said").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", *argv, "--name", "c"], cwd=tmp_path, env=environment, stdout=out, stderr=out
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 600
        while not (running := processes_with(mark(tmp_path))):
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        document = json.loads(output_of(at, command, "c", "--json"))
        assert {each["run"] for each in document["runs"]} == {"c-random-s0", "c-local-s0"}
        if command == "pause":
            (tmp_path / "gate" / "go").touch()
            for trial in running:
                subprocess.run(["kill", "-9", str(trial)], check=False)
        assert process.wait(timeout=600) == {"pause": 0, "stop": 130}[command], (tmp_path / "said").read_text()
    finally:
        process.kill()
        process.wait()
    assert processes_with(mark(tmp_path)) == []
    (tmp_path / "gate" / "go").touch()
    output_of(at, "compare", "--resume", "c")
    for name in ("c-random-s0", "c-local-s0"):
        assert len(read_history(at.runs.run(name).journal).trials) == 3
