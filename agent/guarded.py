"""Executions between two canaries: what the machine did to a loss is taken out of it, or the attempt does not count."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from agent.canary import Canary, Chirp
from agent.errors import MachineError
from agent.journal import History
from agent.keeper import Wanted
from agent.machine import Machine, Void
from agent.open_run import OpenRun
from agent.repeat import Purpose
from agent.steadiness import Reference, Thresholds, shared_with, slope_of, unsteady
from agent.task import Task
from agent.trial import Outcome, Status

MAX_VOID = 2  # attempts that trained for nothing, after which the run stops at the next
N_BEFORE, N_BEHIND = 3, 2  # canaries around the baseline: the reference
LONGEST_PAUSE_SECONDS = 300.0
_MAY_BE_THE_MACHINE = (Status.OK, Status.TIMED_OUT, Status.PRUNED)  # any other end has nothing to do with speed


class Guarded(Protocol):
    """What executions belong to: a run that is going on, or something that is asked of one afterwards."""

    @property
    def task(self) -> Task: ...
    @property
    def history(self) -> History: ...  # tells the machine as it was at the baseline
    @property
    def canary(self) -> Canary | None: ...
    @property
    def now(self) -> Callable[[], str]: ...
    @property
    def monotonic(self) -> Callable[[], float]: ...
    @property
    def sleep(self) -> Callable[[float], None]: ...

    def put_down(self, void: Void) -> None:
        """Make it durable that an attempt does not count."""
        ...


def guarded(run: Guarded, attempt: Callable[[], Outcome], *, correct: bool = True) -> Outcome:
    """Return the outcome of the first attempt that counts, with what was measured of the machine around it.

    An attempt that does not is an event of the journal before the next begins, and nobody sees its loss. Where a canary
    shows beforehand that it would not, nothing is trained, and the run waits for the machine.

    Args:
        attempt: one execution of what is in flight.
        correct: whether a loss may be corrected for the machine's speed.

    Raises:
        MachineError: too many attempts were void, or the wait was too long.
    """
    canary, reference = run.canary, reference_of(run.history)
    if canary is None or (reference is None and run.history.trials):  # the run began before there were canaries
        return attempt()
    machine, n_void, n_waits, waited, pause = run.task.machine, 0, 0, 0.0, run.task.machine.pause_seconds
    while True:
        began = run.monotonic()
        chirps = [canary.fresh()] if reference else [canary.chirp() for _ in range(N_BEFORE)]
        why, outcome = _objection(run, reference, chirps), None
        if why is None:
            outcome = attempt()
            if outcome.status in _MAY_BE_THE_MACHINE:
                chirps += [canary.chirp() for _ in range(1 if reference else N_BEHIND)]
            why = _objection(run, reference, chirps, outcome)
            if why is None:
                return _with_machine(run, outcome, reference, chirps, correct=correct)
        canary.forget()
        run.put_down(Void(why, outcome is not None, round(run.monotonic() - began, 3), run.now()))
        if outcome is not None:
            n_void += 1
            if n_void > MAX_VOID:
                raise MachineError(f"{n_void} attempts in a row were void, the last because {why}; {_REMEDY}")
        elif reference is None and n_waits == MAX_VOID and _is_unsteady(run, chirps):
            raise MachineError(f"{why}: {_UNSTEADY}")
        elif waited >= machine.patience_seconds:
            raise MachineError(f"{why}, and was no other after {waited / 60:.0f} min; {_REMEDY}")
        else:
            run.sleep(pause)
            n_waits, waited, pause = n_waits + 1, waited + pause, min(2 * pause, LONGEST_PAUSE_SECONDS)


_UNSTEADY = (
    "losses under a budget in seconds cannot be compared here; go on with `agent resume` when the machine is quiet, or "
    'start a new run with a budget in steps or work, or with canary = "off" in [machine] of task.toml: any speed counts'
)
_REMEDY = (
    "go on with `agent resume` (or `agent attribute`) once the machine is itself again, or start a new run with a new "
    "baseline"
)


def reference_of(history: History) -> Reference | None:
    """Return the machine as it was at the baseline; None if that has not ended, or nobody measured it then."""
    baseline = history.trials[0].outcome if history.trials else None
    if baseline is None or baseline.machine is None or not baseline.machine.speeds:
        return None
    return Reference.of(baseline.machine)


def slope_run(run: OpenRun) -> Wanted | None:
    """Return the shorter run of the baseline that tells what speed is worth, if it is wanted and was not run yet.

    It is not where no further trial could make use of it.
    """
    baseline = run.history.trials[0] if run.history.trials else None
    if run.budget.trials is not None and len(run.history.trials) >= run.budget.trials:
        return None
    if run.canary is None or not run.task.machine.slope or run.rule.kind == "baseline":
        return None
    if baseline is None or baseline.val_loss is None or reference_of(run.history) is None:
        return None
    if any(repeat.purpose is Purpose.SLOPE for repeat in run.history.repeats):
        return None
    return Wanted(0, baseline.proposal.train_seed, Purpose.SLOPE)


def slope_known(run: Guarded) -> float | None:
    """Return d loss / d ln(speed) as the shorter run of the baseline shows it; None as long as nothing does."""
    short = next((r.outcome for r in run.history.repeats if r.purpose is Purpose.SLOPE), None)
    full = run.history.trials[0].outcome if run.history.trials else None
    if short is None or full is None or full.raw_loss is None or short.raw_loss is None:
        return None
    ratio = short.machine.ratio if short.machine is not None and short.machine.ratio is not None else 1.0
    return slope_of(
        (full.raw_loss, full.wall_seconds), (short.raw_loss, short.wall_seconds), ratio, run.task.budget.amount
    )


def bar_before_correction(run: OpenRun, to_beat: float | None) -> float | None:
    """Return the loss as scored from which on, corrected at most, it would still be below `to_beat`."""
    slope, reference = slope_known(run), reference_of(run.history)
    if to_beat is None or slope is None or reference is None or run.canary is None:
        return to_beat
    return to_beat + abs(slope) * reference.thresholds(thresholds_of(run)).void


def thresholds_of(run: Guarded) -> Thresholds:
    """Return the thresholds that the task asks for."""
    return Thresholds(run.task.machine.ignore, run.task.machine.void)


def _is_unsteady(run: Guarded, chirps: Sequence[Chirp]) -> bool:
    return unsteady([chirp.speed for chirp in chirps], thresholds_of(run)) is not None


def _objection(
    run: Guarded, reference: Reference | None, chirps: Sequence[Chirp], outcome: Outcome | None = None
) -> str | None:
    """Return in words why an attempt between these canaries does not count; None if it does."""
    found: list[str | None] = []
    for chirp in chirps:
        found.append(shared_with(chirp.gpu.others))
        if reference is not None:
            found.append(reference.off(chirp.speed, thresholds_of(run)))
            found.append(reference.held_back(chirp.gpu.held_back, canary=True))
    if reference is None:
        found.append(unsteady([chirp.speed for chirp in chirps], thresholds_of(run)))
    if outcome is not None and {chirp.sandbox for chirp in chirps} != {outcome.sandbox}:
        found.append(f"it ran in {outcome.sandbox}, and its canary in {chirps[0].sandbox}")
    if outcome is not None and outcome.machine is not None:
        found.append(shared_with(outcome.machine.others))
        if reference is not None:
            found.append(reference.held_back(outcome.machine.gpu, canary=False))
    return next((why for why in found if why is not None), None)


def _with_machine(
    run: Guarded, outcome: Outcome, reference: Reference | None, chirps: Sequence[Chirp], *, correct: bool
) -> Outcome:
    """Return the outcome with what was measured and, if it calls for that, its loss corrected."""
    speeds = tuple(chirp.speed for chirp in chirps)
    reasons = sorted({reason for chirp in chirps for reason in chirp.gpu.held_back})
    machine = replace(
        outcome.machine or Machine(),
        speeds=speeds,
        ratio=reference.ratio(speeds) if reference is not None else None,
        seconds=round(sum(chirp.seconds for chirp in chirps), 3),
        canary_gpu={r: sum(chirp.gpu.held_back.get(r, 0.0) for chirp in chirps) / len(chirps) for r in reasons},
    )
    loss = outcome.val_loss
    if loss is None or reference is None or machine.ratio is None or not correct:
        return replace(outcome, machine=machine)
    corrected = reference.corrected(loss, machine.ratio, slope_known(run), thresholds_of(run))
    if corrected == loss:
        return replace(outcome, machine=machine)
    return replace(outcome, val_loss=corrected, machine=replace(machine, raw_loss=loss))
