"""Executes one trial, decides whether it is kept, and journals and commits its outcome."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from agent.execution.executor import Attempt
from agent.execution.judge import far_below_flags, metric_edit_flags, seed_flags
from agent.execution.slots import Slot
from agent.execution.speed.budget_check import with_budget_check
from agent.execution.speed.guard import with_speed_check
from agent.execution.workers import Steps, Workers
from agent.modes.repeated_crashes import crash_warning
from agent.run.confirmations import rehearse
from agent.run.open_run import Run
from agent.run.records import PendingTrial
from agent.text import one_line
from agent.trials.events import TrialFinished
from agent.trials.machine_speed import LostAttempt, SlotUse
from agent.trials.repeat import Repeat
from agent.trials.trial import Outcome, Status, Trial
from sandbox.errors import JobLostError

MAX_LOST = 3  # attempts in a row whose end is unknown, after which the run stops


@dataclass(frozen=True)
class Stay:
    """The time that a trial or repeat holds a slot, until its outcome is recorded."""

    run: Run
    slot: Slot
    began: float  # by the run's clock, when it got the slot
    queued_seconds: float = 0.0
    proposing_seconds: float = 0.0
    earlier_seconds: float = 0.0  # of void and lost attempts in an earlier process

    @classmethod
    def of(
        cls, run: Run, slot: Slot, what: Trial | Repeat, *, queued_seconds: float = 0.0, proposing_seconds: float = 0.0
    ) -> "Stay":
        """Return the stay of a trial or repeat that gets a slot now."""
        earlier = sum(void.seconds for void in what.voids) + sum(lost.seconds for lost in what.lost)
        return cls(run, slot, run.clock.monotonic(), queued_seconds, proposing_seconds, earlier)

    @property
    def total_seconds(self) -> float:
        """Wall time so far, in seconds: proposing, waiting and holding the slot."""
        held = self.earlier_seconds + self.run.clock.monotonic() - self.began
        return round(self.proposing_seconds + self.queued_seconds + held, 3)

    def ended(self, outcome: Outcome, *, is_refused: bool = False) -> Outcome:
        """Return the outcome with the times of a stay that ends now; `is_refused`: nothing ran."""
        run, slot = self.run, self.slot
        total = self.total_seconds
        elapsed = round(run.elapsed(), 3) if run.is_parallel else None
        if is_refused:
            return replace(outcome, total_seconds=total, place=SlotUse(elapsed_seconds=elapsed))
        use = SlotUse(
            slot.number,
            slot.device if slot.gpus or slot.cores or slot.cluster else "",
            round(total - self.proposing_seconds - self.queued_seconds, 3),
            round(self.queued_seconds, 3),
            elapsed,
        )
        return replace(outcome, total_seconds=total, place=use)


def run_trial(run: Run, pending: PendingTrial, stay: Stay, workers: Workers) -> Steps[Trial]:
    """Execute a started trial, and judge it against the incumbent of the moment at which it ends."""
    trial = pending.trial
    run.observer.started(trial, stay.slot)
    if trial.proposal.refused is not None:
        outcome = Outcome(trial.proposal.refused, None, reason=trial.proposal.reason)
    elif trial.approval is not None and not trial.approval.is_approved:
        outcome = Outcome(Status.REFUSED, None, reason=trial.approval.why)
    else:
        outcome = yield from _executed(run, pending, workers)
    previous = run.history.incumbent
    outcome = stay.ended(outcome, is_refused=trial.is_refused)
    finished = run.records.add(TrialFinished(trial.number, outcome, run.clock.now()))
    run.policy.take(finished)
    run.records.settle(finished, pending.source)
    run.observer.finished(finished, previous)
    if (warning := crash_warning(run.history.by_finish, run.space, run.records.task.source)) is not None:
        run.observer.warned(warning)
    return finished


def _executed(run: Run, pending: PendingTrial, workers: Workers) -> Steps[Outcome]:
    """Execute the trial's script; return the outcome with `kept` decided."""
    trial, source = pending.trial, pending.source
    seed = trial.proposal.train_seed
    attempt = Attempt(
        source=source,
        paths=run.paths.trial(trial.number),
        label=f"{run.run_id}/{trial.number:04d}",
        number=trial.number,
        train_seed=seed,
        baseline=run.baseline,
        to_beat=run.keeper.to_beat(seed),
        stopping=run.policy.stopping(trial.number, source, run.records.sources),
    )
    outcome = yield from executed(run, attempt, None, workers, lambda: run.observer.scoring(trial))
    if trial.parent is None:
        slices, score = run.executor.slices, outcome.score
        if slices is not None and score is not None and outcome.val_loss is not None:
            why = yield lambda: rehearse(slices, run.paths, score)
            outcome = replace(outcome, score=replace(score, why_no_slices=why))
        return run.keeper.decide(outcome, seed)
    while _was_audited_too_little(attempt, outcome, to_beat := run.keeper.to_beat(seed)):
        attempt = replace(attempt, to_beat=to_beat)
        scored_again = partial(run.executor.scored_again, attempt, outcome)
        outcome = yield from _until_known(run, trial.number, None, scored_again)
    flags = seed_flags(source, run.records.sources[trial.parent])
    if outcome.val_loss is not None and to_beat is not None:
        flags += far_below_flags(outcome.val_loss, to_beat, run.keeper.sigma)
    task, has_loss = run.executor.task, outcome.val_loss is not None
    edits = metric_edit_flags(source, run.records.sources[0], task.score, task.metric) if has_loss else ()
    is_refused = bool(edits) and not run.keeper.rule.accept_metric_edits
    return run.keeper.decide(replace(outcome, flags=edits + outcome.flags + flags, metric_edit=is_refused), seed)


