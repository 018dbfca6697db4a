"""The list of runs: what each is doing, in one word, and lines that fit any terminal."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.execution.slots import Slot
from agent.report.live.recorder import WorkRecorder
from agent.report.runs_table import listed_runs, standing_word, table, totals
from agent.run.ending import MAX_IDLE_PROPOSALS
from agent.run.steering.user_input import PAUSE
from agent.store.inbox.inbox import Inbox
from agent.store.run_lock import locked
from agent.text import width_of
from agent.trials.events import TrialStarted
from agent.trials.trial import KeepState, Status
from tests.conftest import SilentObserver
from tests.made_runs import BASELINE, BEGAN, Again, Result, failed, made_run, opened, scored, searched

NOW = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
BETTER = (searched(0.25), scored(2.4, kept=True))
MORE = {"trials": 40}


@pytest.mark.parametrize(
    ("results", "mode", "options", "state"),
    [
        ([BASELINE, BETTER], "random", {"trials": 2}, "done"),
        ([BASELINE, BETTER], "random", MORE, "interrupted"),
        ([], "random", MORE, "interrupted"),
        ([BASELINE, TrialStarted(1, 0, searched(0.5), BEGAN.isoformat())], "random", MORE, "interrupted"),
        (
            [BASELINE, TrialStarted(1, 0, searched(0.5), BEGAN.isoformat(), needs_approval=True)],
            "random",
            MORE,
            "waiting",
        ),
        ([BASELINE, BETTER], "submitted", MORE, "waiting"),
        ([BASELINE, BETTER], "submitted", {"trials": 2}, "done"),
        ([(BASELINE[0], failed(Status.CRASHED))], "random", MORE, "failed"),
        ([BASELINE, *[(searched(0.5), failed(Status.NO_PROPOSAL))] * MAX_IDLE_PROPOSALS], "random", MORE, "stuck"),
    ],
)
def test_one_word_says_what_a_run_is_doing(
    tmp_path: Path, results: list[Result], mode: str, options: dict[str, object], state: str
) -> None:
    stored = made_run(tmp_path, results, mode=mode, options=options)
    assert [run.state for run in listed_runs(stored.runs)] == [state]


def test_a_run_that_a_person_has_paused_is_paused(tmp_path: Path) -> None:
    stored = made_run(tmp_path, [BASELINE, BETTER], options=MORE)
    Inbox(stored.paths.inbox).put(PAUSE)
    assert [run.state for run in listed_runs(stored.runs)] == ["paused"]


@pytest.mark.parametrize("columns", [24, 40, 60, 80, 120, None])
def test_the_table_fits_any_terminal_and_always_has_names_and_results(tmp_path: Path, columns: int | None) -> None:
    made_run(tmp_path, [BASELINE, BETTER], name="20261121-220000-local-gp-s0", options=MORE)
    stored = made_run(tmp_path, [BASELINE, (searched(0.5), scored(3.1))], name="n", mode="noise")
    listed = listed_runs(stored.runs)
    lines = table(listed, NOW, columns)
    text = " ".join(" ".join(lines).split())
    assert max(map(width_of, lines)) <= (columns or 1000) or columns == 24  # a name alone is longer than 24 columns
    assert all(part in text for part in ("20261121-220000-local-gp-s0", "2.4 (−20.0 %)", "sigma 0.071", "interrupted"))
    if columns is None or columns >= 120:
        assert lines[0].split() == ["run", "state", "mode", "trials", "result", "standing", "spent", "size", "began"]
        assert "22:00" in lines[1]
    assert totals(listed).startswith("2 runs, ")


@pytest.mark.parametrize(
    ("results", "mode", "word"),
    [
        ([], "random", ""),
        ([BASELINE], "random", "no gain"),
        ([BASELINE, BETTER], "random", "provisional"),
        ([BASELINE, BETTER, Again(1, scored(2.41), KeepState.REPEATED)], "random", "repeated"),
        (
            [BASELINE, BETTER, Again(1, scored(2.41), KeepState.CONFIRMED, slices=(opened(0, 1, 0.9),))],
            "random",
            "confirmed",
        ),
        ([BASELINE, BETTER, Again(1, scored(2.41), KeepState.ROLLED_BACK)], "random", "no gain"),
        ([BASELINE, (searched(0.5), scored(3.1))], "noise", ""),
    ],
)
def test_one_word_says_how_sure_a_gain_is(tmp_path: Path, results: list[Result], mode: str, word: str) -> None:
    stored = made_run(tmp_path, results, mode=mode, options={"keep": "two-tier", **MORE})
    assert [standing_word(run.stored) for run in listed_runs(stored.runs) if run.stored] == [word]


def test_below_the_table_is_what_a_run_at_work_does(tmp_path: Path) -> None:
    started = TrialStarted(1, 0, searched(0.5), BEGAN.isoformat(), n_seen=1)
    stored = made_run(tmp_path, [BASELINE, started], options=MORE)
    made_run(tmp_path, [BASELINE], name="idle", options=MORE)
    with locked(stored.paths):
        recorder = WorkRecorder(SilentObserver(), stored.paths)
        recorder.started(stored.history.in_flight[1], Slot(0))
        recorder.scoring(stored.history.in_flight[1])
        assert table(listed_runs(stored.runs), NOW, None)[3:] == ["made: trial 1: scoring"]
    assert len(table(listed_runs(stored.runs), NOW, None)) == 3
