"""Runs of a script that prints its curve: who is stopped early, who is not, and what is remembered of it."""

import json
from pathlib import Path

import pytest

from agent.analysis.recorded_trial import from_commit
from agent.execution.early_stopping import FEWEST_CURVES, is_control
from agent.store.git_repo import TrialRepo
from agent.store.journal import read_history
from agent.store.run_config import load
from agent.trials.trial import Status, Trial
from tests.conftest import TASKS
from tests.kill_anywhere.killed_runs import Death, Zygote, contents_of

CURVED = TASKS / "curved"
SIGKILL = -9
N_FULL = FEWEST_CURVES - 1  # beside the baseline
HOPELESS = N_FULL + 1  # the number of the trial after these


def edit(old: str, new: str) -> str:
    return f"TITLE: {new}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


SLIGHTLY_WORSE = [edit("FLOOR = 0.5", f"FLOOR = 0.5{n + 1}") for n in range(N_FULL)]
BEHIND = edit("FLOOR = 0.5", "FLOOR = 2.5")
LATE = edit("BEND = 1.0", "BEND = 4.0")
WARM = edit("WARMUP = 0.0", "WARMUP = 0.45")
NAN = edit("    return FLOOR + 3.0 * math.exp(-4.0 * learned) + NOISE", "    return math.nan")
# A seed of the run under which no condemned trial of these runs on, and one under which the first one does.
NOBODY = next(s for s in range(100) if not any(is_control(s, n) for n in range(30)))
THE_FIRST = next(s for s in range(1000) if is_control(s, HOPELESS) and not is_control(s, HOPELESS + 1))


def begin(folder: Path, replies: list[str], seed: int, *options: str) -> list[str]:
    """Write the model's replies and return the command that runs them all, each as a trial."""
    recording = folder / "replies.jsonl"
    recording.write_text("".join(json.dumps({"reply": reply}) + "\n" for reply in replies))
    command = ["run", "--task", str(CURVED), "--mode", "code-edit", "--model", f"replay:{recording}", "--name", "r"]
    return [*command, "--no-smoke", "--seed", str(seed), "--trials", str(len(replies) + 1), *options]


def trials(warm: Zygote) -> list[Trial]:
    return read_history(warm.runs.run("r").journal).trials


def run(
    warm: Zygote, folder: Path, replies: list[str], seed: int = NOBODY, *options: str
) -> tuple[Zygote, list[Trial]]:
    here = warm.within(folder)
    assert here.agent(*begin(folder, replies, seed, *options)) == 0, here.said
    return here, trials(here)


