"""A model of a trial's memory, fitted to the run's own trials, with terms that the task declares.

Memory is nearly linear in a few products (batch x depth x width, width squared x depth, ...) with non-negative
weights. A handful of trials determines the weights; a configuration that almost surely does not fit then never runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.formula import Expression

MIN_TRIALS = 4  # successful trials before anything is refused
HOPELESS_BELOW = 0.1  # probability of fitting
MIN_ERROR = 0.01  # relative: repeats of one configuration agree within about one per cent
RIDGE = 1e-3  # relative to a term's weight: decides between terms that the trials cannot distinguish
N_ROUNDS = 3  # fits, each of which adds trials that ran out of memory as equations

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory that a configuration is predicted to need."""

    gb: float
    error: float  # relative standard deviation
    limit_gb: float

    @property
    def chance(self) -> float:
        """The probability, 0 to 1, that the configuration fits."""
        return _normal_cdf(math.log(self.limit_gb / self.gb) / self.error)

    @property
    def hopeless(self) -> bool:
        """Whether the probability of fitting is below HOPELESS_BELOW."""
        return self.chance < HOPELESS_BELOW

    @property
    def description(self) -> str:
        """The estimate in words, for prompts: "needs about 44 of 79 GB"."""
        return f"needs about {self.gb:.3g} of {self.limit_gb:.3g} GB"


class MemoryEstimator(Protocol):
    """Predicts the memory of a configuration from earlier trials."""

    def observe(self, params: Params, peak_gb: float | None) -> None:
        """Note what a trial needed; None: it ran out of memory."""
        ...

    def estimate(self, params: Params) -> MemoryEstimate | None:
        """Return the memory that `params` will need; None while that is unknown."""
        ...


class MemoryModel:
    """Memory as a sum of terms with non-negative weights, fitted again after each new trial."""

    def __init__(
        self,
        terms: Sequence[str],
        limit_gb: float,
        names: tuple[str, ...],
        definitions: Mapping[str, str] | None = None,
    ) -> None:
        """`terms`: formulas over `names`, to which a constant term is added; `limit_gb`: what a trial may use.

        Raises:
            ValueError: a term is not a formula over the names.
        """
        self.limit_gb = limit_gb
        self._terms = [Expression(term, names, definitions) for term in terms]
        self._fitting: list[tuple[Vector, float]] = []  # terms and peak of trials that succeeded
        self._failed: list[Vector] = []  # terms of trials that ran out of memory
        self._fit: _Fit | None = None

    @classmethod
    def from_table(cls, table: Mapping[str, Any], names: tuple[str, ...], limit_gb: float) -> "MemoryModel":
        """Return the model that `[memory]` of a task.toml declares, with its keys terms, define and limit_gb.

        `limit_gb` applies where the table does not set it.

        Raises:
            ValueError: the table is wrong; the message begins "memory: ".
        """
        try:
            if unknown := sorted(set(table) - {"terms", "define", "limit_gb"}):
                raise ValueError(f"unknown key {unknown[0]!r}; known are define, limit_gb, terms")
            terms = table.get("terms")
            if not isinstance(terms, list) or not terms:
                raise ValueError("terms must be a list of formulas")
            limit = table.get("limit_gb", limit_gb)
            if type(limit) not in (int, float) or limit <= 0:
                raise ValueError(f"limit_gb = {limit!r} is not a positive number")
            return cls(terms, float(limit), names, table.get("define"))
        except ValueError as fault:
            raise ValueError(f"memory: {fault}") from None

    def observe(self, params: Params, peak_gb: float | None) -> None:
        """Note what a trial needed; None: it ran out of memory."""
        if peak_gb is None:
            self._failed.append(self._row(params))
        else:
            self._fitting.append((self._row(params), peak_gb))
        self._fit = None

    def estimate(self, params: Params) -> MemoryEstimate | None:
        """Return the memory that `params` will need; None while fewer than MIN_TRIALS have succeeded."""
        if len(self._fitting) < MIN_TRIALS:
            return None
        if self._fit is None:
            self._fit = self._fitted()
        gb, error = self._fit.predict(self._row(params))
        return MemoryEstimate(gb, error, self.limit_gb)

    def _row(self, params: Params) -> Vector:
        return np.array([1.0, *(term(params) for term in self._terms)])

    def _fitted(self) -> "_Fit":
        """Fit the successes; add each failure that is predicted to fit as a trial that needs exactly the limit."""
        rows = [row for row, _ in self._fitting]
        peaks = [peak for _, peak in self._fitting]
        fit = _Fit(np.array(rows), np.array(peaks))
        for _ in range(N_ROUNDS if self._failed else 0):
            wrong = [row for row in self._failed if fit.predict(row)[0] < self.limit_gb]
            fit = _Fit(np.array(rows + wrong), np.array(peaks + [self.limit_gb] * len(wrong)))
        return fit


class _Fit:
    """Non-negative least squares on relative errors."""

    def __init__(self, rows: Vector, peaks: Vector) -> None:
        """`rows`: shape (n_trials, n_terms); `peaks`: GB, shape (n_trials,)."""
        self._scale = rows.max(axis=0)
        self._scale[self._scale <= 0] = 1.0
        relative = rows / self._scale / peaks[:, None]
        weights = non_negative_least_squares(relative, np.ones(len(peaks)), RIDGE)
        self._weights = weights
        used = relative[:, weights > 0]
        self._precision = used.T @ used + RIDGE**2 * np.eye(used.shape[1])
        leverage = np.einsum("ij,ij->i", used, np.linalg.solve(self._precision, used.T).T)
        left_out = (relative @ weights - 1) / np.maximum(1 - leverage, 0.05)  # leave-one-out errors
        self._error = max(MIN_ERROR, float(np.sqrt(np.mean(left_out**2))))

    def predict(self, row: Vector) -> tuple[float, float]:
        """Return GB and the relative standard deviation for the terms `row`, shape (n_terms,)."""
        scaled = row / self._scale
        gb = max(float(scaled @ self._weights), 1e-9)
        used = scaled[self._weights > 0] / gb
        leverage = float(used @ np.linalg.solve(self._precision, used))
        return gb, self._error * math.sqrt(1 + leverage)


def non_negative_least_squares(rows: Vector, targets: Vector, ridge: float) -> Vector:
    """Return the x >= 0 that minimises |rows x - targets|^2 + ridge^2 |x|^2 (Lawson and Hanson, 1974, chapter 23)."""
    n_terms = rows.shape[1]
    gram = rows.T @ rows + ridge**2 * np.eye(n_terms)
    goal = rows.T @ targets
    x, free = np.zeros(n_terms), np.zeros(n_terms, dtype=bool)
    for _ in range(3 * n_terms):  # an upper bound: each round frees the term that helps most
        gradient = np.where(free, -np.inf, goal - gram @ x)
        if gradient.max() <= 1e-10 * np.abs(goal).max():
            break
        free[int(gradient.argmax())] = True
        while True:
            solution = np.zeros(n_terms)
            solution[free] = np.linalg.solve(gram[np.ix_(free, free)], goal[free])
            if (solution[free] > 0).all():
                x = solution
                break
            falling = free & (solution <= 0)
            step = float(np.min(x[falling] / (x[falling] - solution[falling])))
            x = np.where(free, x + step * (solution - x), 0.0)
            free &= x > 1e-15
            x[~free] = 0.0
    return x


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
