"""The gain of a run divided between structure and numbers, folded from its events."""

import pytest

from agent.edits.edit import Unchanged
from agent.trials.events import TrialFinished, TrialStarted, event_from_json
from agent.trials.history import History
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.hybrid.turn_shares import turn_shares
from agent.trials.trial import Origin, Outcome, Proposal, Status


def history(trials: list[tuple[int | None, int | None, float, bool]], *, with_turns: bool = True) -> History:
    """Return the history of trials, each as (parent, trial that it tunes, loss, whether it is kept)."""
    folded = History([])
    for number, (parent, tunes, loss, kept) in enumerate(trials):
        kind = TurnKind.STRUCTURE if tunes is None else TurnKind.NUMBERS
        turn = TurnChoice(kind, "why", tunes) if number and with_turns else None
        proposal = Proposal(Origin.LLM, f"trial {number}", Unchanged(), turn=turn)
        started = TrialStarted(number, parent, proposal, "2026-01-01T00:00:00+00:00")
        read = event_from_json(started.to_json())
        assert read == started  # the journal keeps the turn
        folded.add(read)
        folded.add(
            TrialFinished(number, Outcome(Status.OK, loss, kept, train_seconds=2.0), "2026-01-01T00:01:00+00:00")
        )
    return folded


RUN = [
    (None, None, 3.0, True),
    (0, None, 2.8, True),  # structure 0.2
    (1, 1, 2.5, True),  # numbers 0.3
    (2, None, 2.6, False),  # a structure that is worse by 0.1,
    (2, 3, 2.55, False),
    (2, 3, 2.1, True),  # and tuned better by 0.4: structure -0.1, numbers 0.5
    (5, 3, 2.0, True),  # numbers 0.1
]


def test_a_tuned_gain_is_divided_at_the_loss_of_the_structure_as_it_was_written() -> None:
    structure, numbers = turn_shares(history(RUN))
    assert (structure.kind, structure.n_trials, structure.n_kept, structure.seconds) == (TurnKind.STRUCTURE, 2, 1, 4.0)
    assert (numbers.kind, numbers.n_trials, numbers.n_kept, numbers.seconds) == (TurnKind.NUMBERS, 4, 3, 8.0)
    assert structure.gain == pytest.approx(0.2 - 0.1)
    assert numbers.gain == pytest.approx(0.3 + 0.5 + 0.1)
    assert structure.gain + numbers.gain == pytest.approx(3.0 - 2.0)


def test_a_run_of_another_mode_has_none() -> None:
    assert turn_shares(history([(None, None, 3.0, True), (0, None, 2.8, True)], with_turns=False)) == []
