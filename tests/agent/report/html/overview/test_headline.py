"""The headline says in plain words what came of a run, and no more than the records support."""

from pathlib import Path

import pytest

from agent.report.html.modes import modes_compared
from agent.report.html.overview.headline import Headline, Tone, headline
from agent.report.html.tables import RunOnPage
from agent.trials.trial import KeepState, Status
from tests.made_runs import BASELINE, Again, Result, failed, made_run, opened, opened_for_result, scored, searched

KEPT: Result = (searched(0.1), scored(2.7, kept=True))
TWO_TIER = {"keep": "two-tier", "trials": 2}


def on_page(root: Path, results: list[Result], **options: object) -> RunOnPage:
    named = {name: options.pop(name) for name in ("name", "mode", "seed") if name in options}
    stored = made_run(root, results, options={**TWO_TIER, **options}, **named)  # type: ignore[arg-type]
    return RunOnPage(stored, stored.task(0), {}, None)


def of(root: Path, results: list[Result], **options: object) -> Headline:
    return headline([on_page(root, results, **options)], None)


def test_a_gain_on_slices_is_confirmed(tmp_path: Path) -> None:
    results: list[Result] = [
        BASELINE, KEPT, Again(1, scored(2.1), KeepState.CONFIRMED, slices=(opened(3, 1, 0.29),)),
        opened_for_result(7, 1, 0.25),
    ]  # fmt: skip
    found = of(tmp_path, results, pool="digest", n_slices=10)
    assert (found.tone, found.verdict) == (Tone.GAIN, "Confirmed")
    assert found.sentence.startswith("val_bpb 3.25 on unseen text, 7.1 % below the baseline there (")
    assert "standard errors, 3 held-out runs). It is trial 1." in found.sentence


def test_a_gain_without_a_pool_is_repeated_and_says_why_not_confirmed(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, KEPT, Again(1, scored(2.7009), KeepState.REPEATED)], noise_sigma=0.01)
    assert (found.tone, found.verdict) == (Tone.GAIN, "Repeated")
    assert found.sentence.startswith("val_bpb 2.7009, 10.0 % below the baseline (")
    assert " sigma, 1 fresh run). It is trial 1." in found.sentence
    assert found.sentence.endswith("It is repeated, not confirmed: the task has no pool.")


def test_an_untested_gain_is_no_improvement_but_a_candidate(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, (searched(0.1), scored(2.97, kept=True))], noise_sigma=0.025,
               noise_source="`agent noise`")  # fmt: skip
    assert (found.tone, found.verdict) == (Tone.OPEN, "No improvement confirmed")
    words = "Best candidate: trial 1, val_bpb 2.97, 1.0 % below the baseline (1.2 sigma, one run)."
    assert found.sentence == words


def test_noise_that_is_a_guess_is_called_one(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, (searched(0.1), scored(2.97, kept=True))], noise_sigma=None)
    assert "sigma, if sigma is as guessed: no repeat has measured it, one run)" in found.sentence


def test_noise_that_no_repeat_can_measure_is_called_unknown(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, KEPT, Again(0, scored(3.0)), Again(1, scored(2.7), KeepState.REPEATED)])
    assert "the noise of one run is unknown: every seed gives the same loss" in found.sentence
    assert "sigma" not in found.sentence


def test_a_metric_to_maximise_is_above_the_baseline(tmp_path: Path) -> None:
    results: list[Result] = [(BASELINE[0], scored(-0.5, kept=True)), (searched(0.1), scored(-0.6, kept=True))]
    found = of(tmp_path, results, metric_name="accuracy", metric_goal="maximise")
    assert "trial 1, accuracy 0.6, 20.0 % above the baseline" in found.sentence


def test_nothing_better_than_the_baseline(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, (searched(0.1), scored(3.5))])
    assert (found.tone, found.verdict) == (Tone.OPEN, "No improvement")
    assert found.sentence == "None of 1 trial was below the baseline's val_bpb 3."
    assert of(tmp_path / "b", [BASELINE]).sentence == "Only the baseline has finished: val_bpb 3."


