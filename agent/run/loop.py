"""The loop: propose, run, score, judge, commit or revert. It knows protocols, not modes."""

import threading
from dataclasses import replace

from agent.edits.edit import Unchanged
from agent.errors import AgentError, ModelBudgetSpentError
from agent.execution.executor import Attempt
from agent.execution.judge import far_below_flags, seed_flags
from agent.execution.speed.budget_check import with_budget_check
from agent.execution.speed.guard import with_speed_check
from agent.modes.proposer import Context, Proposer
from agent.run.confirmations import publish_on_slice, rehearse
from agent.run.ending import End, EndReason, stop_reason
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import PendingTrial
from agent.run.repeats import run_final, run_wanted
from agent.trials.budget import Ledger
from agent.trials.events import TrialFinished, TrialStarted
from agent.trials.history import History
from agent.trials.trial import Origin, Outcome, Proposal, Trial
from sandbox.errors import SandboxError


def run_trials(run: Run) -> End:
    """Run trials until a budget is spent, starting where the journal ends. Raises what `RunStepper.step` raises."""
    stepper = RunStepper(run)
    while (end := stepper.step()) is None:
        pass
    return end


class RunStepper:
    """Runs one trial per call, so that a comparison can interleave several runs.

    Its thread alone makes the decisions, and writes the records and the policy of the run.
    """

    def __init__(self, run: Run) -> None:
        """Recreate what is missing on the disk, and start where the journal ends."""
        run.records.rebuild()
        self.run = run
        self._ledger = Ledger.of(run.history.results)
        self._n_before = _n_done(run.history)
        self._ahead: ProposalFuture | None = None

    def step(self) -> End | None:
        """Run the repeats that are due and then one trial; return how the run has ended, or None if it has not.

        Raises:
            SandboxError, ModelError, JournalError, RepoError: a tool failed; the run can be resumed.
            KeyboardInterrupt: the trial in flight stays in the journal as started, and runs again on resume.
        """
        run = self.run
        if run.history.pending is not None:  # started by a killed process
            pending = run.records.pending(run.history.pending)
            self._ledger = self._ledger.plus(_run_pending(run, pending, 0.0))
            return None
        slices = run.executor.slices
        if run.history.opened is not None and run.history.repeating is None and slices is not None:
            publish_on_slice(run, slices)
        self._ledger = run_wanted(run, self._ledger)
        end = _end(run.history, run.policy, self._ledger, self._n_before)
        began = run.clock.monotonic()
        started = end or _start_next(run, self._ledger, self._ahead)
        if isinstance(started, End):
            end = started
            if end.ending in (EndReason.DONE, EndReason.NOTHING_RAN):
                run_final(run)
                end = replace(end, ending=_done_or_nothing(run.history, self._n_before))
            run.records.repo.pack_refs()
            return end
        proposing_seconds = run.clock.monotonic() - began
        self._ahead = _think_ahead(run, self._ledger)
        self._ledger = self._ledger.plus(_run_pending(run, started, proposing_seconds))
        return None


