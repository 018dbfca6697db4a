"""The loop: propose, run, score, judge, commit or revert. It knows protocols, and no mode."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.edits.edit import Unchanged
from agent.errors import AgentError, ModelBudgetSpentError
from agent.execution.executor import Attempt
from agent.execution.judge import far_below_flags, seed_flags
from agent.execution.speed.guard import with_speed_check
from agent.modes.proposer import Context, Proposer
from agent.run.confirmations import publish_on_slice, rehearse
from agent.run.ending import End, Ending, for_trials, why_given_up
from agent.run.open_run import OpenRun
from agent.run.repeats import run_final, run_wanted
from agent.store.results_tsv import append_result, write_results
from agent.store.trial_commit import commit_of
from agent.trials.budget import Budget, Ledger
from agent.trials.events import TrialFinished, TrialStarted
from agent.trials.keep_rule import closing_runs
from agent.trials.trial import Origin, Outcome, Proposal, Trial
from sandbox.errors import SandboxError


def run_trials(run: OpenRun) -> End:
    """Run trials until a budget is spent, starting where the journal ends. Raises what `TrialByTrial.step` raises."""
    going = TrialByTrial(run)
    while (end := going.step()) is None:
        pass
    return end


class TrialByTrial:
    """A run that goes on by one trial whenever it is told to, so that several runs can take turns."""

    def __init__(self, run: OpenRun) -> None:
        """Make ready what lies on the disk, and start where the journal ends."""
        _rebuild(run)
        self.run = run
        self._ledger = Ledger.of(run.history.results)
        self._n_before = _n_done(run)
        self._ahead: Thought | None = None

    def step(self) -> End | None:
        """Run the repeats that are due and then one trial; return how the run has ended, or None if it has not.

        Raises:
            SandboxError, ModelError, JournalError, RepoError: a tool failed; the run can be resumed.
            KeyboardInterrupt: the trial in flight stays in the journal as started, and runs again on resume.
        """
        run = self.run
        if run.history.pending is not None:  # a process that is gone has begun it
            pending = PendingTrial(run.history.pending, run.source_of(run.history.pending))
            self._ledger = self._ledger.plus(_run_pending(run, pending, 0.0))
            return None
        if run.history.opened is not None and run.history.repeating is None and run.slices is not None:
            publish_on_slice(run, run.slices)
        self._ledger = run_wanted(run, self._ledger)
        end = _end(run, self._ledger, self._n_before)
        began = run.clock.monotonic()
        started = end or _start_next(run, self._ledger, self._ahead)
        if isinstance(started, End):
            end = started
            if end.ending in (Ending.DONE, Ending.NOTHING_RAN):
                run_final(run)
                end = replace(end, ending=_done_or_nothing(run, self._n_before))
            run.repo.pack_refs()
            return end
        proposing_seconds = run.clock.monotonic() - began
        self._ahead = _think_ahead(run, self._ledger)
        self._ledger = self._ledger.plus(_run_pending(run, started, proposing_seconds))
        return None


@dataclass(frozen=True)
class PendingTrial:
    """The trial in flight, with its script: the edit is applied once, and whoever needs the text is given it."""

    trial: Trial
    source: str


class Thought:
    """One call of a proposer in a thread of its own. It keeps the state, and so the parent, that it began with."""

    def __init__(self, proposer: Proposer, context: Context) -> None:
        self.context = context
        self._proposer = proposer
        self._proposal: Proposal | None = None
        self._fault: AgentError | SandboxError | OSError | None = None
        # A run that ends does not wait for a model: what was not journaled did not happen.
        self._thread = threading.Thread(target=self._think, name=f"trial {context.number}", daemon=True)
        self._thread.start()

    def proposal(self) -> Proposal:
        """Wait for the proposal and return it. Raises what the proposer raised."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        assert self._proposal is not None, "the proposer failed in its thread; what it said is above"
        return self._proposal

    def _think(self) -> None:
        try:
            self._proposal = self._proposer.propose(self.context)
        except (AgentError, SandboxError, OSError) as fault:  # OSError: a full disk
            self._fault = fault  # for the loop, which asks when it needs the proposal


