"""The arithmetic of the audit: what a prefix may show, what is rejected, what is corrected."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.execution.scoring.audit import (
    DISAGREES,
    NEAR_THE_END,
    OFF_ON_AVERAGE,
    ROUNDING,
    Differences,
    Drawn,
    compare,
    correction,
    draw,
    objection,
    prefixes,
)

TOL, TOL_MEAN = 1e-2, 1e-3
SEEDS = st.integers(0, 2**32 - 1)


def found(values: list[float] | NDArray[np.float64], counted: list[bool] | None = None) -> Differences:
    """Return a round with these differences."""
    n = len(values)
    claimed = np.full(n, 3.0)
    drawn = Drawn(np.arange(n), np.zeros(n, dtype=np.int64))
    return Differences(drawn, claimed + np.asarray(values), claimed, np.array(counted or [True] * n))


@given(n=st.integers(1, 40), length=st.integers(1, 64), seed=SEEDS)
def test_a_round_asks_about_a_sequence_once_at_most(n: int, length: int, seed: int) -> None:
    drawn = draw(n, length, np.random.default_rng(seed))
    assert len(drawn.positions) == len(drawn.sequences) == len(set(drawn.sequences)) >= 1
    assert (np.diff(drawn.sequences) > 0).all()
    assert ((drawn.positions >= 0) & (drawn.positions < length)).all()


@given(n=st.integers(1, 40), length=st.integers(1, 64), seed=SEEDS)
def test_prefixes_hold_neither_the_target_nor_what_follows_it_closely(n: int, length: int, seed: int) -> None:
    # Every token of the text is another number, so that what a prefix shows can be read off it.
    text = np.arange(1, n * (length + 1) + 1, dtype=np.uint16)
    sequences = text.reshape(n, length + 1)
    drawn = draw(n, length, np.random.default_rng(seed))
    shown = prefixes(sequences, drawn)
    assert shown.shape == (len(drawn.positions), length)
    everything = set(shown[shown > 0].tolist())
    for row, sequence, position in zip(shown, drawn.sequences, drawn.positions, strict=True):
        target = int(sequences[sequence, position + 1])
        assert row[: position + 1].tolist() == sequences[sequence, : position + 1].tolist()
        assert not row[position + 1 :].any()
        # In no row of the round: neither the target, nor the tokens right after it in the text.
        near = range(target, target + max(1, int(length * NEAR_THE_END)) + 1)
        assert everything.isdisjoint(near)


@settings(max_examples=30)
@given(seed=SEEDS, scale=st.floats(0.1, 30.0), shift=st.floats(-1e3, 1e3))
def test_logits_are_normalised_by_the_host(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    sequences = rng.integers(0, 11, size=(6, 9)).astype(np.uint16)
    drawn = draw(6, 8, rng)
    logits = (rng.normal(size=(len(drawn.positions), 11)) * scale + shift).astype(np.float32)
    compared = compare(np.zeros((6, 8)), logits, sequences, drawn, np.ones(11, dtype=np.int64))
    assert compared is not None
    exact = logits.astype(np.float64)
    exact = np.exp(exact - exact.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    targets = sequences[drawn.sequences, drawn.positions + 1]
    np.testing.assert_allclose(np.exp(-compared.audited), exact[np.arange(len(targets)), targets], atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_logit_that_is_not_finite_spoils_the_round(bad: float) -> None:
    drawn = Drawn(np.arange(2), np.zeros(2, dtype=np.int64))
    logits = np.zeros((2, 3), dtype=np.float32)
    logits[1, 2] = bad
    sequences = np.zeros((2, 5), dtype=np.uint16)
    assert compare(np.ones((2, 4)), logits, sequences, drawn, np.ones(3, dtype=np.int64)) is None


def test_logits_at_the_ends_of_float32_do_not_overflow() -> None:
    drawn = Drawn(np.arange(1), np.zeros(1, dtype=np.int64))
    largest = np.finfo(np.float32).max
    logits = np.array([[largest, -largest, 0.0]], dtype=np.float32)
    compared = compare(np.ones((1, 4)), logits, np.zeros((1, 5), dtype=np.uint16), drawn, np.ones(3, dtype=np.int64))
    assert compared is not None
    assert compared.audited.tolist() == [0.0]


def test_one_position_off_is_enough() -> None:
    assert objection([found([0.0] * 999 + [-1.01 * TOL])], TOL, TOL_MEAN) == DISAGREES
    assert objection([found([0.0] * 999 + [0.99 * TOL])], TOL, TOL_MEAN) is None


def test_a_position_off_in_an_earlier_round_is_not_forgotten() -> None:
    assert objection([found([2 * TOL]), found([0.0] * 999)], TOL, TOL_MEAN) == DISAGREES


def test_the_mean_is_taken_with_its_sign_over_all_rounds() -> None:
    half = [found([1.1 * TOL_MEAN] * 100), found([0.0] * 100)]
    assert objection(half[:1], TOL, TOL_MEAN) == OFF_ON_AVERAGE
    assert objection(half, TOL, TOL_MEAN) is None
    assert objection([found([9 * TOL_MEAN, -9 * TOL_MEAN] * 50)], TOL, TOL_MEAN) is None


def test_positions_that_do_not_count_hide_nothing() -> None:
    # Too low by 0.009 where it counts, made up for where the target is a mark of no bytes.
    hidden = found([0.009] * 50 + [-0.009] * 50, [True] * 50 + [False] * 50)
    assert objection([hidden], TOL, TOL_MEAN) == OFF_ON_AVERAGE
    assert correction([hidden]) == pytest.approx(0.009)


@given(constant=st.floats(-TOL_MEAN, TOL_MEAN), seed=SEEDS)
def test_a_constant_within_tolerance_is_given_back(constant: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rounds = [found(constant + rng.normal(size=500) * 1e-7) for _ in range(9)]
    gain = constant - correction(rounds)  # nats: claimed too little by `constant`, corrected
    assert abs(gain) <= ROUNDING


def test_rounding_is_not_corrected() -> None:
    assert correction([found([0.9 * ROUNDING, 0.0])]) == 0.0
    assert correction([found([2 * ROUNDING, 0.0])]) == pytest.approx(ROUNDING)


def test_no_reason_tells_a_number() -> None:
    assert not any(character.isdigit() for character in DISAGREES + OFF_ON_AVERAGE)