@pytest.fixture(scope="module")
def stopped(warm: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[Zygote, list[Trial]]:
    """A run with a trial of each kind, after enough full curves."""
    return run(warm, tmp_path_factory.mktemp("stopped"), [*SLIGHTLY_WORSE, BEHIND, LATE, WARM, NAN])


def test_a_hopeless_trial_is_pruned_and_charged_half(stopped: tuple[Zygote, list[Trial]]) -> None:
    outcome = stopped[1][HOPELESS].outcome
    assert outcome is not None
    assert (outcome.status, outcome.val_loss, outcome.stopped_at) == (Status.PRUNED, None, 0.5)
    assert outcome.train_seconds == 1.0
    assert outcome.condemned is not None
    assert outcome.condemned.gap == pytest.approx(2.0)
    assert "2 behind trial 0 at half of the budget; none of 8 full curves closed a gap of more than" in outcome.reason


def test_a_trial_that_would_recover_more_than_any_is_pruned_too(stopped: tuple[Zygote, list[Trial]]) -> None:
    assert stopped[1][HOPELESS + 1].status is Status.PRUNED


def test_a_change_of_schedule_runs_to_its_end(stopped: tuple[Zygote, list[Trial]]) -> None:
    outcome = stopped[1][HOPELESS + 2].outcome
    assert outcome is not None
    assert (outcome.status, outcome.condemned) == (Status.OK, None)
    assert outcome.curve is not None
    assert outcome.curve.half > 2.0  # type: ignore[operator]


def test_a_loss_that_is_no_number_ends_the_trial_at_once(stopped: tuple[Zygote, list[Trial]]) -> None:
    outcome = stopped[1][HOPELESS + 3].outcome
    assert outcome is not None
    assert (outcome.status, outcome.stopped_at, outcome.curve) == (Status.DIVERGED, 0.0, None)


def test_what_was_stopped_and_what_that_saved_is_shown(stopped: tuple[Zygote, list[Trial]]) -> None:
    warm, _ = stopped
    assert warm.agent("log", "r") == 0
    assert "stopped early: 2 pruned at half of the budget, 1 diverged; that saved 4 s of training" in warm.said
    assert "pruned" in warm.said
    assert warm.agent("show", f"r/{HOPELESS}") == 0
    assert "at 50% of its budget, by its own report" in warm.said
    assert "gap 2 to the champion's curve at half of the budget, limit" in warm.said
    assert warm.agent("prompt", f"r/{HOPELESS + 1}") == 0
    assert "FLOOR = 2.5 -> pruned: 2 behind trial 0 at half of the budget" in warm.said
    assert warm.agent("log", "--verify", "r") == 0, warm.said


def test_a_pruned_trial_is_replayed_to_its_end(stopped: tuple[Zygote, list[Trial]]) -> None:
    warm, _ = stopped
    assert warm.agent("replay", f"r/{HOPELESS}") == 0, warm.said
    assert "replayed:     loss 2.55" in warm.said
    assert "verdict:      reproduced exactly" in warm.said
    assert warm.agent("replay", f"r/{HOPELESS + 3}") == 0, warm.said
    assert "reproduced: it failed in the same way" in warm.said


def test_a_pruned_trial_is_replayed_from_its_commit_alone(stopped: tuple[Zygote, list[Trial]]) -> None:
    warm, _ = stopped
    commit = TrialRepo(warm.runs.repo).find(f"r/{HOPELESS:04d}")
    found = from_commit(TrialRepo(warm.runs.repo), commit).outcome
    outcome = trials(warm)[HOPELESS].outcome
    assert outcome is not None
    assert (found.stopped_at, found.condemned) == (outcome.stopped_at, outcome.condemned)


def test_a_job_that_would_go_on_is_killed(warm: Zygote, tmp_path: Path) -> None:
    forever = f"{BEHIND}<<<<<<< SEARCH\nPAUSE = 0.0\n=======\nPAUSE = 600.0\n>>>>>>> REPLACE\n"
    _, found = run(warm, tmp_path, [*SLIGHTLY_WORSE, forever])
    assert found[HOPELESS].status is Status.PRUNED


def test_one_of_the_condemned_runs_on_and_is_counted(warm: Zygote, tmp_path: Path) -> None:
    here, found = run(warm, tmp_path, [*SLIGHTLY_WORSE, BEHIND, LATE], THE_FIRST)
    outcome = found[HOPELESS].outcome
    assert outcome is not None
    assert outcome.status is Status.OK
    assert outcome.condemned is not None
    assert found[HOPELESS + 1].status is Status.PRUNED
    assert "1 ran on as controls, to measure wrong kills: 0 of them kept" in here.said


def test_no_prune_lets_all_run_and_is_remembered(warm: Zygote, tmp_path: Path) -> None:
    here, found = run(warm, tmp_path, [*SLIGHTLY_WORSE, BEHIND], NOBODY, "--no-prune")
    assert [trial.status for trial in found] == [Status.OK] * (HOPELESS + 1)
    assert load(here.runs.run("r").run_json).prune is False


def test_a_script_that_prints_no_curve_is_never_stopped_and_reported(warm: Zygote, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "task.toml").write_text((CURVED / "task.toml").read_text())
    (folder / "train.py").write_text((CURVED / "train.py").read_text().replace("{step} progress ", "{step} done "))
    here = warm.within(tmp_path)
    command = begin(tmp_path, [*SLIGHTLY_WORSE, BEHIND], NOBODY)
    assert here.agent(*[str(folder) if word == str(CURVED) else word for word in command]) == 0, here.said
    assert {trial.status for trial in trials(here)} == {Status.OK}
    assert here.agent("show", "r/0") == 0
    assert "no line of its log matches the pattern of [curve]: no trial is pruned" in here.said


def test_killed_in_a_pruned_trial_it_goes_on_as_if_unbroken(
    warm: Zygote, stopped: tuple[Zygote, list[Trial]], tmp_path: Path
) -> None:
    unbroken = contents_of(stopped[0].runs, "r")
    here = warm.within(tmp_path)
    command = begin(stopped[0].folder, [*SLIGHTLY_WORSE, BEHIND, LATE, WARM, NAN], NOBODY)
    journal = "after fsync runs/r/journal.jsonl"
    assert here.agent(*command, death=Death(journal, nth=2 * HOPELESS + 1, whole_group=True)) == SIGKILL, here.said
    assert [trial.number for trial in trials(here)] == list(range(HOPELESS))
    assert here.agent("resume", "r", death=Death(journal, whole_group=True)) == SIGKILL
    assert trials(here)[-1].status is Status.PRUNED
    assert here.agent("resume", "r") == 0, here.said
    assert contents_of(here.runs, "r") == unbroken
