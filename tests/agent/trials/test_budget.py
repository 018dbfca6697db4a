"""Durations, the ledger and what is left."""

import pytest

from agent.edits.edit import Unchanged
from agent.errors import UsageError
from agent.llm.model import ModelUsage
from agent.trials.budget import Budget, Ledger, duration, seconds
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial


def trial(number: int, train_seconds: float, total_seconds: float, usage: ModelUsage | None = None) -> Trial:
    proposal = Proposal(Origin.LLM, "t", Unchanged(), usage=usage)
    outcome = Outcome(Status.CRASHED, None, train_seconds=train_seconds, total_seconds=total_seconds)
    return Trial(number, 0, proposal, "then", outcome, "now")


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("1.5d", 129600), (" 2 h ", 7200)]
)
def test_durations_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "h", "-3h", "0", "0h", "3 weeks", "1e3", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize(("text", "meant"), [("8", "8h, 8m or 8s"), (" 1.5 ", "1.5h, 1.5m or 1.5s")])
def test_a_number_without_a_unit_is_no_duration(text: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        seconds(text, "--wall")
    assert f"--wall {text!r} is not a duration" in str(refused.value)
    assert f"did you mean {meant}?" in str(refused.value)


def test_the_ledger_adds_up_and_an_unknown_price_stays_unknown() -> None:
    ledger = Ledger.of(
        [
            trial(0, 10, 20),
            trial(1, 3, 5, ModelUsage("m", 1, 100, 10, 2.0, 0.5)),
            trial(2, 4, 6, ModelUsage("m", 2, 50, 5, 1.0, 0.25)),
        ]
    )
    assert (ledger.trials, ledger.train_seconds, ledger.wall_seconds) == (3, 17, 31)
    assert ledger.usage == ModelUsage("m", 3, 150, 15, 3.0, 0.75)
    assert ledger.plus(trial(3, 0, 0, ModelUsage("m", 1))).usage == ModelUsage("m", 4, 150, 15, 3.0, None)


def test_each_cap_ends_a_run_by_itself() -> None:
    ledger = Ledger(5, 100.0, 200.0, None)
    assert ledger.spent(Budget()) is None
    assert ledger.spent(Budget(6, 101, 201)) is None
    assert "5 trials" in (ledger.spent(Budget(trials=5)) or "")
    assert "training" in (ledger.spent(Budget(train_seconds=100)) or "")
    assert "wall time" in (ledger.spent(Budget(wall_seconds=150)) or "")
    assert ledger.left(Budget(trials=7, wall_seconds=7400)) == "2 trials, 2.0 h of wall time"


def test_durations_are_written_as_people_write_them() -> None:
    assert [duration(x) for x in (-1, 42, 750, 11520)] == ["0 s", "42 s", "12.5 min", "3.2 h"]
