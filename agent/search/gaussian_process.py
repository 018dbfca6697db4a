"""A Gaussian process over the unit cube: Matérn 5/2 kernel, one length scale per axis, noise; NumPy only.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): equations 2.25 and 2.26 for predictions, 5.9 for
the gradient. Length scales and noise maximise the posterior density under log-normal priors (MAP). The optimiser is
iRprop- (Igel and Hüsken, 2000), which needs only the signs of the gradient and starts where the last fit ended.

The process of a run's losses sees gaps to the best loss relative to their median, so that neither the unit of the loss
nor a few very bad trials determine its scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Priors of the logarithms: a length scale is one side of the cube, the noise one twentieth of the targets' variance,
# each give or take a factor of e.
LENGTH, NOISE = (0.0, 1.0), (np.log(0.05), 1.0)
N_STEPS = 20
FIRST_STEP, LEAST_STEP, LARGEST_STEP = 0.1, 0.01, 0.5  # in the logarithms
FASTER, SLOWER = 1.3, 0.5
N_EVALUATED = 5  # trials before a process is of use
N_NEAREST = 150  # it is fitted to this many trials, the nearest to the best
REFIT_GROWTH = 1.1  # growth factor of the number of trials after which length scales and noise are fitted again

Evaluated = tuple[Array, float | None]
"""A point in the unit cube, shape (n_dims,), and its loss; None: it failed."""


@dataclass(frozen=True)
class Hyperparameters:
    """The fitted values: logarithms of the length scales and, last, of the noise variance, shape (n_dims + 1,)."""

    logs: Array
    steps: Array  # step sizes with which the next fit starts, shape (n_dims + 1,)

    @classmethod
    def prior(cls, n_dims: int) -> "Hyperparameters":
        return cls(np.array([LENGTH[0]] * n_dims + [NOISE[0]]), np.full(n_dims + 1, FIRST_STEP))

    @property
    def lengths(self) -> Array:
        return np.exp(self.logs[:-1])

    @property
    def noise(self) -> float:
        return float(np.exp(self.logs[-1]))

    def fitted(self, points: Array, targets: Array) -> "Hyperparameters":
        """Return the best hyperparameters found in N_STEPS of iRprop-, starting from these.

        Args:
            points: in the unit cube, shape (n, n_dims).
            targets: standardised to mean 0 and variance 1, shape (n,).
        """
        logs, steps, before = self.logs, np.maximum(self.steps, 3 * LEAST_STEP), np.zeros_like(self.logs)
        best, lowest = logs, np.inf
        for _ in range(N_STEPS):
            height, gradient = _negative_log_posterior(logs, points, targets)
            if height < lowest:
                best, lowest = logs, height
            turned = gradient * before < 0
            steps = np.where(turned, SLOWER * steps, np.where(gradient * before > 0, FASTER * steps, steps))
            steps = np.clip(steps, LEAST_STEP, LARGEST_STEP)
            before = np.where(turned, 0.0, gradient)
            logs = logs - np.sign(before) * steps
        return Hyperparameters(best, steps)


class GaussianProcess:
    """The posterior of a function given noisy values of it."""

    def __init__(self, points: Array, targets: Array, hyperparameters: Hyperparameters) -> None:
        """`points`: shape (n, n_dims); `targets`: shape (n,), with mean 0 and variance 1."""
        self._given = points, targets
        self._hyperparameters = hyperparameters
        self._lengths = hyperparameters.lengths
        self._points = points / self._lengths
        kernel = _matern(_distances(self._points, self._points))
        self._inverse = np.linalg.inv(kernel + hyperparameters.noise * np.eye(len(targets)))
        self._weights = self._inverse @ targets

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the noise-free function at `points`, each of shape (n,)."""
        kernel = _matern(_distances(points / self._lengths, self._points))
        variances = 1 - np.einsum("ij,jk,ik->i", kernel, self._inverse, kernel)
        return kernel @ self._weights, np.sqrt(np.maximum(variances, 1e-9))

    def contrast(self, first: Array, second: Array) -> tuple[float, float]:
        """Return how far the function's mean over the points `first` is above that over `second`, and its deviation.

        Both have the shape (n, n_dims). The deviation is that of the posterior, without noise.
        """
        weights = np.append(np.full(len(first), 1 / len(first)), np.full(len(second), -1 / len(second)))
        points = np.vstack([first, second]) / self._lengths
        pull = weights @ _matern(_distances(points, self._points))
        variance = weights @ _matern(_distances(points, points)) @ weights - pull @ self._inverse @ pull
        return float(pull @ self._weights), float(np.sqrt(max(variance, 1e-12)))

    def given(self, points: Array, targets: Array) -> "GaussianProcess":
        """Return the process given further values too, with the same hyperparameters."""
        known_points, known_targets = self._given
        both = np.vstack([known_points, points]), np.append(known_targets, targets)
        return GaussianProcess(*both, self._hyperparameters)