def _rebuild(run: OpenRun) -> None:
    """Bring git, worktree and table in line with the journal: they are derived from it."""
    known = run.repo.tags(run.run_id)
    for trial in run.history.trials:
        if trial.kept or trial.number not in known:
            source = run.source_of(trial)
            if trial.kept:
                run.sources[trial.number] = source
            if trial.number not in known:
                known[trial.number] = _commit(run, trial, source, known)
        if not trial.kept:
            run.paths.trial(trial.number).artifact.unlink(missing_ok=True)
    if run.history.incumbent is not None:
        run.update_refs()
        run.repo.check_out(run.run_id, run.paths.worktree)
    write_results(run.paths.results_tsv, run.task.metric, run.history.trials, known)


def _end(run: OpenRun, ledger: Ledger, n_before: int) -> End | None:
    trials = run.history.trials
    given_up = why_given_up(trials)
    if given_up is not None and given_up.ending is Ending.BASELINE_FAILED:
        return given_up
    spent = ledger.spent(_for_trials(run))
    if spent is not None:
        return End(_done_or_nothing(run, n_before), spent)
    return given_up


def _done_or_nothing(run: OpenRun, n_before: int) -> Ending:
    return Ending.DONE if _n_done(run) > n_before else Ending.NOTHING_RAN


def _n_done(run: OpenRun) -> int:
    """Return how much there is of a run: trials, repeats, and slices that are scored."""
    return len(run.history.results) + sum(use.score is not None for use in run.history.slices)


def _for_trials(run: OpenRun) -> Budget:
    return for_trials(run.budget, closing_runs(run.keeper.rule, run.final_runs), run.history.trials)


def _start_next(run: OpenRun, ledger: Ledger, ahead: Thought | None) -> PendingTrial | End:
    """Ask for the next proposal and journal it, before anything of it runs; if there can be none, return why."""
    number = len(run.history.trials)
    incumbent = run.history.incumbent
    if incumbent is None:
        proposal, parent = Proposal(Origin.BASELINE, "baseline", Unchanged(), params=run.task.defaults or None), None
    else:
        run.observer.proposing(number)
        try:
            if ahead is not None:
                # Its parent may be the incumbent no more. It is judged against the one of the moment all the same:
                # dropping such trials lost 13 to 30 % of the gain in simulations, re-basing them gained nothing.
                proposal, parent = ahead.proposal(), ahead.context.incumbent.number
            else:
                proposal, parent = run.proposer.propose(_context(run, ledger, incumbent)), incumbent.number
        except ModelBudgetSpentError as reached:
            return End(Ending.DONE, str(reached))
    event = TrialStarted(number, parent, proposal, run.clock.now())
    run.journal.append(event)
    trial = run.history.add(event)
    return PendingTrial(trial, run.source_of(trial))


def _context(run: OpenRun, ledger: Ledger, incumbent: Trial) -> Context:
    """Return what a proposer may know now."""
    pending = run.history.pending
    return Context(
        number=len(run.history.trials) + (1 if pending else 0),
        source=run.sources[incumbent.number],
        baseline_source=run.task.source,
        incumbent=run.told.trial(incumbent),
        trials=tuple(run.told.trial(trial) for trial in run.history.trials),
        space=run.space,
        budget_left=ledger.left(run.budget),
        pending=pending,
    )


def _think_ahead(run: OpenRun, ledger: Ledger) -> Thought | None:
    """Begin to think of the trial after the one in flight, if there will be one; return None if not."""
    pending, incumbent = run.history.pending, run.history.incumbent
    if not run.lookahead or pending is None or incumbent is None or pending.proposal.refused is not None:
        return None
    baseline = run.history.trials[0].outcome
    assert baseline is not None
    train_seconds = ledger.train_seconds + (run.task.budget.charge_seconds or baseline.train_seconds)
    then = replace(ledger, trials=ledger.trials + 1, train_seconds=train_seconds)
    return None if then.spent(_for_trials(run)) else Thought(run.proposer, _context(run, then, incumbent))


