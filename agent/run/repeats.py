"""Repeats: runs of a kept trial's script under further training seeds, due before any new trial."""

import math
from dataclasses import replace

from agent.errors import JournalError
from agent.execution.executor import Attempt
from agent.execution.speed.budget_check import with_budget_check
from agent.execution.speed.guard import with_speed_check
from agent.run.confirmations import decide_on_slices, drop_artifacts, publish_on_slice
from agent.run.open_run import Run
from agent.trials.budget import Ledger
from agent.trials.events import RepeatFinished, RepeatStarted, RepeatTrained
from agent.trials.keep_rule import RepeatRequest
from agent.trials.repeat import Purpose, Repeat, RepeatVerdict, over_budget_verdict
from agent.trials.trial import KeepState, Outcome


def run_wanted(run: Run, ledger: Ledger) -> Ledger:
    """Run the repeat in flight, then those that the keep rule requests while time is left; return the new ledger."""
    if run.history.repeating is not None and run.history.repeating.purpose is not Purpose.SLOPE:
        ledger = ledger.plus(_run_repeating(run))
    while ledger.spent(run.policy.budget.of_time) is None:
        wanted = run.keeper.next_repeat()
        if wanted is None:
            break
        ledger = ledger.plus(_run(run, wanted))
    return ledger


def run_final(run: Run) -> None:
    """Run the result under held-out seeds, `final_runs` times, and publish it on a slice."""
    slices, n_runs = run.executor.slices, run.policy.final_runs
    while (wanted := run.keeper.final(n_runs)) is not None:
        _run(run, wanted)
    if n_runs and slices is not None and run.keeper.on_slices and run.keeper.result:
        publish_on_slice(run, slices)


def _run(run: Run, wanted: RepeatRequest) -> Repeat:
    run.records.add(RepeatStarted(wanted.trial, wanted.seed, wanted.purpose, run.clock.now()))
    return _run_repeating(run)


def _run_repeating(run: Run) -> Repeat:
    """Execute the repeat in flight, journal its outcome, and update branch, worktree and table by its verdict."""
    repeat = run.history.repeating
    if repeat is None:
        raise JournalError("no repeat is in flight")
    began = run.clock.monotonic()
    trial = run.history.trials[repeat.trial]
    if repeat.trained is not None and not run.paths.trial(trial.number).repeat(repeat.seed).artifact.is_file():
        repeat = replace(repeat, trained=None)  # the model for the slice is gone: train it again
    outcome = repeat.trained or _train(run, repeat)
    run.keeper.read(trial.number, repeat.seed, outcome.counted_loss)
    verdict = _verdict(run, repeat, outcome) if repeat.purpose is Purpose.CONFIRM else None
    before = repeat.trained.total_seconds if repeat.trained else sum(void.seconds for void in repeat.voids)
    outcome = replace(outcome, total_seconds=round(before + run.clock.monotonic() - began, 3))
    finished = run.records.add(RepeatFinished(trial.number, repeat.seed, outcome, verdict, run.clock.now()))
    if verdict is not None:
        run.keeper.move(trial.number, verdict.standing)
        if verdict.standing is not KeepState.PROVISIONAL:
            run.records.update_refs()
    if run.keeper.on_slices:
        drop_artifacts(run.history, run.paths, run.keeper.champion)
    run.observer.repeated(finished, run.history.trials[trial.number])
    return finished


def _verdict(run: Run, repeat: Repeat, outcome: Outcome) -> RepeatVerdict:
    """Return the verdict of a confirmation that is trained, and whose loss the keep rule has taken."""
    if (over := over_budget_verdict(outcome)) is not None:
        return over
    slices = run.executor.slices
    if slices is None or not run.keeper.on_slices:
        return run.keeper.verdict(repeat.trial, repeat.seed)
    objection = run.keeper.objection(repeat.trial, repeat.seed)
    if objection is not None:
        return objection
    if repeat.trained is None:
        repeat = run.records.add(RepeatTrained(repeat.trial, repeat.seed, outcome, run.clock.now()))
    return decide_on_slices(run, slices, repeat)


def decides(purpose: Purpose, *, on_slices: bool) -> bool:
    """Return whether the loss of a repeat on the standing split decides anything, and so is audited closely.

    Where slices decide, a forged loss gains nothing, and one round of audit is enough.
    """
    return purpose in (Purpose.CONFIRM, Purpose.FINAL) and not on_slices


def _train(run: Run, repeat: Repeat) -> Outcome:
    """Train and score the repeat in flight. Its artifact is kept where slices decide."""
    began = run.clock.monotonic()
    run.observer.repeating(repeat)
    trial = run.history.trials[repeat.trial]
    paths = run.paths.trial(trial.number).repeat(repeat.seed)
    attempt = Attempt(
        source=run.records.sources[trial.number],
        paths=paths,
        label=f"{run.run_id}/{trial.number:04d}/{paths.root.name}",
        number=trial.number,
        train_seed=repeat.seed,
        baseline=run.history.trials[0].outcome,
        to_beat=math.inf if decides(repeat.purpose, on_slices=run.keeper.on_slices) else None,
    )
    outcome = with_budget_check(
        run.executor,
        attempt,
        lambda: with_speed_check(run.executor, attempt, run.record_void, run.clock),
        voids=lambda: run.history.voids_in_flight,
        record_void=run.record_void,
        clock=run.clock,
    )
    if not run.keeper.on_slices:
        paths.artifact.unlink(missing_ok=True)
    before = sum(void.seconds for void in repeat.voids)  # void attempts of a killed process
    return replace(outcome, total_seconds=round(before + run.clock.monotonic() - began, 3))
