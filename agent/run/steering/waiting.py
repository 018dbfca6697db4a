"""The started trials of a run that wait: for approval, or for a slot."""

from dataclasses import dataclass, replace

from agent.run.open_run import Run
from agent.run.records import PendingTrial
from agent.trials.events import TrialApproval


@dataclass(eq=False)
class WaitingTrial:
    """A started trial that waits."""

    pending: PendingTrial
    since: float  # by the run's clock; of an approved trial, when it was approved
    proposing_seconds: float = 0.0


class WaitingTrials:
    """All trials that wait, first those that an earlier process left in flight."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._all: list[WaitingTrial] = []
        for trial in run.history.in_flight.values():
            self.add(run.records.pending(trial), 0.0)
        if run.approvals is not None:  # what an earlier process journaled but did not remove
            run.approvals.keep_only(each.pending.trial.number for each in self.undecided)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def undecided(self) -> list[WaitingTrial]:
        """Those that wait for approval."""
        needed = self._run.approvals is not None
        return [each for each in self._all if needed and each.pending.trial.waits_for_approval]

    def add(self, pending: PendingTrial, proposing_seconds: float) -> None:
        """Add a trial, and tell the observer if it waits for approval."""
        waiting = WaitingTrial(pending, self._run.clock.monotonic(), proposing_seconds)
        self._all.append(waiting)
        if waiting in self.undecided:
            self._run.observer.waits_for_approval(pending.trial)

    def take_first(self) -> WaitingTrial | None:
        """Remove and return the trial that has waited longest for a slot; None if none waits for one."""
        undecided = self.undecided
        first = next((each for each in self._all if each not in undecided), None)
        if first is not None:
            self._all.remove(first)
        return first

    def take_refused(self) -> list[WaitingTrial]:
        """Journal the decisions about trials that wait for approval; remove and return the refused trials."""
        run, now, undecided = self._run, self._run.clock.monotonic(), self.undecided
        if run.approvals is not None and undecided:
            waited = {each.pending.trial.number: now - each.since for each in undecided}
            decided = run.approvals.decisions(waited, run.clock.now())
            for each in undecided:
                if (approval := decided.get(each.pending.trial.number)) is not None:
                    trial = run.records.add(TrialApproval(each.pending.trial.number, approval))
                    each.pending, each.since = replace(each.pending, trial=trial), now
            run.approvals.keep_only(each.pending.trial.number for each in self.undecided)
        refused = [each for each in self._all if each.pending.trial.is_refused]
        self._all = [each for each in self._all if each not in refused]
        return refused
