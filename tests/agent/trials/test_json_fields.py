"""Records that somebody else may have written: each field is of its type, or is named."""

from typing import Any

import pytest

from agent.trials.events import event_from_json
from agent.trials.json_fields import check_types

STARTED = {
    "event": "trial_started", "number": 1, "parent": 0, "at": "2026-11-22T10:00:00+00:00",
    "proposal": {"origin": "llm", "title": "t", "edit": {"kind": "whole_file", "text": "x = 1"}, "params": {"A": 1},
                 "usage": {"model": "m", "calls": 1}},
}  # fmt: skip
FINISHED = {
    "event": "trial_finished", "number": 1, "at": "2026-11-22T10:00:00+00:00",
    "outcome": {"status": "ok", "val_loss": 1.5, "flags": ["f"], "reported": {"a": 1.0}, "curve": {"start": 2.0},
                "score": {"val_loss": 1.5, "kind": "audited"}},
}  # fmt: skip


def changed(event: dict[str, Any], keys: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return an event with another value at a path of keys."""
    first, *rest = keys
    return {**event, first: changed(event[first], tuple(rest), value) if rest else value}


@pytest.mark.parametrize("event", [STARTED, FINISHED])
def test_what_a_run_writes_fits(event: dict[str, Any]) -> None:
    check_types(event_from_json(event))


@pytest.mark.parametrize(
    ("event", "keys", "value", "named"),
    [
        (STARTED, ("number",), "1", "TrialStarted.number"),
        (STARTED, ("number",), True, "TrialStarted.number"),
        (STARTED, ("number",), 10**400, "TrialStarted.number"),
        (STARTED, ("parent",), [0], "TrialStarted.parent"),
        (STARTED, ("proposal", "title"), ["x"], "Proposal.title"),
        (STARTED, ("proposal", "params"), {"A": [1]}, "Proposal.params"),
        (STARTED, ("proposal", "edit", "text"), 5, "WholeFile.text"),
        (STARTED, ("proposal", "usage", "calls"), None, "Usage.calls"),
        (FINISHED, ("outcome", "wall_seconds"), "long", "Outcome.wall_seconds"),
        (FINISHED, ("outcome", "val_loss"), float("nan"), "Outcome.val_loss"),
        (FINISHED, ("outcome", "val_loss"), float("inf"), "Outcome.val_loss"),
        (FINISHED, ("outcome", "flags"), [1], "Outcome.flags"),
        (FINISHED, ("outcome", "reported"), {"a": "x"}, "Outcome.reported"),
        (FINISHED, ("outcome", "curve", "start"), {}, "Curve.start"),
        (FINISHED, ("outcome", "score", "kind"), 1, "Score.kind"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_field(
    event: dict[str, Any], keys: tuple[str, ...], value: object, named: str
) -> None:
    with pytest.raises(TypeError, match=f"{named} should not be"):
        check_types(event_from_json(changed(event, keys, value)))


def test_a_moment_is_a_moment() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        check_types(event_from_json(changed(STARTED, ("at",), "\x1b[2J")))
