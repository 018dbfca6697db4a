"""What was observed of one training, in a few words for a model: its curve, both losses, speed, memory, its report.

All of it is in the journal, so a replayed run shows the same words. The script prints its curve and its report: data,
which is bounded and never trusted.
"""

from collections.abc import Mapping

from agent.trials.trial import Outcome, Trial

N_REPORTED = 8  # numbers of a report that are shown
_STEPS = ("num_steps", "n_steps", "steps", "step", "iterations", "num_iterations", "iters", "updates")
_TRAIN_LOSS = ("train_loss", "training_loss", "final_train_loss", "loss")
_SECONDS = ("training_seconds", "train_seconds")


def trial_facts(trial: Trial, parent: Trial | None, memory_gb: float | None) -> str:
    """Return the facts of a trial that ran, on one line; empty if nothing is known.

    Args:
        trial: as the proposer sees it.
        parent: the trial that it edits, whose training loss stands beside its own; None: not known.
        memory_gb: the limit of memory, in GiB; None: not known.
    """
    outcome = trial.outcome
    if outcome is None or not outcome.status.ran:
        return ""
    before = parent.outcome if parent is not None else None
    parts = [_curve(outcome), _train_loss(outcome, before, parent), _speed(outcome, before)]
    parts += [_memory(outcome, memory_gb), _reported(outcome)]
    return "; ".join(part for part in parts if part)


def short_facts(trial: Trial) -> str:
    """Return the training loss, the speed and the memory of a trial, for a row of a table; empty if none is known."""
    outcome = trial.outcome
    if outcome is None:
        return ""
    loss = train_loss(outcome)
    parts = ["" if loss is None else f"train {loss:.4g}", _speed(outcome, None), _memory(outcome, None)]
    return ", ".join(part for part in parts if part)


def train_loss(outcome: Outcome) -> float | None:
    """Return the last training loss: as the script reports it at its end, else the end of its curve; None: unknown."""
    reported = _first(outcome.reported, _TRAIN_LOSS)
    return reported if reported is not None or outcome.curve is None else outcome.curve.end


def steps_per_second(outcome: Outcome) -> float | None:
    """Return the optimizer steps per second of training, from the script's report; None if it reports no steps."""
    steps = _first(outcome.reported, _STEPS)
    seconds = _first(outcome.reported, _SECONDS) or outcome.wall_seconds
    return None if steps is None or steps <= 0 or seconds <= 0 else steps / seconds


def _first(reported: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    return next((reported[name] for name in names if name in reported), None)


def _curve(outcome: Outcome) -> str:
    if outcome.curve is None:
        return ""
    readings = outcome.curve.readings
    shares = ", ".join(f"{100 * share:.0f}" for share, _ in readings)
    return f"training curve at {shares} % of the budget: {', '.join(f'{loss:.4g}' for _, loss in readings)}"


def _train_loss(outcome: Outcome, before: Outcome | None, parent: Trial | None) -> str:
    own, theirs = train_loss(outcome), train_loss(before) if before is not None else None
    if own is None:
        return ""
    return f"train loss {own:.4g}" + (
        f" (trial {parent.number}: {theirs:.4g})" if parent and theirs is not None else ""
    )


def _speed(outcome: Outcome, before: Outcome | None) -> str:
    own, theirs = steps_per_second(outcome), steps_per_second(before) if before is not None else None
    return "" if own is None else f"{own:.3g} steps/s" + ("" if theirs is None else f" ({theirs:.3g})")


def _memory(outcome: Outcome, limit: float | None) -> str:
    parts = []
    if outcome.peak_memory_gb is not None:
        parts.append(f"{outcome.peak_memory_gb:.2g} " + (f"of {limit:g} GiB" if limit is not None else "GiB"))
    if outcome.peak_vram_gb:
        parts.append(f"{outcome.peak_vram_gb:.2g} GiB of the GPU")
    return f"memory {', '.join(parts)}" if parts else ""


def _reported(outcome: Outcome) -> str:
    """Return the first numbers that the script printed at its end."""
    numbers = [f"{name} {value:.5g}" for name, value in list(outcome.reported.items())[:N_REPORTED]]
    more = len(outcome.reported) - len(numbers)
    return f"it reports {', '.join(numbers)}" + (f" and {more} more" if more else "") if numbers else ""
