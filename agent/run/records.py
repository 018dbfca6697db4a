"""A run on the disk: its journal, and what is derived from it in git, worktree and results.tsv."""

from dataclasses import dataclass, field
from typing import overload

from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal
from agent.store.paths import RunPaths
from agent.store.results_tsv import append_result, write_results
from agent.store.trial_commit import commit_of
from agent.task.task import Task
from agent.text import plural
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
from agent.trials.history import History
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.repeat import Repeat
from agent.trials.steering import RunEvent
from agent.trials.trial import Trial


@dataclass(frozen=True)
class PendingTrial:
    """A trial in flight and its script, so that the edit is applied only once."""

    trial: Trial
    source: str


@dataclass
class Records:
    """The identity of a run, and its files: journal and history, repository, worktree and table.

    The journal is the source of truth. All else is derived from it, and `rebuild` recreates what is missing.
    """

    run_id: str
    mode: str
    model_name: str | None
    task: Task
    paths: RunPaths
    journal: Journal
    history: History
    repo: TrialRepo
    sources: dict[int, str] = field(default_factory=dict)  # script of every kept trial, by number
    _hashes: dict[int, str] = field(default_factory=dict)  # of the commits of finished trials, by number

    @property
    def retired(self) -> tuple[str, ...]:
        """Features of earlier versions that this run used and that are gone, one sentence each."""
        machines = [result.outcome.machine for result in self.history.results if result.outcome is not None]
        n_corrected = sum(machine is not None and machine.raw_loss is not None for machine in machines)
        corrected = f"{plural(n_corrected, 'loss', 'losses')} of this run got a correction for the machine's speed"
        return (*self.task.retired, *([f"{corrected}; new ones are recorded as scored"] if n_corrected else []))

    @overload
    def add(self, event: TrialStarted | TrialFinished | TrialApproval) -> Trial: ...
    @overload
    def add(self, event: RepeatStarted | RepeatTrained | RepeatFinished) -> Repeat: ...
    @overload
    def add(self, event: SliceOpened | SliceScored) -> SliceUse: ...
    @overload
    def add(self, event: AttemptVoided | AttemptLost) -> Trial | Repeat: ...
    def add(self, event: Event) -> Trial | Repeat | SliceUse:
        """Journal an event durably; return the trial, repeat or slice that it is about.

        Raises:
            JournalError: it cannot be written, or does not follow from the events before it.
        """
        self.journal.append(event)
        return self.history.add(event)

    def add_run_event(self, event: RunEvent) -> None:
        """Journal durably an event that changes no trial. Raises JournalError if it cannot be written."""
        self.journal.append(event)
        self.history.run_events.all.append(event)

    def pending(self, trial: Trial) -> PendingTrial:
        """Return a started trial together with its script. Raises EditError if its edit does not apply."""
        return PendingTrial(trial, self._script(trial))

    def rebuild(self) -> None:
        """Bring scripts, git, worktree and table in line with the journal, wherever a process was killed."""
        self._hashes = known = self.repo.tags(self.run_id)
        for trial in self.history.by_finish:
            if trial.kept or trial.number not in known:
                source = self._script(trial)
                if trial.kept:
                    self.sources[trial.number] = source
                if trial.number not in known:
                    self._commit(trial, source)
            if not trial.kept:
                self.paths.trial(trial.number).artifact.unlink(missing_ok=True)
        self._show_incumbent()
        write_results(self.paths.results_tsv, self.task.metric, self.history.by_finish, known)

    def settle(self, trial: Trial, source: str) -> None:
        """Update commit, tag, branch, worktree and table for a trial that has just finished; `source`: its script."""
        if trial.kept:
            self.sources[trial.number] = source
        else:
            self.paths.trial(trial.number).artifact.unlink(missing_ok=True)
        sha = self._commit(trial, source)
        if trial.kept:
            self.repo.check_out(self.run_id, self.paths.worktree)
        append_result(self.paths.results_tsv, self.task.metric, trial, sha)

    def update_refs(self) -> None:
        """Update branch, champion's tag, worktree and table after a verdict that moved incumbent or champion."""
        self._show_incumbent()
        hashes = self.repo.tags(self.run_id)
        write_results(self.paths.results_tsv, self.task.metric, self.history.by_finish, hashes)

    def _show_incumbent(self) -> None:
        """Point branch and champion's tag where the journal says, and check the branch out in the worktree."""
        incumbent, champion = self.history.incumbent, self.history.champion
        if incumbent is None:
            return
        assert champion is not None, "the first incumbent is the champion too"
        self.repo.point(self.run_id, incumbent.number, champion.number)
        self.repo.check_out(self.run_id, self.paths.worktree)

    def _script(self, trial: Trial) -> str:
        """Return the script of a trial: its edit applied to its parent's script."""
        return self.task.source if trial.parent is None else trial.proposal.edit.apply(self.sources[trial.parent])

    def _commit(self, trial: Trial, source: str) -> str:
        """Make the commit of a finished trial, and return its hash."""
        files = {**self.task.files, self.task.script: source.encode()}
        onto = self.history.commit_parent(trial)
        parent = None if onto is None else self._hashes[onto]
        commit = commit_of(
            trial, files, parent, onto=onto, run_id=self.run_id, mode=self.mode, task=self.task, model=self.model_name
        )
        sha = self.repo.record(self.run_id, trial.number, commit, advance=trial.kept)
        self._hashes[trial.number] = sha
        return sha
