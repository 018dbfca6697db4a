"""Turns the sandbox's observations and the score into an Outcome, with flags where script and host disagree."""

import math
import re
from collections.abc import Mapping

from agent.edits.guard import fixed_seeds
from agent.task.init.metric.metric_code import changed_metric_code
from agent.task.spec import BudgetSpec, ScoreSpec
from agent.text import last_line, one_line, summary
from agent.trials.metric import Metric
from agent.trials.trial import Outcome, Score, Status
from sandbox.job import Execution, StoppedBy

# torch.OutOfMemoryError and its older spellings. Triton's "out of resource: shared memory" is not about the
# device's memory and is left out.
_CUDA_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
)
_DIVERGED = re.compile(r"FAIL: diverged|\bloss (?:is|=) *[+-]?(?:nan|inf)", re.IGNORECASE)

_TRACEBACK_CHARACTERS = 3000  # at the end of a log
_TOO_LARGE_A_FILE = 25  # SIGXFSZ
_LIMIT_HINTS = {
    "No space left on device": "a trial may write limits.scratch_mb, its working copy included: raise that",
    "File too large": "no file of a trial may be larger than limits.output_mb: raise that",
    "Read-only file system": "/task is read-only: set writable_copy = true in [environment]",
}

# How far a reported number may be from the measured one before it is flagged.
SECONDS = 2.0  # start-up and shut-down vary by that much
FACTOR = 1.5  # of the baseline's own start-up, or of a reported memory
GIGABYTES = 0.25  # tools count page cache and shared libraries differently
FAR_SHARE = 0.1  # of the incumbent's loss, and
FAR_SIGMAS = 10.0  # by which a loss may be below it: more is flagged, and the flag decides nothing
METRIC_EDIT = "edits the code that reports the metric"
LOSS_SHARE = 0.02  # reported and scored loss may be over different tokens


def failure(  # noqa: PLR0911 (one return a kind of failure)
    execution: Execution, log: str, budget: BudgetSpec
) -> tuple[Status, str] | None:
    """Return why a training job failed, or None if it ended well. Its output only tells one failure from another."""
    match execution.stopped_by:
        case StoppedBy.MEMORY:
            return Status.OUT_OF_MEMORY, "more memory than the limit"
        case StoppedBy.WALL_LIMIT:
            return Status.TIMED_OUT, f"stopped after {execution.wall_seconds:.0f} s"
        case StoppedBy.CPU_LIMIT:
            return Status.TIMED_OUT, f"more than {budget.cpu_factor:g}x the baseline's CPU seconds"
        case StoppedBy.SIGNAL:
            hint = f" ({_LIMIT_HINTS['File too large']})" if execution.signal == _TOO_LARGE_A_FILE else ""
            return Status.CRASHED, f"killed by signal {execution.signal}{hint}"
    # A script may catch an error and still exit with 0: if it has saved a model, it has handled the error.
    if execution.exit_code == 0:
        return None
    if _CUDA_OUT_OF_MEMORY.search(log):
        return Status.OUT_OF_MEMORY, "CUDA out of memory"
    if _DIVERGED.search(log):
        return Status.DIVERGED, last_line(log)
    return Status.CRASHED, f"exit {execution.exit_code}: {last_line(log)}{_limit_hint(log)}"


def _limit_hint(log: str) -> str:
    """Return which limit of task.toml a script ran into, according to the end of its log; empty if into none."""
    end = log[-_TRACEBACK_CHARACTERS:]
    return next((f" ({hint})" for words, hint in _LIMIT_HINTS.items() if words in end), "")


def saved_nothing(log: str) -> tuple[Status, str]:
    """Return the failure of a job that ended with 0 and saved no model: the error that it hid, if it printed that."""
    if _CUDA_OUT_OF_MEMORY.search(log):
        return Status.OUT_OF_MEMORY, "CUDA out of memory, and nothing was saved"
    return Status.BAD_ARTIFACT, f"no model was saved: {last_line(log)}"


