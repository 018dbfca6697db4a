"""What is said of slices of unseen text: what they confirmed and by how much, what is published, what is left."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.execution.slices.source import Openings
from agent.report.json_documents import result_json
from agent.report.live.console import LiveConsole
from agent.report.live.observer import ConsoleObserver
from agent.report.run_summary import summary
from agent.report.slices import (
    PoolSize,
    confirmable,
    decision_text,
    pool_lines,
    pool_size,
    published,
    slices_table,
    why_repeated,
    with_seed_noise,
)
from agent.report.trial_details import facts
from agent.report.trial_table import repeat_line
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.task.host_commands.prepared import DIVISION, digest_of_file
from agent.trials.history import History
from agent.trials.keeping.confirmations import SliceScore, SliceUse
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.keeping.noise import Lead
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose
from agent.trials.trial import KeepState, Score
from tests.made_runs import (
    BASELINE,
    Again,
    Result,
    made_history,
    made_run,
    opened,
    opened_for_result,
    scored,
    searched,
)

METRIC = Metric(name="val_bpb")
KEPT: list[Result] = [BASELINE, (searched(0.1), scored(2.0, kept=True))]
POOLED = {"keep": "two-tier", "pool": "digest", "n_slices": 10, "noise_sigma": 0.04}
CONFIRMED = Again(1, scored(2.1), KeepState.CONFIRMED, slices=(opened(3, 1, 0.29),))
FINAL = [Again(1, scored(2.2), purpose=Purpose.FINAL, seed=seed) for seed in (100, 101, 102)]


def words_of(*tests: Again) -> str:
    """Return what is said of the last of some tests of trial 1."""
    return decision_text(made_history([*KEPT, *tests]).repeats[-1], METRIC)


def run_of(tmp_path: Path, *results: Result, **options: Any) -> StoredRun:
    return made_run(tmp_path / "runs", [*KEPT, *results], options={**POOLED, **options})


def summary_of(stored: StoredRun, pool: PoolSize | None = None) -> str:
    return "\n".join(summary(stored.history, METRIC, stored.keeper, pool))


def test_a_confirmation_is_described_by_its_lead_its_standard_errors_and_its_slice() -> None:
    line = repeat_line(made_history([*KEPT, CONFIRMED]).repeats[0], METRIC, colour=False)
    expected = "0.29 ± 0.03 val_bpb better than the champion on unseen text (3.0 standard errors, 2 needed), slice 3"
    assert line.endswith(f"seed 1, to confirm it: {expected}")
    assert " confirmed " in line


def test_a_gain_that_one_slice_leaves_open_is_described_by_the_mean_of_both() -> None:
    first = Again(1, scored(2.1), KeepState.PROVISIONAL, slices=(opened(3, 1, 0.03),))
    assert words_of(first).endswith("slice 3; a second seed is tested on a second slice, if one is left")
    second = Again(1, scored(2.1), KeepState.PROVISIONAL, seed=2, slices=(opened(4, 1, 0.01),))
    error = 0.03 / math.sqrt(2)
    assert words_of(first, second).startswith(f"0.02 ± {error:.2g} val_bpb better than the champion")
    assert words_of(first, second).endswith("mean of slices 3 and 4; it stays provisional")


def test_a_roll_back_gives_its_reason() -> None:
    worse = Again(1, scored(2.1), KeepState.ROLLED_BACK, slices=(opened(3, 1, -0.02),))
    assert words_of(worse).startswith("0.02 ± 0.03 val_bpb worse than the champion")
    gap = Again(1, scored(2.1), KeepState.ROLLED_BACK, slices=(opened(3, 1, 0.2),), reason="it leads by too much")
    assert words_of(gap).endswith("slice 3; it leads by too much")
    seed = Again(1, scored(2.1), KeepState.ROLLED_BACK, reason="it ignores its seed")
    assert words_of(seed) == "it ignores its seed"


def test_a_burned_slice_names_the_model_without_an_answer() -> None:
    burned = opened(3, 1, 0.0, burned_by="champion", champion=0)
    after = Again(1, scored(2.1), KeepState.CONFIRMED, slices=(burned, opened(4, 1, 0.29)))
    assert words_of(after).endswith("slice 4; slice 3 was burned by the champion: it was silent")
    alone = Again(1, scored(2.1), KeepState.PROVISIONAL, slices=(burned,), reason="the champion did not answer")
    assert words_of(alone) == "the champion did not answer; slice 3 was burned by the champion: it was silent"


def test_a_slice_that_other_runs_have_opened_and_a_flag_are_named() -> None:
    use = opened(3, 1, 0.29, n_other_runs=2, flags=("the champion answers worse",))
    words = words_of(Again(1, scored(2.1), KeepState.CONFIRMED, slices=(use,)))
    assert words.endswith("slice 3, opened before by 2 other runs of this machine; flag: the champion answers worse")
    first = Again(1, scored(2.1), KeepState.PROVISIONAL, slices=(opened(3, 1, 0.03, n_other_runs=1),))
    second = Again(1, scored(2.1), KeepState.PROVISIONAL, seed=2, slices=(opened(4, 1, 0.03),))
    words = "mean of slices 3 and 4, opened before by 1 and 0 other runs of this machine; it stays provisional"
    assert words_of(first, second).endswith(words)


def test_a_result_has_the_error_of_sampling_and_of_the_seeds_on_both_sides() -> None:
    found = with_seed_noise(Lead(0.5, 0.03), 0.04, 4)
    assert (found.mean, found.error) == (0.5, pytest.approx(math.sqrt(0.03**2 + 0.04**2 * (1 / 4 + 1))))


def test_final_runs_publish_the_result_of_their_slice(tmp_path: Path) -> None:
    stored = run_of(tmp_path, CONFIRMED, *FINAL, opened_for_result(7, 1, 0.25))
    found = published(stored.history, stored.keeper)
    assert found is not None
    assert (found.trial, found.slice, found.n_runs, found.held_out) == (1, 7, 3, True)
    assert (found.result, found.baseline, found.lead.mean) == (3.25, 3.5, 0.25)
    assert found.lead == with_seed_noise(Lead(0.25, 0.03), stored.keeper.sigma, 3)
    first, second, *_ = summary_of(stored).splitlines()
    assert first.startswith("confirmed: trial 1, val_bpb 3.250000 on unseen text, the baseline 3.500000: 0.25 ± ")
    assert first.endswith(" better (slice 7, 3 held-out runs)")
    assert second.startswith("  search loss: val_bpb 2.200000")
    assert result_json(stored.history, stored.keeper)["published"] == found.to_json()
    assert dict(facts(stored, stored.trial(1)))["result"] in first
    assert "result" not in dict(facts(stored, stored.trial(0)))


def test_without_final_runs_the_slice_that_confirmed_it_is_published(tmp_path: Path) -> None:
    stored = run_of(tmp_path, CONFIRMED)
    found = published(stored.history, stored.keeper)
    assert found is not None
    assert (found.slice, found.n_runs, found.held_out, found.result) == (3, 1, False, 3.5 - 0.29)
    assert "(slice 3, the confirming run)" in summary_of(stored)


def test_a_later_champion_is_not_published_by_the_slice_of_an_earlier_one(tmp_path: Path) -> None:
    later = Again(2, scored(1.6), KeepState.CONFIRMED, slices=(opened(8, 2, 0.3, champion=1, over_baseline=0.6),))
    results = (CONFIRMED, *FINAL, opened_for_result(7, 1, 0.25), (searched(0.2), scored(1.5, kept=True)), later)
    stored = run_of(tmp_path, *results)
    found = published(stored.history, stored.keeper)
    assert found is not None
    assert (found.trial, found.slice, found.lead.mean) == (2, 8, 0.6)


def test_what_is_not_confirmed_is_not_published(tmp_path: Path) -> None:
    open_ = Again(1, scored(2.1), KeepState.PROVISIONAL, slices=(opened(3, 1, 0.03),))
    stored = run_of(tmp_path, open_)
    assert published(stored.history, stored.keeper) is None
    assert summary_of(stored).startswith("no gain is confirmed; baseline ")
    assert "sigma, not confirmed" in summary_of(stored)


def test_the_summary_counts_what_the_pool_has_left(tmp_path: Path) -> None:
    burned = opened(2, 1, 0.0, burned_by="baseline")
    flagged = opened(3, 1, 0.29, flags=("odd",))
    stored = run_of(tmp_path, replace(CONFIRMED, slices=(burned, flagged)))
    lines = pool_lines(stored.history, stored.keeper, PoolSize(10, 6))
    first = "pool: 10 slices, 2 opened (1 burned), 6 never opened by any run of this machine"
    assert lines == [first, "  slice 3: odd"]
    assert "pool: 10 slices, 2 opened (1 burned)\n" in summary_of(stored, PoolSize(10))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_slices": 1}, "  the pool is used up: this run can confirm no further gain"),
        ({"n_slices": 2, "final_runs": 3}, "  the pool is used up except for the slice of the final runs"),
    ],
)
def test_a_pool_that_is_used_up_is_named(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    stored = run_of(tmp_path, CONFIRMED, **options)
    lines = pool_lines(stored.history, stored.keeper, PoolSize(options["n_slices"]))
    assert lines[-1].startswith(expected)
    assert "used up" in confirmable(stored.keeper, 0.02, METRIC, "held_out")[0]


def test_the_size_of_the_pool_counts_what_any_run_has_opened(tmp_path: Path) -> None:
    stored = run_of(tmp_path, CONFIRMED, pool="1f3d5b7f5cf84b3f", n_slices=3)
    folder = tmp_path / "cache" / "bigram-pool-key"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text('{"slices": ["a", "b", "c"]}')
    assert pool_size(stored, tmp_path / "cache") == PoolSize(3, None)  # this pool is another one
    digest = "ea7fb08b7a2dc461"  # of the three names above
    openings = Openings(folder / "opened.jsonl")
    for run in "ab":
        openings.next(run, 3, ())
    stored = made_run(tmp_path / "more", [*KEPT, CONFIRMED], options={**POOLED, "pool": digest, "n_slices": 3})
    assert pool_size(stored, tmp_path / "cache") == PoolSize(3, 1)
    assert pool_size(stored) == PoolSize(3, None)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pool": None, "n_slices": 0}, "the task has no pool"),
        ({"pool": None, "n_slices": 0, "confirm": False}, "--no-confirm"),
        ({"n_slices": 1, "final_runs": 3}, "the pool has only one slice, which is reserved for the final runs"),
        ({}, ""),
        ({"keep": "any", "pool": None, "n_slices": 0}, ""),
    ],
)
def test_a_run_says_why_its_gains_are_only_repeated(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    stored = run_of(tmp_path, **options)
    assert why_repeated(stored.history, stored.keeper) == why
    assert ("gains are repeated, not confirmed: " + why in summary_of(stored)) == bool(why)
    assert result_json(stored.history, stored.keeper)["why_only_repeated"] == (why or None)


@pytest.mark.parametrize(
    ("score", "why"),
    [
        (Score(3.0, "printed"), "the score is self-reported"),
        (Score(3.0, "predictions"), "no validation examples are reserved for slices"),
        (Score(3.0, "audited", why_no_slices="the score program does not answer"), "the score program does not answer"),
    ],
)
def test_a_baseline_says_why_gains_are_only_repeated(tmp_path: Path, score: Score, why: str) -> None:
    first = (BASELINE[0], replace(BASELINE[1], score=score))
    options = POOLED if score.kind == "audited" else {"keep": "two-tier"}
    stored = made_run(tmp_path / "runs", [first], options=options)
    assert why_repeated(stored.history, stored.keeper) == why
    assert pool_size(stored) is None


def test_which_gain_can_be_confirmed_is_known_from_the_start() -> None:
    known = KeepPolicy(KeepRule(sigma=0.03, n_slices=9, gain=2.0))
    least = 2.0 * math.sqrt(2 * 0.03**2 + 0.01**2)
    (line,) = confirmable(known, 0.01, METRIC, "held_out")
    assert f"(9 slices); a gain must exceed {least:.2g} val_bpb: sigma is 0.03" in line
    line, warning = confirmable(known, 0.016, METRIC, "held_out")
    assert warning.startswith("warning: the sampling error of a slice, 0.016, is more than half of sigma, 0.03")
    (line,) = confirmable(known, None, METRIC, "held_out")
    assert "a gain must exceed 0.085 val_bpb or more" in line
    (line,) = confirmable(KeepPolicy(KeepRule(n_slices=9)), 0.01, METRIC, "held_out")
    assert "sigma is taken as 1 % of the baseline's loss" in line


def test_slices_of_examples_are_not_called_text(tmp_path: Path) -> None:
    rows = Score(3.0, "predictions")
    first = (BASELINE[0], replace(BASELINE[1], score=rows))
    again = replace(CONFIRMED, outcome=replace(CONFIRMED.outcome, score=rows))
    stored = made_run(tmp_path / "runs", [first, KEPT[1], again], options=POOLED)
    words = summary_of(stored) + decision_text(stored.history.repeats[0], METRIC)
    assert "val_bpb 3.210000 on unseen examples" in words
    assert "better than the champion on unseen examples (3.0 standard errors" in words
    line, warning = confirmable(KeepPolicy(KeepRule(sigma=0.03, n_slices=9)), 0.02, METRIC, "predictions")
    assert "text" not in words + line + warning


def test_every_slice_is_a_row_with_what_came_of_it() -> None:
    uses: list[SliceUse] = [opened(2, 1, 0.0, burned_by="baseline"), opened(3, 1, 0.29, n_other_runs=1)]
    history: History = made_history([*KEPT, replace(CONFIRMED, slices=tuple(uses)), opened_for_result(7, 1, 0.25)])
    burned, confirmed, result = slices_table([("r", history)], METRIC).rows
    assert burned == ["r", "2", "confirmation: trial 1", "", "", "", "", "", "burned by the baseline: it was silent"]
    assert confirmed[2:6] == ["confirmation: trial 1", "3.500000", "3.500000", "3.210000"]
    assert confirmed[6:8] == ["+0.29 ± 0.03", "+0.29 ± 0.03"]
    assert confirmed[8] == "confirmed; opened before by 1 other run of this machine"
    assert result[2:] == ["final runs: trial 1", "3.500000", "3.500000", "3.250000", "", "+0.25 ± 0.03", "published"]


def test_a_burned_slice_of_the_result_is_reported_at_once_for_no_row_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = ConsoleObserver(METRIC, RunPaths(tmp_path), lambda _number: None, LiveConsole())
    whole = opened_for_result(7, 1, 0.25)
    screen.slice_scored(whole)
    assert capsys.readouterr().out == ""
    screen.slice_scored(whole.scored(SliceScore({}, {}, 1.0, "result-100", "it was silent")))
    assert capsys.readouterr().out == "slice 7, for the result, was burned by the result-100: it was silent\n"


def test_openings_of_divided_examples_are_found_by_the_digest_of_the_division(tmp_path: Path) -> None:
    folder = tmp_path / "rows-key"
    folder.mkdir()
    (folder / DIVISION).write_text("{}")
    Openings(folder / "opened.jsonl").next("a", 3, ())
    found = Openings.of_pool(tmp_path, "bigram", digest_of_file(folder / DIVISION))
    assert found is not None
    assert found.n_untouched(3) == 2
    assert Openings.of_pool(tmp_path, "bigram", "another") is None
