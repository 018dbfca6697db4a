"""Effects of single names: found where they are, with their direction, and not where there is only noise."""

from collections.abc import Callable

import numpy as np
import pytest

from agent.edits.edit import Params
from agent.modes.prompting.axis_effects import (
    FEW_NAMES,
    MIN_TRIALS,
    MOST_NAMES,
    AxisEffect,
    axis_effects,
    effects_and_stretch,
)
from agent.modes.proposer import Context
from agent.search.gaussian_process import GaussianProcess, Hyperparameters
from agent.search.parameters import Categorical, Float, Int, PowerOfTwo
from agent.search.space import SearchSpace
from agent.trials.trial import Origin
from tests.agent.modes.run_so_far import baseline, context, trial

SPACE = SearchSpace(
    (
        Float("LR", 0.01, 1.0, log=True),
        Int("DEPTH", 1, 8),
        PowerOfTwo("BATCH", 4, 64),
        Float("DECAY", 0.0, 1.0),
        Categorical("NORM", ("rms", "layer", "none")),
    )
)


def results(n: int, loss: Callable[[Params], float], noise: float = 0.01) -> list[tuple[Params, float]]:
    rng = np.random.default_rng(1)
    points = [SPACE.decode(rng.random(SPACE.n_dims)) for _ in range(n)]
    return [(point, 2.5 + loss(point) + noise * float(rng.standard_normal())) for point in points]


def clear(scored: list[tuple[Params, float]]) -> list[AxisEffect]:
    return [effect for effect in axis_effects(SPACE, scored) if effect.is_clear]


def test_the_name_that_matters_most_comes_first_with_its_direction() -> None:
    found = clear(results(40, lambda p: -0.5 * np.log10(float(p["LR"])) + 0.05 * float(p["DEPTH"])))
    assert [effect.name for effect in found] == ["LR", "DEPTH"]
    assert found[0].trend.startswith("higher was better from 0.0")
    assert found[1].trend == "lower was better from 1 to 8"


def test_an_optimum_within_the_range_is_named() -> None:
    (effect,) = clear(results(40, lambda p: (float(p["DECAY"]) - 0.5) ** 2))
    assert (effect.name, effect.trend.split(",")[0][:11]) == ("DECAY", "best near 0")


def test_a_slope_has_no_best_place_within_the_range() -> None:
    """A process returns to its mean at the ends of a range, and still no optimum is made up."""
    for name in ("DECAY", "LR", "DEPTH"):
        effects = clear(results(60, lambda p, name=name: 0.05 * float(SPACE.encode(p)[SPACE.names.index(name)])))  # type: ignore[misc]
        assert [effect.trend[:16] for effect in effects if effect.name == name] == ["lower was better"]


def test_choices_are_compared_by_name() -> None:
    (effect,) = clear(results(40, lambda p: {"rms": 0.0, "layer": 0.2, "none": 0.5}[str(p["NORM"])]))
    assert effect.trend == "rms was better than none"


def test_noise_shows_no_effect() -> None:
    assert clear(results(60, lambda _: 0.0)) == []


def test_few_trials_show_nothing_and_neither_do_equal_losses() -> None:
    assert axis_effects(SPACE, results(MIN_TRIALS - 1, lambda p: float(p["DECAY"]))) == []
    assert axis_effects(SPACE, results(MIN_TRIALS, lambda _: 0.0, noise=0.0)) == []


def test_a_name_with_one_value_has_no_effect() -> None:
    scored = [({**point, "DEPTH": 4}, loss) for point, loss in results(30, lambda p: float(p["DECAY"]))]
    assert "DEPTH" not in {effect.name for effect in axis_effects(SPACE, scored)}


def test_the_same_results_give_the_same_text() -> None:
    scored = results(40, lambda p: float(p["DECAY"]))
    assert axis_effects(SPACE, scored) == axis_effects(SPACE, scored)


def test_a_contrast_is_the_difference_of_predicted_means() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((30, 2))
    targets = points[:, 0] - points[:, 0].mean()
    process = GaussianProcess(points, targets, Hyperparameters.prior(2))
    near, far = rng.random((5, 2)), rng.random((4, 2))
    size, deviation = process.contrast(near, far)
    assert size == pytest.approx(process.predict(near)[0].mean() - process.predict(far)[0].mean())
    assert process.contrast(near[:1], far[:1])[1] <= sum(process.predict(each[:1])[1][0] for each in (near, far)) + 1e-9
    assert deviation > 0


def context_of(n: int) -> Context:
    wide = SearchSpace(tuple(Float(f"NAME_{k}", 0.0, 1.0) for k in range(10)))
    rng = np.random.default_rng(2)
    points = [wide.decode(rng.random(10)) for _ in range(n)]
    start = {name: 0.5 for name in wide.names}
    source = "".join(f"{name} = 0.5\n" for name in wide.names)
    past = [
        trial(k, loss=2.5 + float(wide.encode(point).sum()), origin=Origin.SEARCHER, params=point)
        for k, point in enumerate(points, start=1)
    ]
    return context(source, [baseline(start, loss=3.0), *past], space=wide)


def test_the_text_is_bounded_however_many_names_there_are() -> None:
    lines = effects_and_stretch(context_of(150), is_short=False)["effects"].strip().splitlines()
    assert len(lines) == 1 + MOST_NAMES
    assert sum("matters most" in line for line in lines) == 1
    assert len(effects_and_stretch(context_of(150), is_short=True)["effects"].strip().splitlines()) == 1 + FEW_NAMES


def test_a_short_run_has_neither_effects_nor_a_stretch() -> None:
    assert effects_and_stretch(context_of(10), is_short=False) == {"effects": "", "stretch": ""}
