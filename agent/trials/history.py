"""The history of a run, folded from its events: trials, what is in flight, and the incumbent before each trial.

Every reader uses it (log, page, trackers, tables), since a reader that folds the trials itself misses the roll-backs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import overload

from agent.errors import JournalError
from agent.trials.confirmations import BASELINE, CHALLENGER, SlicePurpose, SliceUse
from agent.trials.events import (
    AttemptVoided,
    BudgetRaised,
    Event,
    RepeatFinished,
    RepeatStarted,
    RepeatTrained,
    SliceOpened,
    SliceScored,
    TrialFinished,
    TrialStarted,
)
from agent.trials.machine_speed import VoidedAttempt
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import KeepState, Trial


@dataclass(frozen=True)
class Position:
    """The current incumbent and champion, as trial numbers. History and keep rule update it with the same methods."""

    incumbent: int | None = None  # parent of the next trial
    champion: int | None = None  # the last confirmed incumbent; the baseline at first

    def kept(self, trial: int) -> "Position":
        """Return the position after a trial was kept: it is the incumbent, and the first one also the champion."""
        return Position(trial, trial if self.champion is None else self.champion)

    def judged(self, trial: int, standing: KeepState) -> "Position":
        """Return the position after a confirmation has decided about a trial."""
        if standing.holds:
            return Position(self.incumbent, trial)
        if standing is KeepState.ROLLED_BACK and self.incumbent == trial:
            return Position(self.champion, self.champion)
        return self


def stands(trial: Trial) -> bool:
    """Return whether a trial became the incumbent and has not been rolled back."""
    return trial.kept and trial.val_loss is not None and trial.standing is not KeepState.ROLLED_BACK


def _holds(trial: Trial) -> bool:
    return trial.standing is not None and trial.standing.holds


@dataclass
class History:
    """All trials, repeats and slices of a run, with the incumbent and the champion."""

    trials: list[Trial]  # finished, with their current standing
    pending: Trial | None = None
    repeats: list[Repeat] = field(default_factory=list)
    repeating: Repeat | None = None  # in flight
    results: list[Trial | Repeat] = field(default_factory=list)  # both, as they were at their end
    raises: list[BudgetRaised] = field(default_factory=list)
    slices: list[SliceUse] = field(default_factory=list)  # in the order in which they were opened
    position: Position = Position()
    _before: list[int | None] = field(default_factory=list)  # by trial: the incumbent that it was compared with
    _provisional: set[int] = field(default_factory=set)  # trials whose standing is provisional

    @property
    def incumbent(self) -> Trial | None:
        """The parent of the next trial."""
        return None if self.position.incumbent is None else self.trials[self.position.incumbent]

    @property
    def champion(self) -> Trial | None:
        """The last confirmed incumbent; the baseline at first."""
        return None if self.position.champion is None else self.trials[self.position.champion]

    @property
    def opened(self) -> SliceUse | None:
        """The slice that has been opened but not scored yet; None if there is none."""
        last = self.slices[-1] if self.slices else None
        return last if last is not None and last.score is None else None

    @property
    def finished(self) -> list[Trial | Repeat]:
        """Trials with their current standing, and repeats, in the order in which they finished."""
        return [self.trials[result.number] if isinstance(result, Trial) else result for result in self.results]

    @property
    def voids_in_flight(self) -> tuple[VoidedAttempt, ...]:
        """Void attempts of what is in flight."""
        running = self.pending or self.repeating
        return running.voids if running is not None else ()

    @property
    def timeline(self) -> list[Trial | Repeat]:
        """Trials with their current standing and repeats, in order of their start; last what is in flight."""
        return [*self.finished, *(running for running in (self.pending, self.repeating) if running is not None)]

    def incumbent_before(self, number: int) -> Trial | None:
        """Return the incumbent that a trial was compared with when it finished, with its current standing.

        It may differ from the trial's parent, if the incumbent changed while the trial was being proposed.

        Returns:
            None for the baseline, and for a trial that has not finished.
        """
        before = self._before[number] if number < len(self._before) else None
        return None if before is None else self.trials[before]

    def gain(self, number: int) -> float:
        """Return by how much a finished trial lowered the loss of the incumbent that it was compared with.

        Both losses are of first runs, as in `agent log`. If the rule used the mean of the incumbent's runs, a trial
        may have been kept although its loss is above that of the incumbent's first run: then the gain is negative.

        Returns:
            Zero for the baseline, and for a trial that was not kept or was rolled back later.

        Raises:
            IndexError: no trial with that number has finished.
        """
        trial, before = self.trials[number], self.incumbent_before(number)
        if not stands(trial) or before is None or before.val_loss is None or trial.val_loss is None:
            return 0.0
        return before.val_loss - trial.val_loss

    def best_so_far(self) -> list[float | None]:
        """Return for each finished trial, by number, the lowest loss kept up to it; None before the first one.

        A trial that was rolled back never counts, not even before the roll-back.
        """
        found: list[float | None] = []
        best: float | None = None
        for trial in self.trials:
            if stands(trial) and trial.val_loss is not None:
                best = trial.val_loss if best is None else min(best, trial.val_loss)
            found.append(best)
        return found

    @property
    def _is_busy(self) -> bool:
        """Whether something in flight must end first; not a SLOPE repeat, which only earlier versions can finish."""
        is_repeating = self.repeating is not None and self.repeating.purpose is not Purpose.SLOPE
        return self.pending is not None or is_repeating or self.opened is not None

    @overload
    def add(self, event: TrialStarted | TrialFinished) -> Trial: ...
    @overload
    def add(self, event: RepeatStarted | RepeatTrained | RepeatFinished) -> Repeat: ...
    @overload
    def add(self, event: SliceOpened | SliceScored) -> SliceUse: ...
    @overload
    def add(self, event: AttemptVoided) -> Trial | Repeat: ...
    def add(self, event: Event) -> Trial | Repeat | SliceUse:  # noqa: PLR0911 (one return a kind of event)
        """Apply the next event and return the trial, repeat or slice that it changes.

        Raises:
            JournalError: the event cannot follow the earlier ones.
        """
        match event:
            case TrialStarted():
                is_built = event.parent is None or event.parent in range(event.number)
                if self._is_busy or event.number != len(self.trials) or not is_built:
                    raise JournalError(f"trial {event.number} started out of order: the journal has been edited")
                self.repeating = None
                self.pending = Trial(event.number, event.parent, event.proposal, event.at)
                return self.pending
            case TrialFinished():
                return self._finish_trial(event)
            case RepeatStarted():
                if self._is_busy or event.trial not in range(len(self.trials)):
                    raise JournalError(f"a repeat of trial {event.trial} is out of order: the journal has been edited")
                is_test = event.purpose is Purpose.CONFIRM
                earlier = [
                    use for use in self.slices if use.purpose is SlicePurpose.CONFIRM and use.trial == event.trial
                ]
                self.repeating = Repeat(
                    event.trial, event.seed, event.purpose, event.at, earlier=tuple(earlier) if is_test else ()
                )
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
            case AttemptVoided():
                return self._void(event)

    def _void(self, event: AttemptVoided) -> Trial | Repeat:
        trial, repeat = self.pending, self.repeating
        if trial is not None and (event.trial, event.seed) == (trial.number, None):
            self.pending = replace(trial, voids=(*trial.voids, event.void))
            return self.pending
        if repeat is not None and (event.trial, event.seed) == (repeat.trial, repeat.seed):
            self.repeating = replace(repeat, voids=(*repeat.voids, event.void))
            return self.repeating
        raise JournalError(f"an attempt at trial {event.trial} is void but not started: the journal has been edited")

    def _finish_trial(self, event: TrialFinished) -> Trial:
        if self.pending is None or event.number != self.pending.number:
            raise JournalError(f"trial {event.number} finished without having started: the journal has been edited")
        trial = self.pending.finished(event.outcome, event.at)
        self.pending = None
        self.trials.append(trial)
        self.results.append(trial)
        self._before.append(self.position.incumbent)
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
        if is_known or is_early or self.opened is not None or self.pending is not None:
            raise JournalError(f"slice {event.number} was opened out of order: the journal has been edited")
        self.slices.append(SliceUse(event.number, event.purpose, event.entrants, event.n_other_runs, event.at))
        return self.slices[-1]

    def _score(self, event: SliceScored) -> SliceUse:
        if self.opened is None or self.opened.number != event.number:
            raise JournalError(f"slice {event.number} was scored but not opened: the journal has been edited")
        use = self.opened.scored(event.score)
        needed = {f"{CHALLENGER}-{BASELINE}", f"{CHALLENGER}-{use.against}"}
        if use.tells and use.purpose is SlicePurpose.CONFIRM and not needed <= event.score.leads.keys():
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
        """Update the position according to a verdict, and mark the trials that the verdict concerns."""
        self.position = self.position.judged(number, standing)
        if standing.holds:
            self._mark(list(self._way_to(number)), standing)
        elif standing is KeepState.ROLLED_BACK:
            self._mark(list(self._provisional), standing)

    def _mark(self, numbers: list[int], standing: KeepState) -> None:
        for number in numbers:
            self.trials[number] = replace(self.trials[number], repeat_state=standing)
            self._provisional.discard(number)

    def _way_to(self, number: int) -> Iterator[int]:
        """Yield a trial and its unconfirmed ancestors."""
        at: int | None = number
        while at is not None and not _holds(self.trials[at]):
            yield at
            at = self.trials[at].parent
