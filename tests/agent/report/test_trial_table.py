"""Which trials `agent log` lists."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.report.trial_table import trial_filter
from agent.trials.trial import Status
from tests.made_runs import BASELINE, BEGAN, failed, made_run, scored, searched

NOW = BEGAN + timedelta(minutes=35)
RESULTS = [BASELINE, (searched(0.1), scored(2.5, kept=True)), (searched(0.2), failed(Status.OUT_OF_MEMORY)),
           (searched(0.3), scored(2.7))]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [0, 1, 2, 3]),
        ({"kept": True}, [0, 1]),
        ({"status": "out-of-memory"}, [2]),
        ({"status": "reverted"}, [3]),
        ({"status": "ok", "kept": True}, [0, 1]),
        ({"since": "20m"}, [2, 3]),
        ({"since": "2026-11-21T22:10"}, [1, 2, 3]),
        ({"since": "2026-11-22"}, []),
    ],
)
def test_all_filters_must_hold(tmp_path: Path, asked: dict[str, str | bool], numbers: list[int]) -> None:
    stored = made_run(tmp_path / "runs", RESULTS)
    fits = trial_filter(**{"kept": False, "status": None, "since": None, **asked}, now=NOW)  # type: ignore[arg-type]
    assert [trial.number for trial in stored.history.trials if fits(trial)] == numbers


@pytest.mark.parametrize(("asked", "expected"), [({"status": "kaput"}, "kaput"), ({"since": "noon"}, "--since noon")])
def test_a_filter_that_makes_no_sense_is_refused(asked: dict[str, str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        trial_filter(**{"kept": False, "status": None, "since": None, **asked}, now=NOW)  # type: ignore[arg-type]
