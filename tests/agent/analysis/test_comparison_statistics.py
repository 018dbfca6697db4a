"""What the tables of a comparison say of runs that came to different ends. They are made by hand, their files real."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.analysis.comparison import Comparison
from agent.analysis.comparison_statistics import ResultBasis, figures, of_run
from agent.report.comparison_text import comparison_text
from agent.run.ending import MAX_IDLE_PROPOSALS, RunState
from agent.store.stored_run import StoredRun
from agent.trials.events import RepeatFinished, RepeatStarted
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose
from agent.trials.trial import Outcome, Proposal, Status
from tests.made_runs import BASELINE, failed, made_run, scored, searched

IDLE = (replace(searched(0.5), refused=Status.DUPLICATE), Outcome(Status.DUPLICATE, None))
Results = Sequence[tuple[Proposal, Outcome]]


def lost(mix: float, status: Status = Status.CRASHED) -> tuple[Proposal, Outcome]:
    return searched(mix), failed(status)


def run_of(
    root: Path, results: Results, *, name: str = "c-random-s0", mode: str = "random", seed: int = 0
) -> StoredRun:
    """Return a run with a budget of 8 trials that has come to `results`."""
    stored = made_run(root, results, name=name, mode=mode, seed=seed)
    return replace(stored, config=replace(stored.config, trials=8))


def with_repeats(stored: StoredRun, trial: int, losses: dict[int, float], purpose: Purpose) -> StoredRun:
    """Return the run after repeats of a trial, their losses by training seed."""
    with stored.paths.journal.open("a") as file:
        for seed, loss in losses.items():
            began = RepeatStarted(trial, seed, purpose, "2026-11-22T00:00:00+00:00")
            ended = RepeatFinished(trial, seed, scored(loss), None, "2026-11-22T00:00:00+00:00")
            file.writelines(json.dumps(event.to_json()) + "\n" for event in (began, ended))
    return replace(stored.again(), config=stored.config)


def test_a_run_that_has_not_come_so_far_has_no_number_there(tmp_path: Path) -> None:
    run = of_run(run_of(tmp_path, [BASELINE, (searched(0.6), scored(2.9, kept=True)), lost(0.7), lost(0.8)]))
    assert (run.state, run.n_trials) == (RunState.GOING_ON, 4)
    assert run.at_shares == (2.9, 2.9, None)  # after 2 trials, 4, 6
    assert run.best == 2.9


def test_a_run_that_gave_up_keeps_its_best_to_the_end(tmp_path: Path) -> None:
    stored = run_of(tmp_path, [BASELINE, (searched(0.6), scored(2.9, kept=True)), *[IDLE] * MAX_IDLE_PROPOSALS])
    run = of_run(replace(stored, config=replace(stored.config, trials=100)))
    assert run.state is RunState.STUCK
    assert run.at_shares == (2.9, 2.9, 2.9)
    assert (run.n_lost, run.n_ran) == (MAX_IDLE_PROPOSALS, 1)  # what never ran is no script that was tried


def test_a_baseline_without_a_loss_is_named(tmp_path: Path) -> None:
    run = of_run(run_of(tmp_path, [(BASELINE[0], failed(Status.CRASHED))]))
    assert (run.state, run.best, run.baseline, run.result) == (RunState.BASELINE_FAILED, None, None, None)


def test_failures_copies_and_different_scripts_are_counted(tmp_path: Path) -> None:
    def of(mix: float, script: str, **more: str) -> Proposal:
        return replace(searched(mix), fingerprint=script, **more)

    results = [
        BASELINE,
        (of(0.6, "a"), scored(2.9, kept=True)),
        (of(0.6, "a", copied_from="incumbent"), scored(2.95)),
        (of(0.7, "b"), failed(Status.OUT_OF_MEMORY)),
        (of(0.8, "c"), failed(Status.CRASHED)),
    ]
    run = of_run(run_of(tmp_path, results))
    assert (run.n_trials, run.n_lost, run.n_out_of_memory, run.n_copies) == (5, 2, 1, 1)
    assert (run.n_unique, run.n_ran) == (3, 4)


def test_a_result_is_what_did_not_choose_it_where_there_is_such(tmp_path: Path) -> None:
    kept = [BASELINE, (searched(0.6), scored(2.9, kept=True)), *[lost(0.01 * n) for n in range(6)]]
    single = run_of(tmp_path, kept)
    assert (of_run(single).result, of_run(single).made) == (2.9, ResultBasis.SINGLE)
    fresh = with_repeats(single, 1, {1: 2.96, 2: 2.98}, Purpose.CONFIRM)
    assert of_run(fresh).result == pytest.approx(2.97)
    assert of_run(fresh).made is ResultBasis.FRESH
    held_out = with_repeats(fresh, 1, {100: 3.01, 101: 3.03}, Purpose.FINAL)
    assert of_run(held_out).result == pytest.approx(3.02)
    assert of_run(held_out).made is ResultBasis.HELD_OUT
    assert of_run(held_out).repeat_seconds == 4.0
    assert of_run(held_out).ledger.trials == 8  # repeats cost, and are no trials
    nothing = of_run(run_of(tmp_path, [BASELINE, lost(0.5)], name="c-random-s1", seed=1))
    assert (nothing.result, nothing.made) == (3.0, ResultBasis.BASELINE)


def test_held_out_runs_that_are_missing_keep_a_run_going_on(tmp_path: Path) -> None:
    stored = run_of(tmp_path, [BASELINE, (searched(0.6), scored(2.9, kept=True)), *[lost(0.01 * n) for n in range(6)]])
    assert of_run(stored).state is RunState.DONE
    asked = replace(stored, config=replace(stored.config, final_runs=2))
    assert of_run(asked).state is RunState.GOING_ON
    assert of_run(with_repeats(asked, 1, {100: 3.0, 101: 3.0}, Purpose.FINAL)).state is RunState.DONE


def compared(root: Path, losses: dict[str, list[float]]) -> tuple[Comparison, list[StoredRun]]:
    """Return a comparison whose runs' best losses are these, by mode and seed."""
    stored = [
        run_of(
            root, [BASELINE, (searched(0.6), scored(loss, kept=True))], name=f"c-{mode}-s{seed}", mode=mode, seed=seed
        )
        for mode, each in losses.items()
        for seed, loss in enumerate(each)
    ]
    return Comparison("c", tuple(losses), max(map(len, losses.values())), stored[0].config), stored


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    comparison, stored = compared(tmp_path, {"random": [2.8, 2.6, 2.9], "local": [2.7, 2.4, 2.6]})
    random, local = figures(comparison, stored)
    assert random.minus is None
    assert local.minus is not None
    assert local.minus.mean == pytest.approx(-0.2)  # of -0.1, -0.2, -0.3
    assert local.minus.half == pytest.approx(4.302652729911275 * 0.1 / 3**0.5)
    (other, _) = figures(comparison, stored, "local")
    assert other.minus is not None
    assert other.minus.mean == pytest.approx(0.2)


def test_a_metric_to_maximise_is_shown_as_the_user_named_it(tmp_path: Path) -> None:
    comparison, stored = compared(tmp_path, {"random": [-0.7, -0.8], "local": [-0.8, -0.9]})
    rows = figures(comparison, stored)
    text = "\n".join(comparison_text(comparison, rows, Metric(name="accuracy", goal="maximise"), self_reported=False))
    assert "0.750 ± 0.071" in text
    assert "+0.100 (+0.100 to +0.100)" in text
    assert "-0.750" not in text


def test_a_run_that_has_not_begun_leaves_its_mode_without_a_difference(tmp_path: Path) -> None:
    comparison, stored = compared(tmp_path, {"random": [2.8], "local": [2.7, 2.4]})
    rows = figures(comparison, stored)
    assert rows[1].minus is None
    assert rows[0].over_seeds(lambda run: run.best).half is None  # type: ignore[union-attr]
    lines = comparison_text(comparison, rows, Metric(), self_reported=False)
    assert next(line for line in lines if line.startswith("local")).split()[-1] == "-"
