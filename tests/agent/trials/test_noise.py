"""Means and intervals against printed tables and numbers worked out by hand."""

import math

import numpy as np
import pytest

from agent.trials.keeping.noise import MeanEstimate, t_quantile, within

# The 0.975 quantiles of Student's t, as scipy.stats.t.ppf 1.16 gives them.
TABLE = {
    1: 12.706204736432095,
    2: 4.302652729911275,
    3: 3.182446305284263,
    4: 2.7764451051977987,
    7: 2.3646242510102993,
    19: 2.093024054408263,
    30: 2.0422724563012373,
}


@pytest.mark.parametrize(("freedom", "quantile"), TABLE.items())
def test_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 12])
def test_the_share_within_is_the_integral_of_the_density(freedom: int) -> None:
    x = np.linspace(0, 1.7, 20_001)
    constant = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    density = constant * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    assert within(1.7, freedom) == pytest.approx(2 * np.trapezoid(density, x), rel=1e-8)


def test_an_estimate_is_what_the_hand_computes() -> None:
    found = MeanEstimate.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert found.std == pytest.approx(math.sqrt(2.5))
    assert found.half == pytest.approx(2.7764451051977987 * math.sqrt(2.5) / math.sqrt(5))
    assert (found.low, found.high) == pytest.approx((3 - 1.9632432, 3 + 1.9632432), abs=1e-6)


def test_one_number_has_no_interval() -> None:
    assert MeanEstimate.of([2.5]) == MeanEstimate(2.5, None, None, 1)
    assert MeanEstimate.of([2.5]).low is None
