"""The task's own estimate of memory, by real jobs: what surely will not fit never runs, from the second trial on."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.edits.edit import Params
from agent.errors import JournalError
from agent.estimates import Estimates, read_answers
from agent.paths import RunPaths
from agent.report.stored_run import StoredRun
from agent.standing import standing
from agent.task import Task
from sandbox.job import Execution, Job, Sandbox
from tests.conftest import TASKS
from tests.kill_anywhere.killed_runs import Death, Zygote, told

HUNGRY = TASKS / "hungry"
MEETS_TOO_MUCH = ("--seed", "3")  # CMA-ES asks for 32 pieces at once


@pytest.fixture
def agent(warm: Zygote, tmp_path: Path) -> Zygote:
    return warm.within(tmp_path)


def begin(task: Path, trials: int = 5, mode: str = "random", *options: str) -> list[str]:
    return [
        "run",
        "--task",
        str(task),
        "--mode",
        mode,
        "--name",
        "r",
        "--trials",
        str(trials),
        "--keep",
        "any",
        *options,
    ]


def changed(folder: Path, name: str, old: str, new: str) -> Path:
    """Return a copy of the task with one change."""
    task = folder / "task"
    if not task.exists():
        shutil.copytree(HUNGRY, task)
    text = (task / name).read_text()
    assert text.count(old) == 1
    (task / name).write_text(text.replace(old, new))
    return task


def asking(task: Task, sandbox: Sandbox, folder: Path, said: list[str]) -> Estimates:
    paths = RunPaths(folder / "r")
    paths.root.mkdir(exist_ok=True)
    return Estimates(task, None, sandbox, paths, passed_on={}, say=said.append)


def at(pieces: int) -> Params:
    return {"PIECES": pieces, "SHIFT": 0.5}


def outcomes(agent: Zygote) -> list[tuple[int, str]]:
    """Return the pieces and the status of every trial."""
    events = [json.loads(line) for line in agent.runs.run("r").journal.read_text().splitlines()]
    pieces = {e["number"]: e["proposal"]["params"]["PIECES"] for e in events if e["event"] == "trial_started"}
    return [(pieces[e["number"]], e["outcome"]["status"]) for e in events if e["event"] == "trial_finished"]


def answers(agent: Zygote) -> Sequence[float | None]:
    return list(read_answers(agent.runs.run("r").estimates).values())


def test_what_will_not_fit_never_runs_once_the_baseline_has(agent: Zygote, tmp_path: Path) -> None:
    assert agent.agent(*begin(HUNGRY)) == 0, agent.said
    assert {status for _, status in outcomes(agent)} == {"ok"}
    estimated = answers(agent)
    assert max(gb for gb in estimated if gb is not None) > 4 * 0.25  # it was asked about what does not fit
    assert len(estimated) > 5
    assert agent.said.count("is estimated before they run") == 1

    blind = agent.within(tmp_path / "blind")
    without = changed(tmp_path, "task.toml", '[memory]\nestimate = ["python", "-S", "estimate.py"]\n', "")
    assert blind.agent(*begin(without)) == 0, blind.said
    assert "out_of_memory" in {status for _, status in outcomes(blind)}


def test_a_run_that_is_gone_on_with_is_the_unbroken_one(agent: Zygote, tmp_path: Path) -> None:
    """Even if its answers are lost: they are asked for again, and are the same."""
    assert agent.agent(*begin(HUNGRY, 4, "cma-es", *MEETS_TOO_MUCH)) == 0, agent.said
    unbroken, estimated = told(agent.runs, "r")["journal"], answers(agent)
    resumed = agent.within(tmp_path / "resumed")
    assert resumed.agent(*begin(HUNGRY, 2, "cma-es", *MEETS_TOO_MUCH)) == 0, resumed.said
    resumed.runs.run("r").estimates.unlink()
    assert resumed.agent("resume", "r", "--trials", "4") == 0, resumed.said
    journal = [event for event in told(resumed.runs, "r")["journal"] if event["event"] != "budget_raised"]
    assert journal == unbroken
    assert answers(resumed) == estimated

    stored, task = StoredRun.find(agent.runs, "r"), Task.load(HUNGRY)
    assert max(standing(stored, task)) == 3  # the report reads the answers,
    stored.paths.estimates.unlink()
    assert standing(stored, task) == {}  # and makes none up


def test_killed_while_an_answer_is_kept_it_ends_as_if_nobody_had(agent: Zygote, tmp_path: Path) -> None:
    assert agent.agent(*begin(HUNGRY, 3)) == 0, agent.said
    unbroken, places = told(agent.runs, "r"), [place for place in agent.places if "estimates.json" in place]
    assert len(places) >= 4  # opened, flushed, renamed
    killed = agent.within(tmp_path / "killed")
    for nth, place in enumerate(sorted(places)):
        argv = begin(HUNGRY, 3) if nth == 0 else ["resume", "r"]
        assert killed.agent(*argv, death=Death(place)) == -9, killed.said
        read_answers(killed.runs.run("r").estimates)  # whole, or not there
    assert killed.agent("resume", "r") == 0, killed.said
    assert told(killed.runs, "r") == unbroken


@pytest.mark.parametrize(
    ("program", "told_so"),
    [
        ("raise SystemExit('no such thing')", "exit 1: no such thing"),
        ("import absent", "No module named 'absent'"),
        ("print('memory: lots')", "it printed no line `memory_gb: X`"),
        ("print('memory_gb: nan')", "it printed no line `memory_gb: X`"),
        ("print('memory_gb: 0')", "it printed no line `memory_gb: X`"),
        ("print('memory_gb: 1e-320')", "it printed no line `memory_gb: X`"),  # its logarithm overflows a factor
        ("print('memory_gb: 1\\nmemory_gb: 2')", "it printed no line `memory_gb: X`"),
        ("import time; time.sleep(600)", "stopped after 1 s"),
        ("x = [0] * 10**9", "more memory than the limit"),
    ],
)
def test_a_command_that_tells_nothing_is_said_once_and_asked_no_more(
    sandbox: Sandbox, tmp_path: Path, program: str, told_so: str
) -> None:
    folder = changed(tmp_path, "task.toml", "wall_seconds = 60", "wall_seconds = 1")
    (folder / "estimate.py").write_text(program + "\n")
    said: list[str] = []
    ask = asking(Task.load(folder), sandbox, tmp_path, said)
    assert [ask(at(4)), ask(at(4)), ask(at(8))] == [None, None, None]
    assert len(said) == 1
    assert told_so in said[0]
    assert "the run goes on without estimates" in said[0]
    assert "\n" not in said[0]
    assert ask(at(4)) is None
    assert asking(Task.load(folder), sandbox, tmp_path, said)(at(4)) is None  # as a resumed run has it
    assert len(said) == 1


def test_a_run_goes_on_without_estimates(agent: Zygote, tmp_path: Path) -> None:
    task = changed(tmp_path, "estimate.py", "print(", "import absent\nprint(")
    assert agent.agent(*begin(task, 3)) == 0, agent.said
    assert len(outcomes(agent)) == 3
    assert agent.said.count("no estimate of memory") == 1
    assert "Traceback" not in agent.said


def test_values_that_it_cannot_estimate_have_none_and_after_three_it_is_asked_no_more(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = changed(tmp_path, "estimate.py", "print(", "assert train.PIECES <= 4\nprint(")
    said: list[str] = []
    ask = asking(Task.load(folder), sandbox, tmp_path, said)
    assert [ask(at(n)) for n in (4, 8, 16, 32, 2)] == [pytest.approx(4 * 100 / 1024), None, None, None, None]
    assert ["these values run without one" in line for line in said] == [False, True, True, True]
    assert list(read_answers(RunPaths(tmp_path / "r").estimates).values()).count(None) == 3


def test_it_gets_no_gpu_and_sees_what_a_trial_sees(sandbox: Sandbox, tmp_path: Path) -> None:
    jobs: list[Job] = []

    class Listening:
        def run(self, job: Job) -> Execution:
            jobs.append(job)
            return sandbox.run(job)

        def close(self) -> None:
            pass

    assert asking(Task.load(HUNGRY), Listening(), tmp_path, [])(at(4)) is not None
    assert [job.on_cpu for job in jobs] == [True]
    assert {"TRAIN_ESTIMATE", "TRAIN_DATA", "TRAIN_SEED"} <= set(jobs[0].environment)
    assert [mount.target for mount in jobs[0].mounts] == ["/task"]


def test_a_model_that_asks_for_too_much_is_told_the_estimate(agent: Zygote, tmp_path: Path) -> None:
    recording = tmp_path / "replies.jsonl"
    replies = [{"PIECES": 64, "SHIFT": 0.1}, {"PIECES": 8, "SHIFT": 0.1}]
    recording.write_text("".join(json.dumps({"reply": json.dumps(reply)}) + "\n" for reply in replies))
    assert agent.agent(*begin(HUNGRY, 2, "fixed", "--model", f"replay:{recording}")) == 0, agent.said
    assert outcomes(agent) == [(4, "ok"), (8, "ok")]
    asked: dict[str, Any] = json.loads((agent.runs.run("r").trial(1).llm).read_text().splitlines()[-1])
    assert "this will not fit in memory: it needs about 1." in json.dumps(asked)


def test_damaged_answers_are_said_in_one_line_with_the_remedy(sandbox: Sandbox, tmp_path: Path) -> None:
    ask = asking(Task.load(HUNGRY), sandbox, tmp_path, [])
    estimated, path = ask(at(4)), RunPaths(tmp_path / "r").estimates
    path.write_text(path.read_text()[:-5])
    with pytest.raises(JournalError, match="delete it, and what it held is estimated again") as error:
        asking(Task.load(HUNGRY), sandbox, tmp_path, [])
    assert "\n" not in str(error.value)
    path.unlink()
    assert asking(Task.load(HUNGRY), sandbox, tmp_path, [])(at(4)) == estimated
