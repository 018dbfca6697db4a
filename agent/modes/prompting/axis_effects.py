"""Which names of a search space matter, and in which direction, as the Gaussian process of local-gp sees the results.

The effect of a name is the change of the process's mean along it, averaged over the points that ran (a partial
dependence, Friedman, 2001), between the best and the worst place within the range of values tried. It is shown if it is
clear of the process's own uncertainty. PED-ANOVA, which the report shows, ranks names without a direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.modes.prompting.space_text import ran, written
from agent.modes.proposer import Context
from agent.search.gaussian_process import N_NEAREST, GaussianProcess, Hyperparameters, relative_gaps
from agent.search.parameters import Categorical, Parameter
from agent.search.space import SearchSpace

MIN_TRIALS = 20
"""Trials with a loss from which effects and importances are shown; with fewer, they are mostly chance."""
MOST_NAMES, FEW_NAMES = 8, 3  # names with an effect that a prompt shows, and a short prompt
CLEAR = 3.0
"""Posterior standard deviations that a clear effect exceeds. Two are usual for one comparison, but there are a dozen
names: of 30 simulated runs of 20, 40 and 100 trials whose losses are noise, two show an effect of one of 14 names
(six with 2.5)."""
_N_FITS = 3  # each continues where the last one ended: 60 steps in all
_N_PLACES = 5  # along a continuous axis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AxisEffect:
    """The effect of one name on the loss."""

    name: str
    size: float  # in standard deviations of the relative gaps
    is_clear: bool
    trend: str  # in words


def effects_and_stretch(context: Context, *, is_short: bool) -> dict[str, str]:
    """Return two parts of a prompt, each empty or with an empty line at its end: `effects` and `stretch`.

    `effects` has the names with a clear effect, one a line; `stretch` asks for another region after a long stretch
    without a gain.

    Args:
        is_short: the longer versions of the prompt do not fit, so fewer names are shown.
    """
    assert context.space is not None, "a model that chooses values needs a search space"
    scored = [(params, trial.val_loss) for trial, params in ran(context) if trial.val_loss is not None]
    clear = [effect for effect in axis_effects(context.space, scored) if effect.is_clear]
    lines = [
        f"{effect.name}: matters{' most' if effect is clear[0] else ''}; {effect.trend}"
        for effect in clear[: FEW_NAMES if is_short else MOST_NAMES]
    ]
    return {
        "effects": _titled("Effects of single names, by a Gaussian process of all results:", lines),
        **_stretch(context),
    }


def _titled(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([heading, *lines, "", ""]) if lines else ""


def _stretch(context: Context) -> dict[str, str]:
    stretch = context.stretch
    if not stretch.is_long:
        return {"stretch": ""}
    request = (
        f"No gain beyond the noise {stretch.period}: {stretch.n_trials} trials. Try another region or combination."
    )
    return {"stretch": f"{request}\n\n"}


def axis_effects(space: SearchSpace, scored: Sequence[tuple[Params, float]]) -> list[AxisEffect]:
    """Return the effect of each name that had several values, the largest first; empty below MIN_TRIALS.

    Args:
        space: the searched names; those of derived coordinates count by themselves.
        scored: parameters and loss (minimised) of the trials that have one, in the order in which they finished.
    """
    space = space.plain()
    known = [(params, loss) for params, loss in scored if set(space.names) <= set(params)]
    if len(known) < MIN_TRIALS:
        return []
    points = np.array([space.encode(params) for params, _ in known])
    targets = relative_gaps(np.array([loss for _, loss in known]))
    if not targets.std():
        return []
    nearest = np.argsort(((points - points[np.argmin(targets)]) ** 2).sum(axis=1), kind="stable")[:N_NEAREST]
    points, targets = points[nearest], targets[nearest]
    targets = (targets - targets.mean()) / (targets.std() or 1.0)
    fitted = Hyperparameters.prior(space.n_dims)
    for _ in range(_N_FITS):
        fitted = fitted.fitted(points, targets)
    process = GaussianProcess(points, targets, fitted)
    effects = [
        _effect(parameter, points, axes, process)
        for parameter, axes in zip(space.parameters, space.axes, strict=True)
        if len(np.unique(points[:, axes], axis=0)) > 1
    ]
    return sorted(effects, key=lambda effect: -effect.size)


def _effect(parameter: Parameter, points: Array, axes: slice, process: GaussianProcess) -> AxisEffect:
    """Return the effect of a parameter, which has had several values.

    A best place within the range is only named where it is clearly better than both ends, since the mean of a process
    returns to the average where points are few, as they are near the ends.
    """
    places = _places(points[:, axes])
    moved = [_at(points, axes, place) for place in places]
    means = [float(process.predict(each)[0].mean()) for each in moved]
    values = [written(parameter, parameter.decode(*place.tolist())) for place in places]
    best, worst = int(np.argmin(means)), int(np.argmax(means))

    def is_better(one: int, other: int) -> bool:
        lead, deviation = process.contrast(moved[other], moved[one])
        return lead > CLEAR * deviation

    size, last = means[worst] - means[best], len(means) - 1
    if isinstance(parameter, Categorical):
        return AxisEffect(
            parameter.name, size, is_better(best, worst), f"{values[best]} was better than {values[worst]}"
        )
    better, other = (last, 0) if means[last] < means[0] else (0, last)
    if best not in (0, last) and is_better(best, better):
        return AxisEffect(parameter.name, size, True, f"best near {values[best]}, from {values[0]} to {values[last]}")
    trend = f"{'higher' if better else 'lower'} was better from {values[0]} to {values[last]}"
    return AxisEffect(parameter.name, size, is_better(better, other), trend)


def _places(coordinates: Array) -> Array:
    """Return the places to compare, shape (n, n_axes): each choice, else steps from lowest to highest."""
    if coordinates.shape[1] > 1 or len(np.unique(coordinates)) <= _N_PLACES:
        return np.unique(coordinates, axis=0)
    return np.linspace(coordinates.min(), coordinates.max(), _N_PLACES)[:, None]


def _at(points: Array, axes: slice, place: Array) -> Array:
    """Return the points, all moved to one place along the axes of a parameter."""
    moved = points.copy()
    moved[:, axes] = place
    return moved