def test_a_better_trial_that_is_not_kept_is_not_denied(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, KEPT, Again(1, scored(3.2), KeepState.ROLLED_BACK)], noise_sigma=0.01)
    assert found.sentence == "Of 1 trial, 1 had a better value than the baseline's val_bpb 3, but none is kept."


def test_a_baseline_without_a_loss_is_named_with_its_reason(tmp_path: Path) -> None:
    found = of(tmp_path, [(BASELINE[0], failed(Status.CRASHED, "no module named torch"))])
    assert (found.tone, found.verdict) == (Tone.FAILED, "The baseline has no loss")
    assert found.sentence == "crashed: no module named torch. No trial can be compared with it."


def test_a_run_that_nobody_holds_is_interrupted(tmp_path: Path) -> None:
    found = of(tmp_path, [BASELINE, (searched(0.1), scored(3.5))], trials=5)
    assert found.state == "The run is interrupted after 2 of 5 trials; `agent resume made` continues it."


def several(root: Path, losses: dict[str, list[float]]) -> list[RunOnPage]:
    """Return runs of one trial each, by mode and seed."""
    return [
        on_page(root, [BASELINE, (searched(0.1), scored(loss, kept=True))], name=f"c-{mode}-s{seed}", mode=mode,
                seed=seed, keep="any", final_runs=0)
        for mode, each in losses.items() for seed, loss in enumerate(each)
    ]  # fmt: skip


def test_a_comparison_names_the_best_mode_with_interval_not_the_luckiest_run(tmp_path: Path) -> None:
    runs = several(tmp_path, {"random": [2.1, 2.9, 2.9], "cma-es": [2.5, 2.51, 2.52]})
    found = headline(runs, modes_compared(runs))
    assert found.verdict == "No mode is shown to be the best"
    assert found.sentence.startswith("cma-es: mean of the best val_bpb 2.510 (95 % interval 2.485 to 2.535, 3 runs); ")
    assert "0.123 below random, seed by seed (95 % interval" in found.sentence
    assert found.tone is Tone.OPEN
    assert "it includes 0, so the difference may be chance" in found.sentence


def test_a_difference_beyond_chance_is_a_gain(tmp_path: Path) -> None:
    runs = several(tmp_path, {"random": [2.80, 2.81, 2.82], "cma-es": [2.5, 2.51, 2.521]})
    found = headline(runs, modes_compared(runs))
    assert (found.tone, found.verdict) == (Tone.GAIN, "Best mode: cma-es")
    assert "chance" not in found.sentence


def test_a_reference_that_is_better_beyond_chance_is_the_best_mode(tmp_path: Path) -> None:
    runs = several(tmp_path, {"random": [2.5, 2.51, 2.521], "cma-es": [2.80, 2.81, 2.82]})
    found = headline(runs, modes_compared(runs))
    assert (found.tone, found.verdict) == (Tone.GAIN, "Best mode: random")
    assert found.sentence.endswith("it is the reference, and its mean is the best, by more than chance.")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ({"random": [2.8, 2.81, 2.82], "cma-es": [2.5, 2.51, 2.521], "tpe": [2.501, 2.509, 2.522]}, "tpe"),
        ({"random": [2.4, 2.41, 2.95], "cma-es": [2.5, 2.512]}, "random"),
    ],
)
def test_the_best_mode_is_better_than_each_other_mode(
    tmp_path: Path, losses: dict[str, list[float]], words: str
) -> None:
    runs = several(tmp_path, losses)
    found = headline(runs, modes_compared(runs))
    assert (found.tone, found.verdict) == (Tone.OPEN, "No mode is shown to be the best")
    assert found.sentence.endswith(f"It is not shown to be better than {words}.")


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ({"random": [2.5], "cma-es": [2.6]}, "and its mean is the best, but not by more than chance."),
        ({"random": [2.6], "cma-es": [2.5]}, "seed by seed; one seed gives no interval, so this may be chance."),
        ({"random": [2.5, 2.6]}, "2 runs)."),
    ],
)
def test_what_few_runs_cannot_show_is_stated(tmp_path: Path, losses: dict[str, list[float]], words: str) -> None:
    runs = several(tmp_path, losses)
    found = headline(runs, modes_compared(runs))
    assert found.tone is Tone.OPEN
    assert found.sentence.endswith(words)
