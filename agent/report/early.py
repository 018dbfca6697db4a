"""What early stopping did: who was stopped, what that saved, and how often it was wrong, as far as that is known."""

from collections.abc import Sequence

from agent.budget import duration
from agent.trial import Status, Trial


def stopped_early(trials: Sequence[Trial]) -> list[str]:
    """Return one line on the trials that were stopped, and on those that were let run on; none if there are none."""
    stopped = [t.outcome for t in trials if t.outcome is not None and t.outcome.stopped_at is not None]
    ran_on = [t for t in trials if t.outcome is not None and t.outcome.condemned and t.status is not Status.PRUNED]
    if not stopped and not ran_on:
        return []
    n_pruned = sum(outcome.status is Status.PRUNED for outcome in stopped)
    n_diverged = len(stopped) - n_pruned
    counts = ([f"{n_pruned} pruned at half of the budget"] if n_pruned else []) + (
        [f"{n_diverged} diverged"] if n_diverged else []
    )
    parts = [f"{', '.join(counts) or 'none'}; that saved {duration(saved_seconds(trials))} of training"]
    if ran_on:
        n_kept = sum(trial.kept for trial in ran_on)
        parts.append(f"{len(ran_on)} condemned ran on, to measure wrong kills: {n_kept} of them kept")
    return [f"stopped early: {'; '.join(parts)}"]


def saved_seconds(trials: Sequence[Trial]) -> float:
    """Return the training seconds that were not spent: of each trial the share that was left, as of the baseline."""
    if not trials or trials[0].outcome is None:
        return 0.0
    shares = [t.outcome.stopped_at for t in trials if t.outcome is not None and t.outcome.stopped_at is not None]
    return sum(max(0.0, 1.0 - share) for share in shares) * trials[0].outcome.train_seconds


def told(trial: Trial, *, is_on: bool) -> list[tuple[str, str]]:
    """Return what is known of a trial's curve, as names and values.

    `is_on`: whether the run stops trials early; then a baseline without a curve means that it cannot.
    """
    outcome = trial.outcome
    if outcome is None:
        return []
    rows = []
    curve = outcome.curve
    if curve is not None:
        at = [("at half", curve.half), ("at the end", curve.end)]
        levels = "".join(f", {value:.4g} {where}" for where, value in at if value is not None)
        rows.append(("curve", f"{curve.start:.4g} at the start{levels} (by the script: information only)"))
    if is_on and trial.number == 0 and (curve is None or curve.half is None or curve.end is None):
        what = "no line of its log is one of [curve]" if curve is None else "no points before half, or before the end"
        rows.append(("early stopping", f"{what}: no trial is stopped for being behind"))
    if outcome.condemned is not None:
        ran_on = "" if outcome.status is Status.PRUNED else "; it ran on, to measure wrong kills"
        gap = f"gap {outcome.condemned.gap:.4g} to the champion's curve at half of the budget"
        rows.append(("behind", f"{gap}, where {outcome.condemned.limit:.4g} was the limit{ran_on}"))
    if outcome.stopped_at is not None:
        rows.append(("stopped", f"at {outcome.stopped_at:.0%} of its budget, as it reported"))
    return rows
