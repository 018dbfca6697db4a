"""Executions between two canaries: an attempt on a machine of another speed than the baseline's does not count."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.errors import MachineError
from agent.execution.executor import Attempt, Executor
from agent.execution.host import Clock
from agent.execution.speed.drift import Reference, shared_with, unsteady
from agent.execution.speed.probe import Chirp
from agent.trials.machine_speed import Machine, Void
from agent.trials.trial import Outcome, Status

MAX_VOID = 2  # attempts that trained for nothing, after which the run stops at the next
N_BEFORE, N_BEHIND = 3, 2  # canaries around the baseline: the reference
LONGEST_PAUSE_SECONDS = 300.0
_MAY_BE_THE_MACHINE = (Status.OK, Status.TIMED_OUT, Status.PRUNED)  # any other end has nothing to do with speed


def with_speed_check(
    executor: Executor,
    attempt: Attempt,
    record_void: Callable[[Void], None],
    clock: Clock,
    on_scoring: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run an attempt between measurements of the machine's speed, until it counts; return its outcome with these.

    An attempt that does not count is recorded before the next begins, and nobody sees its loss. Where a canary shows
    beforehand that it would not, nothing is trained, and the run waits for the machine.

    Args:
        record_void: makes it durable that an attempt does not count.
        on_scoring: called between training and scoring.

    Raises:
        MachineError: too many attempts were void, or the wait was too long.
        SandboxError: a sandbox failed, not the script.
    """
    canary, reference = executor.probe, reference_of(attempt.baseline)
    if canary is None or (reference is None and attempt.baseline is not None):  # nobody measured it at the baseline
        return executor.run(attempt, on_scoring)
    machine, n_void, n_waits, waited, pause = executor.task.machine, 0, 0, 0.0, executor.task.machine.pause_seconds
    while True:
        began = clock.monotonic()
        chirps = [canary.fresh()] if reference else [canary.chirp() for _ in range(N_BEFORE)]
        why, outcome = _objection(machine.void, reference, chirps), None
        if why is None:
            outcome = executor.run(attempt, on_scoring)
            if outcome.status in _MAY_BE_THE_MACHINE:
                chirps += [canary.chirp() for _ in range(1 if reference else N_BEHIND)]
            why = _objection(machine.void, reference, chirps, outcome)
            if why is None:
                return _with_machine(outcome, reference, chirps)
        canary.forget()
        record_void(Void(why, outcome is not None, round(clock.monotonic() - began, 3), clock.now()))
        if outcome is not None:
            n_void += 1
            if n_void > MAX_VOID:
                raise MachineError(f"{n_void} attempts in a row were void, the last because {why}; {_REMEDY}")
        elif reference is None and n_waits == MAX_VOID and _is_unsteady(machine.void, chirps):
            raise MachineError(f"{why}: {_UNSTEADY}")
        elif waited >= machine.patience_seconds:
            raise MachineError(f"{why}, and was no other after {waited / 60:.0f} min; {_REMEDY}")
        else:
            clock.sleep(pause)
            n_waits, waited, pause = n_waits + 1, waited + pause, min(2 * pause, LONGEST_PAUSE_SECONDS)


_UNSTEADY = (
    "losses under a budget in seconds cannot be compared here; go on with `agent resume` when the machine is quiet, or "
    'start a new run with a budget in steps or work, or with canary = "off" in [machine] of task.toml: any speed counts'
)
_REMEDY = (
    "go on with `agent resume` (or `agent attribute`) once the machine is itself again, or start a new run with a new "
    "baseline"
)


def reference_of(baseline: Outcome | None) -> Reference | None:
    """Return the machine as it was at the baseline; None if that has not ended, or nobody measured it then."""
    if baseline is None or baseline.machine is None or not baseline.machine.speeds:
        return None
    return Reference.of(baseline.machine)


def _is_unsteady(threshold: float, chirps: Sequence[Chirp]) -> bool:
    return unsteady([chirp.speed for chirp in chirps], threshold) is not None


def _objection(
    threshold: float, reference: Reference | None, chirps: Sequence[Chirp], outcome: Outcome | None = None
) -> str | None:
    """Return in words why an attempt between these canaries does not count; None if it does."""
    found: list[str | None] = []
    for chirp in chirps:
        found.append(shared_with(chirp.gpu.others))
        if reference is not None:
            found.append(reference.off(chirp.speed, threshold))
            found.append(reference.held_back(chirp.gpu.held_back, canary=True))
    if reference is None:
        found.append(unsteady([chirp.speed for chirp in chirps], threshold))
    if outcome is not None and {chirp.sandbox for chirp in chirps} != {outcome.sandbox}:
        found.append(f"it ran in {outcome.sandbox}, and its canary in {chirps[0].sandbox}")
    if outcome is not None and outcome.machine is not None:
        found.append(shared_with(outcome.machine.others))
        if reference is not None:
            found.append(reference.held_back(outcome.machine.gpu, canary=False))
    return next((why for why in found if why is not None), None)


def _with_machine(outcome: Outcome, reference: Reference | None, chirps: Sequence[Chirp]) -> Outcome:
    """Return the outcome with what was measured of the machine."""
    speeds = tuple(chirp.speed for chirp in chirps)
    reasons = sorted({reason for chirp in chirps for reason in chirp.gpu.held_back})
    machine = replace(
        outcome.machine or Machine(),
        speeds=speeds,
        ratio=reference.ratio(speeds) if reference is not None else None,
        seconds=round(sum(chirp.seconds for chirp in chirps), 3),
        canary_gpu={r: sum(chirp.gpu.held_back.get(r, 0.0) for chirp in chirps) / len(chirps) for r in reasons},
    )
    return replace(outcome, machine=machine)
