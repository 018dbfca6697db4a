"""Repeats: runs of a kept trial's script under further training seeds. They are queued before any new trial."""

import math
from dataclasses import replace

from agent.errors import JournalError
from agent.execution.executor import execute
from agent.execution.speed.guard import guarded
from agent.run.open_run import OpenRun
from agent.store.results_tsv import write_results
from agent.trials.budget import Ledger
from agent.trials.events import RepeatFinished, RepeatStarted
from agent.trials.keep_rule import Wanted
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import Outcome, Standing


def run_wanted(run: OpenRun, ledger: Ledger) -> Ledger:
    """Run the repeat in flight, then all that the rule asks for as long as there is time; return the ledger after."""
    if run.history.repeating is not None and run.history.repeating.purpose is not Purpose.SLOPE:
        ledger = ledger.plus(_run_repeating(run))
    while ledger.spent(run.budget.of_time) is None:
        wanted = run.keeper.wants()
        if wanted is None:
            break
        ledger = ledger.plus(_run(run, wanted))
    return ledger


def run_final(run: OpenRun) -> int:
    """Run the result of the run under held-out seeds, as often as it asks for; return how many runs there were."""
    n_ran = 0
    while (wanted := run.keeper.final(run.final_runs)) is not None:
        _run(run, wanted)
        n_ran += 1
    return n_ran


def _run(run: OpenRun, wanted: Wanted) -> Repeat:
    event = RepeatStarted(wanted.trial, wanted.seed, wanted.purpose, run.now())
    run.journal.append(event)
    run.history.add(event)
    return _run_repeating(run)


def _run_repeating(run: OpenRun) -> Repeat:
    """Execute the repeat in flight, journal its outcome, and update branch, worktree and table by its verdict."""
    repeat = run.history.repeating
    if repeat is None:
        raise JournalError("no repeat is in flight")
    began = run.monotonic()
    run.observer.repeating(repeat)
    trial = run.history.trials[repeat.trial]
    paths = run.paths.trial(trial.number).repeat(repeat.seed)
    decides = repeat.purpose in (Purpose.CONFIRM, Purpose.FINAL)

    def attempt() -> Outcome:
        return execute(
            run.bench,
            run.source_of(trial),
            paths,
            label=f"{run.run_id}/{trial.number:04d}/{paths.root.name}",
            number=trial.number,
            train_seed=repeat.seed,
            baseline=run.history.trials[0].outcome,
            to_beat=math.inf if decides else None,
        )

    outcome = guarded(run, attempt)
    paths.artifact.unlink(missing_ok=True)
    before = sum(void.seconds for void in repeat.voids)  # attempts of a killed process
    outcome = replace(outcome, total_seconds=round(before + run.monotonic() - began, 3))
    run.keeper.read(trial.number, repeat.seed, outcome.val_loss)
    verdict = run.keeper.verdict(trial.number, repeat.seed) if repeat.purpose is Purpose.CONFIRM else None
    event = RepeatFinished(trial.number, repeat.seed, outcome, verdict, run.now())
    run.journal.append(event)
    finished = run.history.add(event)
    if verdict is not None:
        run.keeper.move(trial.number, verdict.standing)
        if verdict.standing is not Standing.PROVISIONAL:
            run.move_refs()
            run.repo.check_out(run.run_id, run.paths.worktree)
            hashes = run.repo.tags(run.run_id)
            write_results(run.paths.results_tsv, run.task.metric, run.history.trials, hashes)
    run.observer.repeated(finished, run.history.trials[trial.number])
    return finished
