"""Repeats: runs of a kept trial's script under further training seeds, which come before any new trial."""

import math
from dataclasses import replace

from agent.errors import JournalError
from agent.execution.executor import Attempt
from agent.execution.slots import Slot
from agent.execution.workers import Steps, Workers
from agent.run.confirmations import decide_on_slices, drop_artifacts
from agent.run.one_trial import Stay, executed
from agent.run.open_run import Run
from agent.trials.events import RepeatFinished, RepeatStarted, RepeatTrained
from agent.trials.keeping.keep_rule import RepeatRequest
from agent.trials.repeat import Purpose, Repeat, RepeatVerdict, over_budget_verdict
from agent.trials.trial import KeepState, Outcome


def run_repeat(run: Run, wanted: RepeatRequest, slot: Slot, workers: Workers) -> Steps[Repeat]:
    """Start the repeat that the keep rule wants, and run it."""
    run.records.add(RepeatStarted(wanted.trial, wanted.seed, wanted.purpose, run.clock.now()))
    return (yield from resume_repeat(run, slot, workers))


def resume_repeat(run: Run, slot: Slot, workers: Workers) -> Steps[Repeat]:
    """Execute the repeat in flight, journal its outcome, and update branch, worktree and table by its verdict."""
    repeat = run.history.repeating
    if repeat is None:
        raise JournalError("no repeat is in flight")
    trial = run.history.trial(repeat.trial)
    if repeat.trained is not None and not run.paths.trial(trial.number).repeat(repeat.seed).artifact.is_file():
        repeat = replace(repeat, trained=None)  # the model for the slice is gone: train it again
    stay = Stay.of(run, slot, repeat)
    if repeat.trained is not None:
        outcome, stay = repeat.trained, replace(stay, earlier_seconds=repeat.trained.total_seconds)
    else:
        outcome = yield from _train(run, repeat, stay, workers)
    run.keeper.read(trial.number, repeat.seed, outcome.counted_loss)
    verdict = (yield from _verdict(run, repeat, outcome)) if repeat.purpose is Purpose.CONFIRM else None
    outcome = stay.ended(outcome)
    finished = run.records.add(RepeatFinished(trial.number, repeat.seed, outcome, verdict, run.clock.now()))
    if verdict is not None:
        run.keeper.move(trial.number, verdict.standing)
        if verdict.standing is not KeepState.PROVISIONAL:
            run.records.update_refs()
    if run.keeper.on_slices:
        drop_artifacts(run.history, run.paths, run.keeper.champion)
    run.observer.repeated(finished, run.history.trial(trial.number))
    return finished


def _verdict(run: Run, repeat: Repeat, outcome: Outcome) -> Steps[RepeatVerdict]:
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
    return (yield from decide_on_slices(run, slices, repeat))


def decides(purpose: Purpose, *, on_slices: bool) -> bool:
    """Return whether the loss of a repeat on the standing split decides anything, and so is audited closely.

    Where slices decide, a forged loss gains nothing, and one round of audit is enough.
    """
    return purpose in (Purpose.CONFIRM, Purpose.FINAL) and not on_slices


def _train(run: Run, repeat: Repeat, stay: Stay, workers: Workers) -> Steps[Outcome]:
    """Train and score the repeat in flight. Its artifact is kept where slices decide."""
    run.observer.repeating(repeat, stay.slot)
    trial = run.history.trial(repeat.trial)
    paths = run.paths.trial(trial.number).repeat(repeat.seed)
    attempt = Attempt(
        source=run.records.sources[trial.number],
        paths=paths,
        label=f"{run.run_id}/{trial.number:04d}/{paths.root.name}",
        number=trial.number,
        train_seed=repeat.seed,
        baseline=run.baseline,
        to_beat=math.inf if decides(repeat.purpose, on_slices=run.keeper.on_slices) else None,
    )
    outcome = yield from executed(run, attempt, repeat.seed, workers, lambda: run.observer.scoring(repeat))
    if not run.keeper.on_slices:
        paths.artifact.unlink(missing_ok=True)
    return replace(outcome, total_seconds=stay.total_seconds)
