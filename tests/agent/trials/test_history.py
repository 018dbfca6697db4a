"""The one fold of a run's events: where the search stands, and what each trial was judged against."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.edits.edit import Unchanged
from agent.errors import JournalError
from agent.trials.best_so_far import lowest_kept
from agent.trials.events import RepeatFinished, RepeatStarted, TrialFinished, TrialStarted
from agent.trials.history import History, Position
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.repeat import Purpose, RepeatVerdict
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Status, Trial

IDEA = Proposal(Origin.SEARCHER, "idea", Unchanged())
Step = float | None | tuple[int, KeepState]  # the loss of a kept trial, a failure, or a verdict about a trial


def history(*steps: Step, parents: Sequence[int | None] | None = None) -> History:
    """Return the history of some trials and verdicts; each trial's parent is the incumbent if not given."""
    made = History([])
    for step in steps:
        number = len(made.trials)
        if isinstance(step, tuple):
            trial, standing = step
            made.add(RepeatStarted(trial, 1, Purpose.CONFIRM, "t"))
            made.add(RepeatFinished(trial, 1, Outcome(Status.OK, 1.0), RepeatVerdict(standing, 0.0), "t"))
            continue
        parent = parents[number] if parents else made.incumbent.number if made.incumbent else None
        made.add(TrialStarted(number, parent, IDEA, "t"))
        kept = step is not None and (made.incumbent is None or step < (made.incumbent.val_loss or 0.0))
        made.add(TrialFinished(number, Outcome(Status.CRASHED if step is None else Status.OK, step, kept=kept), "t"))
    return made


def judged_against(made: History) -> list[int | None]:
    found = [made.incumbent_before(trial.number) for trial in made.trials]
    return [None if trial is None else trial.number for trial in found]


def gains(made: History) -> list[float]:
    return [round(made.gain(trial.number), 9) for trial in made.trials]


def test_an_event_that_does_not_follow_is_refused() -> None:
    made = History([])
    made.add(TrialStarted(0, None, IDEA, "t"))
    with pytest.raises(JournalError, match="out of order"):
        made.add(TrialStarted(1, None, IDEA, "t"))
    made.add(TrialFinished(0, Outcome(Status.OK, 1.5, kept=True), "t"))
    with pytest.raises(JournalError, match="without having started"):
        made.add(TrialFinished(1, Outcome(Status.OK, 1.5), "t"))


def test_the_incumbent_is_the_last_kept_trial() -> None:
    made = history(1.5, 1.6, 1.4)
    assert made.incumbent is made.trials[2]
    assert made.champion is made.trials[0]
    assert judged_against(made) == [None, 0, 0]
    assert gains(made) == [0.0, 0.0, 0.1]
    assert lowest_kept(made) == [1.5, 1.5, 1.4]


def test_after_a_roll_back_the_champion_is_the_measure_again() -> None:
    made = history(2.0, 1.5, (1, KeepState.ROLLED_BACK), 1.9)
    assert (made.incumbent, made.champion) == (made.trials[2], made.trials[0])
    assert judged_against(made) == [None, 0, 0]
    assert gains(made) == [0.0, 0.0, 0.1]
    assert lowest_kept(made) == [2.0, 2.0, 1.9]


def test_a_roll_back_withdraws_all_that_was_provisional_and_keeps_what_it_was_judged_against() -> None:
    made = history(2.0, 1.8, 1.7, (2, KeepState.CONFIRMED), 1.6, None, 1.5, (5, KeepState.PROVISIONAL),
                   1.4, (6, KeepState.ROLLED_BACK), 1.65)  # fmt: skip
    standings = [trial.standing for trial in made.trials]
    gone = KeepState.ROLLED_BACK
    assert standings == [*[KeepState.CONFIRMED] * 3, gone, None, gone, gone, KeepState.PROVISIONAL]
    assert judged_against(made) == [None, 0, 1, 2, 3, 3, 5, 2]
    assert gains(made) == [0.0, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0, 0.05]
    assert lowest_kept(made) == [2.0, 1.8, *[1.7] * 5, 1.65]


def test_a_trial_is_judged_against_the_incumbent_of_its_end_and_not_against_its_parent() -> None:
    made = history(2.0, 1.8, 1.7, parents=[None, 0, 0])  # trial 2 was thought of while trial 1 ran
    assert judged_against(made) == [None, 0, 1]
    assert gains(made) == [0.0, 0.2, 0.1]


def test_without_a_loss_there_is_no_incumbent() -> None:
    made = history(None)
    assert (made.incumbent, made.champion, made.incumbent_before(0), made.gain(0)) == (None, None, None, 0.0)
    assert lowest_kept(made) == [None]


def test_a_trial_in_flight_was_judged_against_nothing_yet() -> None:
    made = history(2.0)
    made.add(TrialStarted(1, 0, IDEA, "t"))
    assert made.incumbent_before(1) is None
    with pytest.raises(IndexError):
        made.gain(1)


def test_a_verdict_about_a_trial_that_is_no_incumbent_moves_no_incumbent() -> None:
    assert Position(3, 0).judged(2, KeepState.ROLLED_BACK) == Position(3, 0)
    assert Position(3, 0).judged(3, KeepState.PROVISIONAL) == Position(3, 0)


def test_a_roll_back_looks_only_at_what_it_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, standing = [], Trial.standing.fget
    assert standing is not None

    def counted(trial: Trial) -> KeepState | None:
        looks.append(trial.number)
        found: KeepState | None = standing(trial)
        return found

    monkeypatch.setattr(Trial, "standing", property(counted))
    n_roll_backs = 100
    made = history(2.0, *(step for n in range(n_roll_backs) for step in (1.5, (n + 1, KeepState.ROLLED_BACK))))
    assert len(looks) <= 3 * n_roll_backs  # a walk over all trials at each of them takes n²/2
    assert {made.trials[number].repeat_state for number in range(1, n_roll_backs + 1)} == {KeepState.ROLLED_BACK}


@pytest.mark.parametrize("parent", [1, 2, -1])
def test_a_trial_that_is_built_on_none_before_it_is_refused(parent: int) -> None:
    made = History([])
    made.add(TrialStarted(0, None, IDEA, "t"))
    made.add(TrialFinished(0, Outcome(Status.OK, 1.0, kept=True), "t"))
    with pytest.raises(JournalError, match="trial 1 started out of order"):
        made.add(TrialStarted(1, parent, IDEA, "t"))
    with pytest.raises(JournalError, match="a repeat of trial -1 is out of order"):
        made.add(RepeatStarted(-1, 1, Purpose.CONFIRM, "t"))


@pytest.mark.parametrize("tunes", [1, 7, -1])
def test_a_trial_that_tunes_one_that_has_not_finished_is_refused(tunes: int) -> None:
    made = history(1.0)
    turn = TurnChoice(TurnKind.NUMBERS, "", tunes)
    with pytest.raises(JournalError, match="trial 1 started out of order"):
        made.add(TrialStarted(1, 0, replace(IDEA, turn=turn), "t"))
    made.add(TrialStarted(1, 0, replace(IDEA, turn=replace(turn, tunes=0)), "t"))
