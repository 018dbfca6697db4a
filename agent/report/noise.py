"""What is said of the noise of one run: measured, guessed, or not to be seen by repeats."""

from collections.abc import Sequence

from agent.keeper import Keeper, KeepRule
from agent.metric import Metric
from agent.trial import Trial

REMEDY = "let the script take its seed from the variable TRAIN_SEED: docs/own-script.md"


def noise_summary(trials: Sequence[Trial], metric: Metric) -> list[str]:
    """Return mean and standard deviation of the baseline over training seeds, and where to write it down."""
    values = [metric.shown(trial.val_loss) for trial in trials if trial.val_loss is not None]
    if len(values) < 2:
        return ["fewer than two seeds have a loss: nothing can be said about the noise"]
    from statistics import mean, stdev

    sigma = stdev(values)
    if sigma == 0:
        return [
            f"{metric.name} is {values[0]:.6f} under all {len(values)} training seeds: nothing of the noise was seen",
            f"a fresh run confirms nothing here; {REMEDY}",
        ]
    return [
        f"{metric.name} of the same script over {len(values)} training seeds: mean {mean(values):.6f}, "
        f"standard deviation {sigma:.6f}, range {max(values) - min(values):.6f}",
        f"write it into task.toml:  [noise] sigma = {sigma:.2g}",
        f"single runs of the same script under two seeds differ by more than {2 * 2**0.5 * sigma:.2g} in 1 of 20 cases",
    ]


def sigma_line(keeper: Keeper) -> str:
    """Return what a run takes the noise of one run to be, and who says so."""
    sigma, source = f"sigma {keeper.sigma:.2g}", _source(keeper.rule)
    if keeper.noise.is_hidden:
        return f"{sigma} is a guess of the noise of one run, from {source}: {hidden()}"
    if keeper.noise.n_learned:
        return f"{sigma} is the noise of one run, as far as it is known by now"
    return f"{sigma} is a guess of the noise of one run, from {source}: no repeat has measured it yet"


def hidden() -> str:
    """Return why repeats say nothing of the noise, and what helps."""
    return f"repeats cannot tell, for another seed gives the same loss to the last digit; {REMEDY}"


def _source(rule: KeepRule) -> str:
    if rule.sigma:
        return rule.sigma_source or "what was known beforehand"
    return f"{100 * rule.sigma_share:g} % of the baseline's loss"