def judge(execution: Execution, failed: tuple[Status, str] | None, score: Score | None, budget: BudgetSpec) -> Outcome:
    """Return the Outcome of an executed trial; KeepPolicy decides whether it is kept."""
    status, reason = failed or (Status.OK, "")
    if score is not None and not failed:
        status, reason = score.status, score.reason
    ok = status is Status.OK and score is not None
    charged = budget.charge_seconds if ok else None
    return Outcome(
        status=status,
        val_loss=score.val_loss if ok and score else None,
        reason=reason,
        train_seconds=execution.wall_seconds if charged is None else charged,
        wall_seconds=execution.wall_seconds,
        cpu_seconds=execution.cpu_seconds,
        peak_memory_gb=execution.peak_memory_gb,
        peak_vram_gb=execution.peak_vram_gb,
        score=score,
        sandbox=execution.sandbox,
        unenforced=execution.unenforced,
    )


def reported(log: str) -> Mapping[str, float]:
    """Return the finite `key: value` numbers that a script printed after its last `---`: information, never trusted."""
    values = {}
    for line in summary(log).splitlines()[:50]:
        match = re.fullmatch(r"(\w{1,40}):\s+(-?[\d.]+(?:e[+-]?\d+)?)\s*", line)
        if match and match[2].count(".") <= 1 and any(c.isdigit() for c in match[2]):
            value = float(match[2])
            if math.isfinite(value):
                values[match[1]] = value
    return values


def seed_flags(source: str, parent: str) -> tuple[str, ...]:
    """Return a flag for each seed that only the script fixes, and one if only its parent reads TRAIN_SEED."""
    known = fixed_seeds(parent)
    flags = [f"fixes its own seed: {call}" for call in fixed_seeds(source) if call not in known]
    if "TRAIN_SEED" in parent and "TRAIN_SEED" not in source:
        flags.append("fixes its own seed: it no longer reads TRAIN_SEED")
    return tuple(flags)


def metric_edit_flags(source: str, baseline: str, score: ScoreSpec, metric: Metric) -> tuple[str, ...]:
    """Return a flag if a script reports a self-reported metric in another way than the baseline does.

    A script that is nested too deeply for the comparison is flagged, too.
    """
    if not score.row.is_self_reported or source == baseline:
        return ()
    try:
        changed = changed_metric_code(baseline, source, score, metric.name)
    except RecursionError:
        changed = "it is nested too deeply to be compared"
    return () if changed is None else (f"{METRIC_EDIT}: {one_line(changed)}",)


def far_below_flags(val_loss: float, incumbent: float, sigma: float) -> tuple[str, ...]:
    """Return a flag if a loss is so far below the incumbent's that a forged score is likelier than such an edit."""
    gain = incumbent - val_loss
    if gain <= max(FAR_SHARE * abs(incumbent), FAR_SIGMAS * sigma) or incumbent == 0:
        return ()
    return (f"{gain / abs(incumbent):.0%} better than the incumbent: read its diff before you believe it",)


def reported_flags(
    reported: Mapping[str, float],
    execution: Execution,
    val_loss: float | None,
    metric: Metric,
    baseline: Outcome | None,
) -> tuple[str, ...]:
    """Return a flag for each reported number that the host's own measurement contradicts beyond tolerance.

    Args:
        baseline: outcome of trial 0, whose time outside training shows how long this script takes to start.
    """
    flags = []
    if "training_seconds" in reported:
        outside = execution.wall_seconds - reported["training_seconds"]
        allowed = SECONDS
        if baseline is not None and "training_seconds" in baseline.reported:
            allowed += FACTOR * (baseline.wall_seconds - baseline.reported["training_seconds"])
        if outside < -SECONDS or (baseline is not None and outside > allowed):
            claimed, measured = reported["training_seconds"], execution.wall_seconds
            flags.append(f"reports {claimed:.1f} s of training; the host measured a job of {measured:.1f} s")
    if "peak_memory_mb" in reported and execution.peak_memory_gb is not None:
        claimed, measured = reported["peak_memory_mb"] / 1024, execution.peak_memory_gb
        if max(claimed, measured) > FACTOR * min(claimed, measured) + GIGABYTES:
            flags.append(f"reports a memory peak of {claimed:.2f} GiB; the host measured {measured:.2f} GiB")
    if metric.name in reported and val_loss is not None:
        claimed, measured = reported[metric.name], metric.display(val_loss)
        if abs(claimed - measured) > LOSS_SHARE * abs(measured):
            flags.append(f"reports {metric.name} {claimed:g}; the score is {measured:g}")
    return tuple(flags)
