"""What will not fit in memory, learned from the run's own trials on terms that the task declares.

Memory is nearly linear in a few products (batch x depth x width, width squared x depth, ...), each with a weight that
cannot be negative. A handful of trials tells the weights; what is surely too large then never runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.formula import Expression

MIN_TRIALS = 4  # successes, before anything is refused
HOPELESS_BELOW = 0.1  # chance of fitting
MIN_ERROR = 0.01  # relative: geometries repeat within about one per cent
RIDGE = 1e-3  # of a term's weight, relative: decides between terms that the trials cannot tell apart
N_ROUNDS = 3  # of turning trials that ran out of memory into equations

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """The memory that a configuration is expected to need."""

    gb: float
    error: float  # relative standard deviation
    limit_gb: float

    @property
    def chance(self) -> float:
        """The probability that it fits, 0 to 1."""
        return _normal_cdf(math.log(self.limit_gb / self.gb) / self.error)

    @property
    def hopeless(self) -> bool:
        """Whether it will surely not fit."""
        return self.chance < HOPELESS_BELOW

    @property
    def told(self) -> str:
        """The estimate in words, for prompts: "needs about 44 of 79 GB"."""
        return f"needs about {self.gb:.3g} of {self.limit_gb:.3g} GB"


class Memory(Protocol):
    """Learns from trials what fits."""

    def learn(self, params: Params, peak_gb: float | None) -> None:
        """Note what a trial needed; None: it ran out of memory."""
        ...

    def estimate(self, params: Params) -> Estimate | None:
        """Return what `params` will need; None while that cannot be told."""
        ...


class MemoryModel:
    """Memory as a sum of terms with non-negative weights, fitted anew when a trial has been learned."""

    def __init__(
        self,
        terms: Sequence[str],
        limit_gb: float,
        names: tuple[str, ...],
        definitions: Mapping[str, str] | None = None,
    ) -> None:
        """`terms`: formulas over `names`, a constant is added to them; `limit_gb`: what a trial may use.

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
        """Return the model that `[memory]` of a task.toml declares: terms, define, limit_gb (default: `limit_gb`).

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

    def learn(self, params: Params, peak_gb: float | None) -> None:
        """Note what a trial needed; None: it ran out of memory."""
        if peak_gb is None:
            self._failed.append(self._row(params))
        else:
            self._fitting.append((self._row(params), peak_gb))
        self._fit = None

    def estimate(self, params: Params) -> Estimate | None:
        """Return what `params` will need; None while too few trials have succeeded to tell."""
        if len(self._fitting) < MIN_TRIALS:
            return None
        if self._fit is None:
            self._fit = self._fitted()
        gb, error = self._fit.predict(self._row(params))
        return Estimate(gb, error, self.limit_gb)

    def _row(self, params: Params) -> Vector:
        return np.array([1.0, *(term(params) for term in self._terms)])

    def _fitted(self) -> "_Fit":
        """Fit the successes; add each failure that they predict to fit as one that needs just the limit."""
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
        left_out = (relative @ weights - 1) / np.maximum(1 - leverage, 0.05)  # each predicted from the others
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
    for _ in range(3 * n_terms):  # ends earlier: each round frees the term that helps most
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