class ProposalFuture:
    """One call of a proposer in its own thread. It keeps the context, and so the parent, that it started with."""

    def __init__(self, proposer: Proposer, context: Context) -> None:
        self.context = context
        self._proposer = proposer
        self._proposal: Proposal | None = None
        self._fault: AgentError | SandboxError | OSError | None = None
        # A run that ends does not wait for the model: an unjournaled proposal never happened.
        self._thread = threading.Thread(target=self._think, name=f"trial {context.number}", daemon=True)
        self._thread.start()

    def proposal(self) -> Proposal:
        """Wait for the proposal and return it. Raises what the proposer raised."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        assert self._proposal is not None, "the proposer failed in its thread; its traceback is above"
        return self._proposal

    def _think(self) -> None:
        try:
            self._proposal = self._proposer.propose(self.context)
        except (AgentError, SandboxError, OSError) as fault:  # OSError: a full disk
            self._fault = fault  # raised when the loop needs the proposal


def _end(history: History, policy: Policy, ledger: Ledger, n_before: int) -> End | None:
    """Return how the run has ended, or None if it has not; `n_before`: its `_n_done` when it was opened."""
    stopped = stop_reason(history.trials)
    if stopped is not None and stopped.ending is EndReason.BASELINE_FAILED:
        return stopped
    spent = ledger.spent(policy.budget_of_trials(history.trials))
    if spent is not None:
        return End(_done_or_nothing(history, n_before), spent)
    return stopped


def _done_or_nothing(history: History, n_before: int) -> EndReason:
    return EndReason.DONE if _n_done(history) > n_before else EndReason.NOTHING_RAN


def _n_done(history: History) -> int:
    """Return the number of finished trials, finished repeats and scored slices of a run."""
    return len(history.results) + sum(use.score is not None for use in history.slices)


def _start_next(run: Run, ledger: Ledger, ahead: ProposalFuture | None) -> PendingTrial | End:
    """Get the next proposal and journal it before it runs; return why the run ends if there can be none."""
    number = len(run.history.trials)
    incumbent = run.history.incumbent
    if incumbent is None:
        proposal, parent = (
            Proposal(Origin.BASELINE, "baseline", Unchanged(), params=run.executor.task.defaults or None),
            None,
        )
    else:
        run.observer.proposing(number)
        try:
            if ahead is not None:
                # Its parent may no longer be the incumbent. It is judged against the present incumbent all the same:
                # in simulations, dropping such trials lost 13 to 30 % of the gain, and re-basing them gained nothing.
                proposal, parent = ahead.proposal(), ahead.context.incumbent.number
            else:
                proposal, parent = run.proposer.propose(_context(run, ledger, incumbent)), incumbent.number
        except ModelBudgetSpentError as reached:
            return End(EndReason.DONE, str(reached))
    event = TrialStarted(number, parent, proposal, run.clock.now())
    return run.records.pending(run.records.add(event))


def _context(run: Run, ledger: Ledger, incumbent: Trial) -> Context:
    """Return what a proposer may know now."""
    pending = run.history.pending
    return Context(
        number=len(run.history.trials) + (1 if pending else 0),
        source=run.records.sources[incumbent.number],
        baseline_source=run.executor.task.source,
        incumbent=run.policy.told.trial(incumbent),
        trials=tuple(run.policy.told.trial(trial) for trial in run.history.trials),
        space=run.space,
        budget_left=ledger.left(run.policy.budget),
        pending=pending,
    )


def _think_ahead(run: Run, ledger: Ledger) -> ProposalFuture | None:
    """Start proposing the trial after the one in flight; return None if lookahead is off or there will be none."""
    pending, incumbent = run.history.pending, run.history.incumbent
    if not run.lookahead or pending is None or incumbent is None or pending.proposal.refused is not None:
        return None
    baseline = run.history.trials[0].outcome
    assert baseline is not None
    train_seconds = ledger.train_seconds + (run.executor.task.budget.charge_seconds or baseline.train_seconds)
    then = replace(ledger, trials=ledger.trials + 1, train_seconds=train_seconds)
    return (
        None
        if then.spent(run.policy.budget_of_trials(run.history.trials))
        else ProposalFuture(run.proposer, _context(run, then, incumbent))
    )


def _run_pending(run: Run, pending: PendingTrial, proposing_seconds: float) -> Trial:
    """Execute the trial in flight, journal its outcome, and commit it."""
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
    finished = run.records.add(TrialFinished(trial.number, outcome, run.clock.now()))
    run.policy.take(finished)
    run.records.settle(finished, pending.source)
    run.observer.finished(finished, previous)
    return finished


def _execute(run: Run, pending: PendingTrial) -> Outcome:
    """Execute the trial's script, and judge the outcome against the present incumbent."""
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
        stopping=run.policy.stopping(trial.number, source, run.records.sources),
    )
    outcome = with_budget_check(
        run.executor,
        attempt,
        lambda: with_speed_check(
            run.executor, attempt, run.record_void, run.clock, lambda: run.observer.scoring(trial)
        ),
        voids=lambda: run.history.voids_in_flight,
        record_void=run.record_void,
        clock=run.clock,
    )
    if trial.parent is not None:
        flags = seed_flags(source, run.records.sources[trial.parent])
        bar = run.keeper.to_beat(train_seed)
        if outcome.val_loss is not None and bar is not None:
            flags += far_below_flags(outcome.val_loss, bar, run.keeper.sigma)
        outcome = replace(outcome, flags=outcome.flags + flags)
    elif run.executor.slices is not None and outcome.score is not None and outcome.val_loss is not None:
        why = rehearse(run.executor.slices, run.paths, outcome.score)
        outcome = replace(outcome, score=replace(outcome.score, why_no_slices=why))
    return run.keeper.decide(outcome, train_seed)
