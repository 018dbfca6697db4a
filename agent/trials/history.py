"""The history of a run, folded from its events: trials, what is in flight, and the incumbent before each trial.

Every reader uses it (log, page, trackers, tables), since a reader that folds the trials itself misses the roll-backs.

Trials are numbered in the order in which they start, and finish in any order.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import overload

from agent.errors import JournalError
from agent.trials.events import (
    AttemptLost,
    AttemptVoided,
    Event,
    RepeatFinished,
    RepeatStarted,
    RepeatTrained,
    SliceOpened,
    SliceScored,
    TrialApproval,
    TrialFinished,
    TrialStarted,
)
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, SlicePurpose, SliceUse
from agent.trials.repeat import Position, Purpose, Repeat
from agent.trials.steering import RunEvents
from agent.trials.trial import KeepState, Trial


def stands(trial: Trial) -> bool:
    """Return whether a trial became the incumbent and has not been rolled back."""
    return trial.kept and trial.val_loss is not None and trial.standing is not KeepState.ROLLED_BACK


def _holds(trial: Trial) -> bool:
    return trial.standing is not None and trial.standing.holds


@dataclass
class History:
    """All trials, repeats and slices of a run, with the incumbent and the champion."""

    trials: list[Trial]  # finished, by number, with their current standing
    by_finish: list[Trial] = field(default_factory=list)  # the same, in the order in which they finished
    in_flight: dict[int, Trial] = field(default_factory=dict)  # started and not finished, by number
    repeats: list[Repeat] = field(default_factory=list)
    repeating: Repeat | None = None  # in flight
    results: list[Trial | Repeat] = field(default_factory=list)  # both, as they were at their end
    run_events: RunEvents = field(default_factory=RunEvents)
    slices: list[SliceUse] = field(default_factory=list)  # in the order in which they were opened
    position: Position = field(default_factory=Position)
    _before: dict[int, int | None] = field(default_factory=dict)  # by trial: the incumbent that it was compared with
    _place: dict[int, int] = field(default_factory=dict)  # by trial: its index in `by_finish`
    _provisional: set[int] = field(default_factory=set)  # trials whose standing is provisional

    @property
    def n_started(self) -> int:
        """The number of trials that have started, and of the next one."""
        return len(self.trials) + len(self.in_flight)

    def trial(self, number: int) -> Trial:
        """Return a finished trial with its current standing. Raises IndexError if it has not finished."""
        if number not in self._place:
            raise IndexError(f"trial {number} has not finished")
        return self.by_finish[self._place[number]]

    @property
    def incumbent(self) -> Trial | None:
        """The parent of the next trial."""
        return None if self.position.incumbent is None else self.trial(self.position.incumbent)

    @property
    def champion(self) -> Trial | None:
        """The last confirmed incumbent; the baseline at first."""
        return None if self.position.champion is None else self.trial(self.position.champion)

    @property
    def opened(self) -> SliceUse | None:
        """The slice that has been opened but not scored yet; None if there is none."""
        last = self.slices[-1] if self.slices else None
        return last if last is not None and last.score is None else None

    @property
    def finished(self) -> list[Trial | Repeat]:
        """Trials with their current standing, and repeats, in the order in which they finished."""
        return [self.trial(result.number) if isinstance(result, Trial) else result for result in self.results]

    def running(self, trial: int, seed: int | None = None) -> Trial | Repeat:
        """Return what is in flight: a trial or, with `seed`, a repeat. Raises JournalError if it is not."""
        repeat = self.repeating
        found = self.in_flight.get(trial) if seed is None else repeat
        if found is None or (isinstance(found, Repeat) and (found.trial, found.seed) != (trial, seed)):
            raise JournalError(f"an attempt at trial {trial} ended but was not started: the journal has been edited")
        return found

    @property
    def timeline(self) -> list[Trial | Repeat]:
        """Trials with their current standing and repeats, in order of their end; last what is in flight."""
        repeating = [self.repeating] if self.repeating is not None else []
        return [*self.finished, *self.in_flight.values(), *repeating]

    def incumbent_before(self, number: int) -> Trial | None:
        """Return the incumbent that a trial was compared with when it finished, with its current standing.

        It may differ from the trial's parent, if the incumbent changed while the trial was proposed or ran. None for
        the baseline, and for a trial that has not finished.
        """
        before = self._before.get(number)
        return None if before is None else self.trial(before)

    def commit_parent(self, trial: Trial) -> int | None:
        """Return the trial of the git parent of a trial's commit: the tip of the branch when the trial ended.

        In a run that proposes one trial at a time, it is the trial that was edited.
        """
        return trial.parent if trial.n_seen is None else self._before[trial.number]

    def gain(self, number: int) -> float:
        """Return by how much a finished trial lowered the loss of the incumbent that it was compared with.

        Both losses are of first runs, as in `agent log`. If the rule used the mean of the incumbent's runs, a trial
        may have been kept although its loss is above that of the incumbent's first run: then the gain is negative.
        It is zero for the baseline, and for a trial that was not kept or was rolled back later.

        Raises:
            IndexError: no trial with that number has finished.
        """
        trial, before = self.trial(number), self.incumbent_before(number)
        if not stands(trial) or before is None or before.val_loss is None or trial.val_loss is None:
            return 0.0
        return before.val_loss - trial.val_loss

    @property
    def _is_repeating(self) -> bool:
        """Whether a repeat or a slice must end before another starts; SLOPE repeats are of earlier versions only."""
        is_repeating = self.repeating is not None and self.repeating.purpose is not Purpose.SLOPE
        return is_repeating or self.opened is not None

    @overload
    def add(self, event: TrialStarted | TrialFinished | TrialApproval) -> Trial: ...
    @overload
    def add(self, event: RepeatStarted | RepeatTrained | RepeatFinished) -> Repeat: ...
    @overload
    def add(self, event: SliceOpened | SliceScored) -> SliceUse: ...
    @overload
    def add(self, event: AttemptVoided | AttemptLost) -> Trial | Repeat: ...
    def add(self, event: Event) -> Trial | Repeat | SliceUse:  # noqa: PLR0911 (one return a kind of event)
        """Apply the next event and return the trial, repeat or slice that it changes.

        Raises:
            JournalError: the event cannot follow the earlier ones.
        """
        match event:
            case TrialStarted():
                return self._start_trial(event)
            case TrialFinished():
                return self._finish_trial(event)
            case RepeatStarted():
                if self._is_repeating or event.trial not in self._before:
                    raise JournalError(f"a repeat of trial {event.trial} is out of order: the journal has been edited")
                tests = (use for use in self.slices if (use.purpose, use.trial) == (SlicePurpose.CONFIRM, event.trial))
                earlier = tuple(tests) if event.purpose is Purpose.CONFIRM else ()
                self.repeating = Repeat(event.trial, event.seed, event.purpose, event.at, earlier=earlier)
                return self.repeating
            case RepeatTrained():
                self.repeating = replace(self._in_flight(event), trained=event.outcome)
                return self.repeating
            case RepeatFinished():
                return self._finish_repeat(event)
            case SliceOpened():
                return self._open(event)
            case SliceScored():
                return self._score(event)
            case TrialApproval():
                return self._approve(event)
            case AttemptVoided() | AttemptLost():
                return self._end_attempt(event)

    def _start_trial(self, event: TrialStarted) -> Trial:
        is_built = event.parent is None or event.parent in self._before
        is_seen = event.n_seen is None or event.n_seen in range(len(self.trials) + 1)
        has_baseline = 0 not in self.in_flight
        turn = event.proposal.turn
        is_known = turn is None or turn.tunes is None or turn.tunes in self._before
        if event.number != self.n_started or not (has_baseline and is_built and is_seen and is_known):
            raise JournalError(f"trial {event.number} started out of order: the journal has been edited")
        if not self._is_repeating:
            self.repeating = None
        self.in_flight[event.number] = Trial(
            *(event.number, event.parent, event.proposal, event.at),
            n_seen=event.n_seen,
            needs_approval=event.needs_approval,
        )
        return self.in_flight[event.number]

    def _approve(self, event: TrialApproval) -> Trial:
        waiting = self.in_flight.get(event.number)
        if waiting is None or not waiting.waits_for_approval:
            raise JournalError(f"trial {event.number} did not wait for approval: the journal has been edited")
        self.in_flight[event.number] = replace(waiting, approval=event.approval)
        return self.in_flight[event.number]

    def _end_attempt(self, event: AttemptVoided | AttemptLost) -> Trial | Repeat:
        """Add a void or lost attempt to what is in flight."""
        of = self.running(event.trial, event.seed)
        if isinstance(event, AttemptVoided):
            of = replace(of, voids=(*of.voids, event.void))
        else:
            of = replace(of, lost=(*of.lost, event.lost))
        if isinstance(of, Trial):
            self.in_flight[of.number] = of
        else:
            self.repeating = of
        return of

    def _finish_trial(self, event: TrialFinished) -> Trial:
        started = self.in_flight.pop(event.number, None)
        if started is None:
            raise JournalError(f"trial {event.number} finished without having started: the journal has been edited")
        trial = started.finished(event.outcome, event.at)
        insort(self.trials, trial, key=attrgetter("number"))
        self._place[trial.number] = len(self.by_finish)
        self.by_finish.append(trial)
        self.results.append(trial)
        self._before[trial.number] = self.position.incumbent
        if trial.kept:
            self.position = self.position.kept(trial.number)
        if trial.standing is KeepState.PROVISIONAL:
            self._provisional.add(trial.number)
        return trial

    def _in_flight(self, event: RepeatTrained | RepeatFinished) -> Repeat:
        running = self.repeating
        if running is None or (event.trial, event.seed) != (running.trial, running.seed):
            raise JournalError(f"a repeat of trial {event.trial} was not started: the journal has been edited")
        return running

    def _open(self, event: SliceOpened) -> SliceUse:
        is_known = event.number in (use.number for use in self.slices)
        is_early = self.repeating is not None and self.repeating.trained is None
        if is_known or is_early or self.opened is not None:
            raise JournalError(f"slice {event.number} was opened out of order: the journal has been edited")
        self.slices.append(SliceUse(event.number, event.purpose, event.entrants, event.n_other_runs, event.at))
        return self.slices[-1]

    def _score(self, event: SliceScored) -> SliceUse:
        if self.opened is None or self.opened.number != event.number:
            raise JournalError(f"slice {event.number} was scored but not opened: the journal has been edited")
        use = self.opened.scored(event.score)
        needed = {f"{CHALLENGER}-{BASELINE}", f"{CHALLENGER}-{use.against}"}
        if use.has_result and use.purpose is SlicePurpose.CONFIRM and not needed <= event.score.leads.keys():
            raise JournalError(
                f"slice {event.number} was scored without the leads for a decision: the journal is incomplete"
            )
        self.slices[-1] = use
        if self.repeating is not None:
            self.repeating = replace(self.repeating, slices=(*self.repeating.slices, self.slices[-1]))
        return self.slices[-1]

    def _finish_repeat(self, event: RepeatFinished) -> Repeat:
        running = self._in_flight(event)
        if event.verdict is not None and event.verdict.n_errors is not None and not running.tested_on:
            raise JournalError(f"trial {event.trial} was judged without a scored slice: the journal has been edited")
        repeat = running.finished(event.outcome, event.verdict, event.at)
        self.repeating = None
        self.repeats.append(repeat)
        self.results.append(repeat)
        if repeat.verdict is not None:
            self._judge(event.trial, repeat.verdict.standing)
        return repeat

    def _judge(self, number: int, standing: KeepState) -> None:
        """Update the position according to a verdict, and mark the trials that the verdict concerns.

        A roll-back of the incumbent concerns all provisional trials, since the search returns to the champion. If the
        incumbent has moved on in the meantime, it concerns the judged trial and its provisional ancestors.
        """
        was_incumbent = self.position.incumbent == number
        self.position = self.position.judged(number, standing)
        if standing.holds or standing is KeepState.ROLLED_BACK:
            is_reset = was_incumbent and not standing.holds
            self._mark(list(self._provisional if is_reset else self._with_unconfirmed_ancestors(number)), standing)

    def _mark(self, numbers: list[int], standing: KeepState) -> None:
        for number in numbers:
            trial = replace(self.trial(number), repeat_state=standing)
            self.trials[bisect_left(self.trials, number, key=attrgetter("number"))] = trial
            self.by_finish[self._place[number]] = trial
            self._provisional.discard(number)

    def _with_unconfirmed_ancestors(self, number: int) -> Iterator[int]:
        """Yield a trial and its unconfirmed ancestors."""
        at: int | None = number
        while at is not None and not _holds(self.trial(at)):
            yield at
            at = self.trial(at).parent
