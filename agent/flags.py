"""Where what a script says and what the host saw disagree. Flags are information: they decide nothing."""

from collections.abc import Mapping

from agent.edits.fixed_seed import fixed_seeds
from agent.metric import Metric
from agent.trial import Outcome
from sandbox.job import Execution

SECONDS = 2.0  # start-up and shut-down vary by that much
FACTOR = 1.5  # of the baseline's own start-up, or of a reported memory
GIGABYTES = 0.25  # page cache and shared libraries are counted differently by everybody
LOSS_SHARE = 0.02  # reported and scored loss may be over different tokens


def seed_flags(source: str, parent: str) -> tuple[str, ...]:
    """Return a flag for each seed that the script fixes and its parent did not, or if it stopped reading TRAIN_SEED."""
    known = fixed_seeds(parent)
    flags = [f"fixes its own seed: {call}" for call in fixed_seeds(source) if call not in known]
    if "TRAIN_SEED" in parent and "TRAIN_SEED" not in source:
        flags.append("fixes its own seed: it no longer reads TRAIN_SEED")
    return tuple(flags)


def reported_flags(
    reported: Mapping[str, float],
    execution: Execution,
    val_loss: float | None,
    metric: Metric,
    baseline: Outcome | None,
) -> tuple[str, ...]:
    """Return a flag for each reported number that the host's own measurement contradicts beyond tolerance.

    Args:
        baseline: outcome of trial 0, whose time outside training says how long this script takes to start.
    """
    flags = []
    if "training_seconds" in reported:
        outside = execution.wall_seconds - reported["training_seconds"]
        allowed = SECONDS
        if baseline is not None and "training_seconds" in baseline.reported:
            allowed += FACTOR * (baseline.wall_seconds - baseline.reported["training_seconds"])
        if outside < -SECONDS or (baseline is not None and outside > allowed):
            said, saw = reported["training_seconds"], execution.wall_seconds
            flags.append(f"reports {said:.1f} s of training; the host saw a job of {saw:.1f} s")
    if "peak_memory_mb" in reported and execution.peak_memory_gb is not None:
        said, saw = reported["peak_memory_mb"] / 1024, execution.peak_memory_gb
        if max(said, saw) > FACTOR * min(said, saw) + GIGABYTES:
            flags.append(f"reports {said:.2f} GiB of memory at most; the host saw {saw:.2f} GiB")
    if metric.name in reported and val_loss is not None:
        said, saw = reported[metric.name], metric.shown(val_loss)
        if abs(said - saw) > LOSS_SHARE * abs(saw):
            flags.append(f"reports {metric.name} {said:g}; the score is {saw:g}")
    return tuple(flags)
