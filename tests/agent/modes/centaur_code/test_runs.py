"""Runs of mode centaur-code through the command line: the journal, resume, several workers, approvals, comparison."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.store.journal import read_history
from agent.trials.hybrid.turn import TurnKind
from agent.trials.trial import Trial
from tests.kill_anywhere.killed_runs import INSTANT, Zygote

HEAD = "TITLE: {title}\n<<<<<<< SEARCH\ndef loss():\n=======\n{line}\n\n\ndef loss():\n>>>>>>> REPLACE\n"


def replies(folder: Path, *first: str) -> str:
    """Write replies: `first`, then ideas that add a constant each; return the option for them."""
    more = [HEAD.format(title=f"idea {n}", line=f"EXTRA_{n} = 0.5  # tune: 0..1") for n in range(30)]
    recording = folder / "replies.jsonl"
    recording.parent.mkdir(exist_ok=True)
    recording.write_text("".join(json.dumps({"reply": reply}) + "\n" for reply in (*first, *more)))
    return f"replay:{recording}"


def run(warm: Zygote, *options: str, first: tuple[str, ...] = (), task: Path = INSTANT) -> list[Trial]:
    model = replies(warm.folder, *first)
    status = warm.agent("run", "--task", str(task), "--mode", "centaur-code", "--model", model, "--name", "r", *options)
    assert status == 0, warm.said
    return trials_of(warm)


def trials_of(warm: Zygote) -> list[Trial]:
    return read_history(warm.runs.run("r").journal).trials


def tuned(trials: list[Trial]) -> list[int | None]:
    return [trial.proposal.turn.tunes for trial in trials if trial.proposal.turn is not None]


def first_structure(trials: list[Trial]) -> int:
    """Return the number of the first trial that changes the structure; those before it tune the baseline."""
    first = tuned(trials).index(None) + 1
    assert tuned(trials)[: first - 1] == [0] * (first - 1)
    assert 4 <= first - 1 <= 12
    return first


@pytest.fixture
def here(warm: Zygote, tmp_path: Path) -> Zygote:
    return warm.within(tmp_path)


@pytest.mark.slow
def test_a_run_tunes_what_the_model_wrote_and_goes_on_after_a_resume(here: Zygote) -> None:
    first = (
        HEAD.format(title="a range that does not fit", line="GAIN = 3  # tune: 5..9"),
        HEAD.format(title="the range mended", line="GAIN = 6  # tune: 5..9"),
    )
    trials = run(here, "--trials", "15", first=first)
    n = first_structure(trials)
    assert trials[n].proposal.title == "the range mended"
    assert trials[n].proposal.usage is not None
    assert trials[n].proposal.usage.calls == 2
    assert "GAIN = 3 and its comment" in (here.runs.run("r").trial(n).llm).read_text()
    assert "# tune: 32..1024 log2" in (here.runs.run("r").trial(n).llm).read_text()
    assert here.agent("resume", "r", "--trials", "20") == 0, here.said
    trials = trials_of(here)
    assert tuned(trials)[n - 1 : n + 4] == [None, n, n, n, n]
    assert len({trial.proposal.fingerprint for trial in trials}) == len(trials)
    assert here.agent("log", "r", "--verify") == 0, here.said
    assert here.agent("log", "r") == 0
    assert "gains: structure +" in here.said
    assert here.agent("show", "r/2") == 0
    assert "numbers: the baseline comes first: tuning trial 2 of at least 4" in here.said
    assert here.agent("show", f"r/{n + 1}") == 0
    assert f"numbers: trial {n} is within the margin of the incumbent: tuning trial 1 of at least 4" in here.said
    assert here.agent("prompt", f"r/{n}") == 0
    assert "leave its numbers to a searcher" in here.said
    assert here.agent("prompt", f"r/{n + 1}") == 2
    assert "the searcher" in here.said
    assert here.agent("report", "r", "--out", "page.html") == 0, here.said


@pytest.mark.slow
def test_three_workers_tune_at_once(here: Zygote, sleeping: Path) -> None:
    trials = run(here, "--trials", "20", "--workers", "3", "--queue", "1", task=sleeping)
    assert len(trials) == 20
    assert first_structure(trials) < 20
    assert len({trial.proposal.fingerprint for trial in trials}) == len(trials)
    assert here.agent("log", "r", "--verify") == 0, here.said


@pytest.mark.slow
def test_a_task_without_a_space_is_tuned_by_its_own_constants(here: Zygote, tmp_path: Path) -> None:
    task = tmp_path / "plain"
    task.mkdir()
    toml = (INSTANT / "task.toml").read_text()
    (task / "task.toml").write_text(toml[: toml.index("[space]")])
    (task / "train.py").write_text((INSTANT / "train.py").read_text())
    trials = run(here, "--trials", "18", task=task)
    n = first_structure(trials)
    assert tuned(trials)[n - 1 : n + 4] == [None, n, n, n, n]
    assert {name for trial in trials[1:n] for name in edited(trial)} == {"WIDTH", "SHIFT", "DEPTH"}
    names = {name for trial in trials[n + 1 : n + 5] for name in edited(trial)}
    assert names == {"WIDTH", "SHIFT", "DEPTH", "EXTRA_0"}
    assert all(trial.proposal.params is None for trial in trials)


def edited(trial: Trial) -> dict[str, Any]:
    """Return the values of a tuning trial's edit."""
    edit = trial.proposal.edit.to_json()
    return dict(edit["values"] if "values" in edit else edit["edits"][-1]["values"])


@pytest.mark.slow
def test_a_wrong_range_in_the_task_itself_is_reported_before_anything_runs(here: Zygote, tmp_path: Path) -> None:
    task = tmp_path / "wrong"
    task.mkdir()
    (task / "task.toml").write_text((INSTANT / "task.toml").read_text())
    script = (INSTANT / "train.py").read_text().replace("SHIFT = 0.3", "SHIFT = 0.3  # tune: 1..2")
    (task / "train.py").write_text(script)
    model = replies(here.folder)
    status = here.agent("run", "--task", str(task), "--mode", "centaur-code", "--model", model, "--trials", "3")
    assert status == 2
    assert "train.py: SHIFT = 0.3 and its comment `# tune: ...` do not fit: 0.3 is outside 1 to 2" in here.said
    assert "Traceback" not in here.said


@pytest.mark.slow
def test_it_is_compared(here: Zygote) -> None:
    model = replies(here.folder)
    options = ["--modes", "centaur-code,local-gp", "--seeds", "1", "--trials", "15", "--model", model, "--name", "c"]
    assert here.agent("compare", "--task", str(INSTANT), *options) == 0, here.said
    trials = read_history(here.runs.run("c-centaur-code-s0").journal).trials
    turn = trials[first_structure(trials)].proposal.turn
    assert turn is not None
    assert turn.kind is TurnKind.STRUCTURE


@pytest.mark.slow
def test_an_option_of_another_mode_is_refused(here: Zygote) -> None:
    status = here.agent("run", "--task", str(INSTANT), "--mode", "centaur-code", "--llm-share", "0.5", "--trials", "2")
    assert status == 2
    assert "--llm-share is for centaur" in here.said
