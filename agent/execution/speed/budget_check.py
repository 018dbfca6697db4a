"""The rule for budgets that the script counts: a trial that uses too many CPU seconds is over budget.

An attempt above the allowed multiple of the baseline's CPU seconds is void and runs once more: noise is seldom that
large twice. If the second is above it too, the trial is flagged, charged for both, and neither kept nor confirmed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.execution.executor import Attempt, Executor
from agent.execution.host import Clock
from agent.execution.speed.cpu_meter import CpuMeter
from agent.trials.machine_speed import ComputeUse, VoidedAttempt
from agent.trials.trial import Outcome, Status

MAX_STARTUP_SHARE = 0.9  # of the baseline's CPU seconds: beyond that, too little is training to be compared


def with_budget_check(
    executor: Executor,
    attempt: Attempt,
    run_once: Callable[[], Outcome],
    *,
    voids: Callable[[], Sequence[VoidedAttempt]],
    record_void: Callable[[VoidedAttempt], None],
    clock: Clock,
) -> Outcome:
    """Return the outcome of the first attempt within the budget, else of the second, flagged as over budget.

    An outcome without a loss is not checked. Nor are runs of earlier versions, whose baselines have no figures for it.

    Args:
        run_once: runs the attempt, and returns an outcome that has passed all other checks.
        voids: returns the void attempts of the trial or repeat in flight, including those of a killed process.
        record_void: journals a void attempt.

    Raises:
        MachineError, SandboxError: the probe of the machine's speed failed.
    """
    meter, baseline, budget = executor.cpu_meter, attempt.baseline, executor.task.budget
    if meter is None or (baseline is not None and (baseline.compute is None or baseline.cpu_seconds is None)):
        return run_once()
    while True:
        began = clock.monotonic()
        before = meter.recent_speed()
        outcome = run_once()
        if outcome.status is not Status.OK:
            return outcome
        use = ComputeUse((before, meter.speed()), allowed=budget.max_cpu_ratio)
        if baseline is None:
            return _as_baseline(outcome, use, meter)
        assert baseline.compute is not None
        assert baseline.cpu_seconds is not None
        if outcome.cpu_seconds is None:
            flag = "its CPU seconds are not known, and not compared with the baseline's"
            return replace(outcome, compute=use, flags=(*outcome.flags, flag))
        ratio = use.beside(baseline.compute, outcome.cpu_seconds, baseline.cpu_seconds)
        use = replace(use, ratio=None if ratio is None else round(ratio, 4))
        if not use.is_over:
            return replace(outcome, compute=use)
        earlier = [void.cpu_ratio for void in voids() if void.cpu_ratio is not None]
        if earlier:
            return _over_budget(outcome, use, earlier, is_nominal=budget.charge_seconds is not None)
        seconds = round(clock.monotonic() - began, 3)
        record_void(VoidedAttempt(use.description, True, seconds, clock.now(), cpu_ratio=use.ratio))


def _as_baseline(outcome: Outcome, use: ComputeUse, meter: CpuMeter) -> Outcome:
    """Return the baseline's outcome with its start-up, or with a flag that says why no trial is compared with it."""
    use = replace(use, allowed=None)
    used, startup = outcome.cpu_seconds, meter.startup_seconds()
    if used is None or startup is None:
        why = "the CPU seconds of its start-up are not known"
    elif startup > MAX_STARTUP_SHARE * used:
        why = f"{startup:.1f} of its {used:.1f} CPU seconds are start-up"
    else:
        return replace(outcome, compute=replace(use, startup_seconds=round(startup, 3)))
    flag = f"{why}: the CPU seconds of trials are not compared with it"
    return replace(outcome, compute=use, flags=(*outcome.flags, flag))


def _over_budget(outcome: Outcome, use: ComputeUse, earlier: list[float], *, is_nominal: bool) -> Outcome:
    """Return the outcome flagged; a nominal charge is multiplied by what all attempts used of the budget."""
    assert use.ratio is not None
    flag = f"over budget: {use.description}, after {earlier[-1]:.2f} times in the attempt before"
    n_budgets = use.ratio + sum(earlier)
    charged = outcome.train_seconds * n_budgets if is_nominal else outcome.train_seconds
    return replace(outcome, compute=use, train_seconds=round(charged, 3), flags=(flag, *outcome.flags))
