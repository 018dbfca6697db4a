"""The Gaussian process: its gradient, what it finds out about axes and noise, what it predicts."""

import numpy as np
import pytest

from agent.search.gaussian_process import Array, GaussianProcess, Hyperparameters, _negative_log_posterior


def sample(n: int, sigma: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """Return points of the unit cube and standardised values: axis 0 waves, axis 1 slopes, axis 2 is nothing."""
    rng = np.random.default_rng(seed)
    points = rng.random((n, 3))
    values = np.sin(6 * points[:, 0]) + 0.5 * points[:, 1] + sigma * rng.standard_normal(n)
    return points, (values - values.mean()) / values.std()


def fitted(points: Array, targets: Array, n_fits: int = 5) -> Hyperparameters:
    found = Hyperparameters.prior(points.shape[1])
    for _ in range(n_fits):
        found = found.fitted(points, targets)
    return found


@pytest.mark.parametrize("axis", range(4))
def test_the_gradient_is_that_of_the_posterior(axis: int) -> None:
    points, targets = sample(12)
    logs = np.array([-0.4, 0.3, 0.9, -2.0])
    change = 1e-5 * np.eye(4)[axis]
    above, below = (_negative_log_posterior(logs + way * change, points, targets)[0] for way in (1, -1))
    assert _negative_log_posterior(logs, points, targets)[1][axis] == pytest.approx((above - below) / 2e-5, rel=1e-5)


def test_an_axis_that_does_nothing_gets_a_long_length_scale() -> None:
    lengths = fitted(*sample(60)).lengths
    assert lengths[0] < lengths[1] < 3 * lengths[2]
    assert lengths[0] < 0.5 * lengths[2]


def test_a_fit_never_ends_lower_than_it_began() -> None:
    points, targets = sample(40, sigma=0.1)
    found, heights = Hyperparameters.prior(3), []
    for _ in range(4):
        heights.append(_negative_log_posterior(found.logs, points, targets)[0])
        found = found.fitted(points, targets)
    assert heights == sorted(heights, reverse=True)
    assert heights[0] - heights[-1] > 1


def test_noise_is_found_out() -> None:
    assert fitted(*sample(80)).noise < 0.02
    points, targets = sample(80, sigma=0.5)  # 0.25 of a variance of 0.5 + 0.02 + 0.25
    assert 0.15 < fitted(points, targets).noise < 0.6


def test_it_predicts_what_it_has_not_seen_and_knows_where_it_cannot() -> None:
    points, targets = sample(80)
    process = GaussianProcess(points[:60], targets[:60], fitted(points[:60], targets[:60]))
    means, stds = process.predict(points[60:])
    assert np.abs(means - targets[60:]).mean() < 0.1
    _, far = process.predict(np.full((1, 3), 9.0))
    assert far[0] > 0.9
    assert stds.max() < 0.3