def relative_gaps(losses: Array) -> Array:
    """Return ln(1 + gap / median gap) for losses of shape (n,), with gaps to the lowest; NaN counts as the highest.

    So neither the unit of the loss nor a few very bad trials determine the scale.
    """
    gaps = np.where(np.isnan(losses), np.nanmax(losses), losses) - np.nanmin(losses)
    return np.asarray(np.log1p(gaps / (float(np.median(gaps)) or 1.0)))


class LossModel:
    """A process of the losses of a run. It is a function of what was added, whenever it is asked."""

    def __init__(self, n_dims: int) -> None:
        self._evaluated: list[Evaluated] = []
        self._hyperparameters = Hyperparameters.prior(n_dims)
        self._n_refit = N_EVALUATED  # trials with which the hyperparameters are fitted next

    def add(self, point: Array, loss: float | None) -> None:
        """Take the result of a trial."""
        self._evaluated.append((point, loss))

    def predict(self, points: Array) -> tuple[Array, Array] | None:
        """Return mean and deviation of the target at `points`, each of shape (n,); None before it is of use."""
        if not is_modelled(self._evaluated):
            return None
        while self._n_refit <= len(self._evaluated):
            known = self._evaluated[: self._n_refit]
            if is_modelled(known):
                self._hyperparameters = self._hyperparameters.fitted(*training_data(known, self._hyperparameters))
            self._n_refit = int(np.ceil(REFIT_GROWTH * self._n_refit))
        data = training_data(self._evaluated, self._hyperparameters)
        return GaussianProcess(*data, self._hyperparameters).predict(points)


def is_modelled(evaluated: Sequence[Evaluated]) -> bool:
    """Whether there are enough trials for a process, one with a loss among them."""
    return len(evaluated) >= N_EVALUATED and any(loss is not None for _, loss in evaluated)


def training_data(evaluated: Sequence[Evaluated], hyperparameters: Hyperparameters) -> tuple[Array, Array]:
    """Return the points and standardised targets of the trials nearest to the best, at most N_NEAREST.

    Targets are relative gaps; failures count as the worst.
    """
    points = np.array([u for u, _ in evaluated])
    losses = np.array([np.nan if loss is None else loss for _, loss in evaluated])
    targets = relative_gaps(losses)
    if len(points) > N_NEAREST:
        off = (points - points[np.nanargmin(losses)]) / hyperparameters.lengths
        nearest = np.argsort((off**2).sum(axis=1), kind="stable")[:N_NEAREST]
        points, targets = points[nearest], targets[nearest]
    return points, (targets - targets.mean()) / (targets.std() or 1.0)


def _negative_log_posterior(logs: Array, points: Array, targets: Array) -> tuple[float, Array]:
    """Return the negative log posterior up to a constant, and its gradient, shape (n_dims + 1,)."""
    x, noise, n = points / np.exp(logs[:-1]), float(np.exp(logs[-1])), len(targets)
    r = _distances(x, x)
    covariance = _matern(r) + noise * np.eye(n)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ targets
    outer = np.outer(weights, weights) - inverse
    # d kernel / d log length of axis k = 5/3 (1 + r) exp(-r) (x_ik - x_jk)^2, summed over i, j; no (n, n, d) array
    pull = outer * (5 / 3 * (1 + r) * np.exp(-r))
    along = 2 * (pull.sum(axis=1) @ x**2) - 2 * np.einsum("ik,ik->k", x, pull @ x)
    means, widths = (np.array([LENGTH[i]] * (len(logs) - 1) + [NOISE[i]]) for i in (0, 1))
    off = (logs - means) / widths
    height = 0.5 * float(targets @ weights) + 0.5 * float(np.linalg.slogdet(covariance)[1]) + 0.5 * float(off @ off)
    return height, -0.5 * np.append(along, noise * np.trace(outer)) + off / widths


def _distances(first: Array, second: Array) -> Array:
    """Return sqrt(5) times the distances from each row of `first` to each row of `second`."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    return np.asarray(np.sqrt(5 * np.maximum(squares, 0.0)))


def _matern(r: Array) -> Array:
    return np.asarray((1 + r + r * r / 3) * np.exp(-r))
