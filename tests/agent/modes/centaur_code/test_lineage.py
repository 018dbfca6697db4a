"""The lineage as a function of the trials: structures, what they gained, and what each turn earned."""

from dataclasses import replace

from agent.modes.centaur_code.lineage import Lineage, TunedStructure
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.trial import KeepState, Status, Trial
from tests.agent.modes.run_so_far import baseline, trial


def structure(number: int, loss: float | None, *, kept: bool = False, **fields: object) -> Trial:
    status = Status.OK if loss is not None else Status.CRASHED
    made = trial(number, loss=loss, status=status, kept=kept, turn=TurnChoice(TurnKind.STRUCTURE), **fields)
    return seconds(made, 2.0)


def tuned(number: int, of: int, loss: float, *, kept: bool = False, is_required: bool = True) -> Trial:
    turn = TurnChoice(TurnKind.NUMBERS, "", of, is_required)
    return seconds(trial(number, loss=loss, kept=kept, turn=turn), 1.0)


def seconds(made: Trial, spent: float) -> Trial:
    assert made.outcome is not None
    return replace(made, outcome=replace(made.outcome, train_seconds=spent))


RUN = [
    baseline(loss=3.0),
    structure(1, 2.8, kept=True),
    tuned(2, 1, 2.9),
    tuned(4, 1, 2.5, kept=True),
    structure(3, None),
    structure(5, 2.6),
    tuned(6, 5, 2.4, kept=True, is_required=False),
]


def test_every_trial_belongs_to_the_structure_that_it_tunes() -> None:
    lineage = Lineage(RUN, [replace(tuned(7, 5, 0.0), outcome=None)])
    assert {n: [t.number for t in found.tuning] for n, found in lineage.structures.items()} == {
        0: [], 1: [2, 4], 3: [], 5: [6, 7],
    }  # fmt: skip
    assert lineage.structure_of(RUN[3]).number == 1
    assert [lineage.structures[n].best_loss for n in (0, 1, 3, 5)] == [3.0, 2.5, None, 2.4]
    assert [lineage.structures[n].tuning_gain for n in (1, 3)] == [2.8 - 2.5, None]


def test_credits_are_gains_over_the_incumbent_of_the_moment() -> None:
    found = [(c.trial.number, c.is_structure, round(c.gain, 9), c.seconds) for c in Lineage(RUN).credits()]
    assert found == [
        (1, True, 0.2, 2.0), (2, True, 0.0, 1.0), (4, True, 0.3, 1.0), (3, True, 0.0, 2.0), (5, True, 0.0, 2.0),
        (6, False, 0.1, 1.0),
    ]  # fmt: skip


def test_a_gain_that_was_rolled_back_counts_for_nothing() -> None:
    rolled = [replace(t, repeat_state=KeepState.ROLLED_BACK) if t.number == 4 else t for t in RUN]
    gains = {credit.trial.number: round(credit.gain, 9) for credit in Lineage(rolled).credits()}
    assert (gains[4], gains[6]) == (0.0, 0.4)


def test_trials_that_tune_the_baseline_are_not_counted_for_structure() -> None:
    found = Lineage([baseline(loss=3.0), tuned(1, 0, 2.5, kept=True)]).credits()
    assert [(credit.is_structure, credit.gain) for credit in found] == [(False, 0.5)]


def test_a_structure_moves_while_its_last_trials_gain_a_step() -> None:
    losses = [2.5, 2.495, 2.6, 2.7]
    found = TunedStructure(structure(1, 2.8), tuple(tuned(n, 1, loss) for n, loss in enumerate(losses, start=2)))
    assert found.is_moving(4, 0.01)
    assert not found.is_moving(3, 0.01)
    assert found.is_moving(3, 0.001)
    assert not found.is_moving(5, 0.01)  # too few trials
