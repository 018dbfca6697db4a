"""How far a run is, its best value and its expected end, in one line; and what its heading says of its budget."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.modes.proposer import NoiseProposer
from agent.report.live.progress import budget_in_words, end_in_words, progress, progress_of_all
from agent.run.policy import Policy
from agent.store.run_config import RunConfig
from agent.trials.budget import Budget
from agent.trials.keeping.keep_rule import KeepRule
from tests.conftest import OpenRunWith
from tests.made_runs import BASELINE, made_history, made_run, scored, searched

NOW = datetime(2026, 11, 30, 6, 0, tzinfo=UTC)
RESULTS = [BASELINE, (searched(0.25), scored(2.907, kept=True)), (searched(0.5), scored(3.1))]  # 3 s each


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        (Budget(trials=40), "trial 3 of 40, best 2.907 (−3.1 %), ends about 06:01"),
        (Budget(trials=12_000), "trial 3 of 12000, best 2.907 (−3.1 %), ends about 15:59"),
        (Budget(trials=60_000), "trial 3 of 60000, best 2.907 (−3.1 %), ends about Wed 07:59"),
        (Budget(wall_seconds=7200.0), "trial 3, 9 s of 2.0 h of wall time, best 2.907 (−3.1 %), ends about 07:59"),
        (Budget(train_seconds=600.0), "trial 3, 3 s of 10.0 min of training, best 2.907 (−3.1 %), ends about 06:29"),
        (Budget(), "trial 3, best 2.907 (−3.1 %)"),
    ],
)
def test_one_line_says_how_far_a_run_is(open_run: OpenRunWith, budget: Budget, line: str) -> None:
    run, history = open_run(NoiseProposer()), made_history(RESULTS)
    run.records.history = history
    assert progress(replace(run, policy=Policy(KeepRule("any"), budget, history.results)), NOW) == line


def test_an_end_beyond_the_calendar_is_left_out(open_run: OpenRunWith) -> None:
    run, history = open_run(NoiseProposer()), made_history(RESULTS)
    run.records.history = history
    run = replace(run, policy=Policy(KeepRule("any"), Budget(trials=10**12), history.results))
    assert progress(run, NOW) == "trial 3 of 1000000000000, best 2.907 (−3.1 %)"
    assert progress_of_all([run], NOW) == "trial 3 of 1000000000000 in 1 run"


def test_before_the_baseline_it_promises_nothing(open_run: OpenRunWith) -> None:
    assert progress(open_run(NoiseProposer(), trials=40), NOW) == "trial 0 of 40"


def test_runs_that_take_turns_have_one_line(open_run: OpenRunWith) -> None:
    run, history = open_run(NoiseProposer()), made_history(RESULTS)
    run.records.history = history
    runs = [replace(run, policy=Policy(KeepRule("any"), Budget(trials=n), history.results)) for n in (40, 23)]
    assert progress_of_all(runs, NOW) == "trial 6 of 63 in 2 runs, ends about 06:02"
    runs.append(replace(run, policy=Policy(KeepRule("any"), Budget(), history.results)))
    assert progress_of_all(runs, NOW) == "trial 9 in 3 runs"


def test_the_default_budget_is_marked_as_the_default() -> None:
    assert budget_in_words(Budget(trials=100), is_default=True) == (
        "100 trials (the default; --trials, --budget and --wall set others)"
    )
    assert budget_in_words(Budget(trials=1, wall_seconds=28800.0), is_default=False) == "1 trial, 8.0 h of wall time"


def test_the_end_of_a_new_run_is_judged_by_the_last_run_of_its_task(tmp_path: Path) -> None:
    before = made_run(tmp_path / "runs", RESULTS, name="before")
    made_run(tmp_path / "runs", [BASELINE], name="short")
    made_run(tmp_path / "runs", RESULTS, name="wide", options={"workers": 2})
    new: RunConfig = replace(before.config, run_id="new")
    output = end_in_words(before.runs, new, Budget(trials=400), NOW)
    assert output == "ends about 06:20 if its trials take as long as those of before"
    assert end_in_words(before.runs, new, Budget(trials=400, wall_seconds=600.0), NOW) == "ends about 06:10"
    other = replace(new, task_digest="another task")
    assert end_in_words(before.runs, other, Budget(trials=400), NOW) == "its baseline will show when it ends"
    before.paths.run_json.write_text("torn")
    assert end_in_words(before.runs, new, Budget(trials=400), NOW) == "its baseline will show when it ends"