def _was_audited_too_little(attempt: Attempt, outcome: Outcome, to_beat: float | None) -> bool:
    """Return whether the loss is below the loss to beat now, but was not below the one that the audit knew.

    A roll-back while the trial ran raises the loss to beat.
    """
    loss, known = outcome.val_loss, attempt.to_beat
    return loss is not None and to_beat is not None and known is not None and known <= loss < to_beat


def executed(
    run: Run, attempt: Attempt, seed: int | None, workers: Workers, on_scoring: Callable[[], None] = lambda: None
) -> Steps[Outcome]:
    """Execute the script of a trial or, with the `seed` of a repeat in flight, of that; return its outcome.

    Raises:
        JobLostError: MAX_LOST attempts in a row were lost.
        MachineError, SandboxError: the machine or the sandbox failed, not the script.
    """
    number = attempt.number

    def blocking() -> Outcome:
        return with_budget_check(
            run.executor,
            attempt,
            lambda: with_speed_check(
                run.executor,
                attempt,
                lambda void: workers.decide(lambda: run.record_void(void, number, seed)),
                run.clock,
                lambda: workers.post(on_scoring),
            ),
            voids=lambda: workers.decide(lambda: run.history.running(number, seed).voids),
            record_void=lambda void: workers.decide(lambda: run.record_void(void, number, seed)),
            clock=run.clock,
        )

    return (yield from _until_known(run, number, seed, blocking))


def _until_known(run: Run, number: int, seed: int | None, blocking: Callable[[], Outcome]) -> Steps[Outcome]:
    """Call a function that executes jobs of what is in flight, again after each lost job; return its outcome.

    Raises:
        JobLostError: MAX_LOST attempts in a row were lost.
    """
    n_lost, nodes = 0, []
    while True:
        began = run.clock.monotonic()
        try:
            outcome: Outcome = yield blocking
        except JobLostError as error:
            n_lost += 1
            seconds = round(run.clock.monotonic() - began, 3)
            n_before = len(run.history.running(number, seed).lost)
            lost = LostAttempt(n_before + 1, one_line(str(error)), seconds, run.clock.now())
            run.record_lost(lost, number, seed)
            nodes += [error.node] if error.node else []
            if n_lost == MAX_LOST and nodes:
                raise JobLostError(
                    f"trial {number} was lost {MAX_LOST} times in a row, on {', '.join(sorted(set(nodes)))}; at last: "
                    f"{error}; look after these nodes, or leave them out with sbatch = ['--exclude=NODE'] in [cluster] "
                    f"of task.toml in the next run"
                ) from error
            if n_lost == MAX_LOST:
                raise
        else:
            return outcome
