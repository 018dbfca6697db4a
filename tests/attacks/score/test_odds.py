"""How often the audit catches what is forged: exactly, and by thousands of audits without sandboxes."""

import math
from itertools import product

import numpy as np
import pytest

from agent.execution.scoring.audit import NEAR_THE_END
from agent.task.task import Task
from benchmarks.audit import caught, escape, largest_escape

N_DRAWS = 3000


def worst(share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return losses, shape (245, 32) as in the bigram task, and which of them are among the worst."""
    losses = np.random.default_rng(4).exponential(2.0, size=(245, 32))
    return losses, losses >= np.quantile(losses, 1 - share)


def test_the_exact_odds_are_those_of_counting_every_draw() -> None:
    length, n = 8, 3
    forged = np.zeros((n, length), dtype=bool)
    forged[0, 7] = forged[1, 3] = forged[2, 0] = forged[2, 5] = True
    near = length - int(length * NEAR_THE_END)
    n_unseen = 0
    for positions in product(range(length), repeat=n):
        shown = [True, *(position < near for position in positions[:-1])]
        n_unseen += not any(forged[i, positions[i]] for i in range(n) if shown[i])
    assert escape(forged, 1) == pytest.approx(n_unseen / length**n)
    assert escape(forged, 4) == pytest.approx((n_unseen / length**n) ** 4)


@pytest.mark.parametrize("share", [0.001, 0.003, 0.01])
def test_simulated_audits_catch_as_often_as_the_odds_say(share: float, bigram: Task) -> None:
    losses, forged = worst(share)
    expected = 1 - escape(forged, 1)
    spread = math.sqrt(expected * (1 - expected) / N_DRAWS)
    assert caught(losses, forged, 1, N_DRAWS, bigram) == pytest.approx(expected, abs=4 * spread)


def test_the_worst_one_percent_is_never_kept(bigram: Task) -> None:
    losses, forged = worst(0.01)
    assert escape(forged, 1 + bigram.score.rounds) < 1e-6
    assert caught(losses, forged, 1 + bigram.score.rounds, N_DRAWS, bigram) == 1.0


def test_a_tolerated_difference_is_not_caught(bigram: Task) -> None:
    losses = np.full((245, 32), 0.9 * bigram.score.tol_mean)
    assert caught(losses, np.ones_like(losses, dtype=bool), 1, 100, bigram) == 0.0


def test_the_largest_escape_is_the_last_one_that_escapes_often_enough() -> None:
    losses, _ = worst(0.01)
    n_forged, gain = largest_escape(losses, 9)
    ranked = np.sort(losses, axis=None)[::-1]
    assert gain == pytest.approx(ranked[:n_forged].sum())
    assert escape(losses >= ranked[n_forged - 1], 9) >= 0.01 > escape(losses >= ranked[n_forged], 9)