def _run_pending(run: OpenRun, pending: PendingTrial, proposing_seconds: float) -> Trial:
    """Execute the trial in flight, journal what it came to, and commit it."""
    trial = pending.trial
    began = run.clock.monotonic()
    run.observer.started(trial)
    if trial.proposal.refused is not None:
        outcome = Outcome(trial.proposal.refused, None, reason=trial.proposal.reason)
    else:
        outcome = _execute(run, pending)
    before = proposing_seconds + sum(void.seconds for void in trial.voids)  # void attempts of a killed process
    outcome = replace(outcome, total_seconds=round(before + run.clock.monotonic() - began, 3))
    previous = run.history.incumbent
    event = TrialFinished(trial.number, outcome, run.clock.now())
    run.journal.append(event)
    finished = run.history.add(event)
    run.keeper.take(finished)
    if finished.val_loss is not None:
        run.told.take(finished, run.keeper.sigma)
    if run.pruner is not None:
        run.pruner.take(finished)
    _settle(run, finished, pending.source)
    run.observer.finished(finished, previous)
    return finished


def _execute(run: OpenRun, pending: PendingTrial) -> Outcome:
    """Execute the trial's script, and judge what came of it against the incumbent as it is now."""
    trial, source = pending.trial, pending.source
    train_seed = trial.proposal.train_seed
    attempt = Attempt(
        source=source,
        paths=run.paths.trial(trial.number),
        label=f"{run.run_id}/{trial.number:04d}",
        number=trial.number,
        train_seed=train_seed,
        baseline=run.history.trials[0].outcome if run.history.trials else None,
        to_beat=run.keeper.to_beat(train_seed),
        stopping=run.stopping(trial, source),
    )
    outcome = with_speed_check(run.executor, attempt, run.record_void, run.clock, lambda: run.observer.scoring(trial))
    if trial.parent is not None:
        flags = seed_flags(source, run.sources[trial.parent])
        bar = run.keeper.to_beat(train_seed)
        if outcome.val_loss is not None and bar is not None:
            flags += far_below_flags(outcome.val_loss, bar, run.keeper.sigma)
        outcome = replace(outcome, flags=outcome.flags + flags)
    elif run.slices is not None and outcome.score is not None and outcome.val_loss is not None:
        why = rehearse(run, run.slices, outcome.score)
        outcome = replace(outcome, score=replace(outcome.score, why_no_slices=why))
    return run.keeper.judged(outcome, train_seed)


def _settle(run: OpenRun, trial: Trial, source: str) -> None:
    """Derive commit, tag, branch, worktree and table from a finished trial with this script."""
    if trial.kept:
        run.sources[trial.number] = source
    else:
        run.paths.trial(trial.number).artifact.unlink(missing_ok=True)
    parents = {} if trial.parent is None else {trial.parent: run.repo.find(f"{run.run_id}/{trial.parent:04d}")}
    sha = _commit(run, trial, source, parents)
    if run.history.incumbent is not None:
        run.repo.check_out(run.run_id, run.paths.worktree)
    append_result(run.paths.results_tsv, run.task.metric, trial, sha)


def _commit(run: OpenRun, trial: Trial, source: str, hashes: Mapping[int, str]) -> str:
    files = {**run.task.files, run.task.script: source.encode()}
    parent = None if trial.parent is None else hashes[trial.parent]
    commit = commit_of(
        trial,
        files,
        parent,
        run_id=run.run_id,
        mode=run.mode,
        task=run.task,
        model=run.model_name,
    )
    return run.repo.record(run.run_id, trial.number, commit, advance=trial.kept)
