"""Runs attempts between two canaries: an attempt is void if the speed of the machine differs from the baseline's."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.errors import MachineError
from agent.execution.executor import Attempt, Executor
from agent.execution.host import Clock
from agent.execution.speed.drift import SpeedReference, shared_with, unsteady
from agent.execution.speed.probe import SpeedSample
from agent.trials.machine_speed import MachineSpeed, VoidedAttempt
from agent.trials.trial import Outcome, Status

MAX_VOID = 2  # void trainings in a row before the run stops at the next one
N_BEFORE, N_BEHIND = 3, 2  # canaries before and after the baseline: the reference
LONGEST_PAUSE_SECONDS = 300.0
_MAY_BE_THE_MACHINE = (Status.OK, Status.TIMED_OUT, Status.PRUNED)  # no other status depends on speed


def with_speed_check(
    executor: Executor,
    attempt: Attempt,
    record_void: Callable[[VoidedAttempt], None],
    clock: Clock,
    on_scoring: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run an attempt between measurements of the machine's speed, until one counts; return its outcome with them.

    A void attempt is recorded before the next starts, and its loss is discarded unread. If a canary shows beforehand
    that an attempt would be void, nothing is trained, and the run waits for the machine.

    Args:
        record_void: journals a void attempt.
        on_scoring: called between training and scoring.

    Raises:
        MachineError: too many attempts were void, or the wait was too long.
        SandboxError: a sandbox failed, not the script.
    """
    canary, reference = executor.probe, reference_of(attempt.baseline)
    if canary is None or (reference is None and attempt.baseline is not None):  # not measured at the baseline
        return executor.run(attempt, on_scoring)
    machine, n_void, n_waits, waited, pause = executor.task.machine, 0, 0, 0.0, executor.task.machine.pause_seconds
    while True:
        began = clock.monotonic()
        samples = [canary.recent()] if reference else [canary.measure() for _ in range(N_BEFORE)]
        why, outcome = _objection(machine.void, reference, samples), None
        if why is None:
            outcome = executor.run(attempt, on_scoring)
            if outcome.status in _MAY_BE_THE_MACHINE:
                samples += [canary.measure() for _ in range(1 if reference else N_BEHIND)]
            why = _objection(machine.void, reference, samples, outcome)
            if why is None:
                return _with_machine(outcome, reference, samples)
        canary.invalidate()
        record_void(VoidedAttempt(why, outcome is not None, round(clock.monotonic() - began, 3), clock.now()))
        if outcome is not None:
            n_void += 1
            if n_void > MAX_VOID:
                raise MachineError(f"{n_void} attempts in a row were void, the last because {why}; {_REMEDY}")
        elif reference is None and n_waits == MAX_VOID and _is_unsteady(machine.void, samples):
            raise MachineError(f"{why}: {_UNSTEADY}")
        elif waited >= machine.patience_seconds:
            raise MachineError(f"{why}, still after {waited / 60:.0f} min of waiting; {_REMEDY}")
        else:
            clock.sleep(pause)
            n_waits, waited, pause = n_waits + 1, waited + pause, min(2 * pause, LONGEST_PAUSE_SECONDS)


_UNSTEADY = (
    "losses under a budget in seconds cannot be compared here; use `agent resume` when the machine is quiet, or start "
    'a new run with a budget in steps or work, or with canary = "off" in [machine] of task.toml: then any speed counts'
)
_REMEDY = (
    "continue with `agent resume` (or `agent attribute`) once the machine has its old speed, or start a new run with a "
    "new baseline"
)


def reference_of(baseline: Outcome | None) -> SpeedReference | None:
    """Return the machine's state at the baseline; None if the baseline has not ended, or was not measured."""
    if baseline is None or baseline.machine is None or not baseline.machine.speeds:
        return None
    return SpeedReference.of(baseline.machine)


def _is_unsteady(threshold: float, samples: Sequence[SpeedSample]) -> bool:
    return unsteady([sample.speed for sample in samples], threshold) is not None


def _objection(
    threshold: float, reference: SpeedReference | None, samples: Sequence[SpeedSample], outcome: Outcome | None = None
) -> str | None:
    """Return a sentence if an attempt between these canaries is void; None if it counts."""
    found: list[str | None] = []
    for sample in samples:
        found.append(shared_with(sample.gpu.others))
        if reference is not None:
            found.append(reference.exceeds_limit(sample.speed, threshold))
            found.append(reference.throttled(sample.gpu.throttled, canary=True))
    if reference is None:
        found.append(unsteady([sample.speed for sample in samples], threshold))
    if outcome is not None and {sample.sandbox for sample in samples} != {outcome.sandbox}:
        found.append(f"it ran in {outcome.sandbox}, and its canary in {samples[0].sandbox}")
    if outcome is not None and outcome.machine is not None:
        found.append(shared_with(outcome.machine.others))
        if reference is not None:
            found.append(reference.throttled(outcome.machine.gpu, canary=False))
    return next((why for why in found if why is not None), None)


def _with_machine(outcome: Outcome, reference: SpeedReference | None, samples: Sequence[SpeedSample]) -> Outcome:
    """Return the outcome with the measurements of the machine."""
    speeds = tuple(sample.speed for sample in samples)
    reasons = sorted({reason for sample in samples for reason in sample.gpu.throttled})
    machine = replace(
        outcome.machine or MachineSpeed(),
        speeds=speeds,
        ratio=reference.ratio(speeds) if reference is not None else None,
        seconds=round(sum(sample.seconds for sample in samples), 3),
        canary_gpu={r: sum(sample.gpu.throttled.get(r, 0.0) for sample in samples) / len(samples) for r in reasons},
    )
    return replace(outcome, machine=machine)
