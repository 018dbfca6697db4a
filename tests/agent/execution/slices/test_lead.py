"""A lead is right on average, and wrong by as much as its error says, where documents differ from each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.execution.slices.lead import lead_of
from agent.task.unseen.pool import Slice, bands
from agent.trials.keeping.noise import Lead

LENGTH, N_ROUNDS = 10, 4  # bands of 2, 3, 2 and 3 positions
BYTES = np.array([0, 1, 2, 3, 4, 5, 6, 7])  # of the tokens 0 to 7


def sample(chance: np.random.Generator, n_documents: int, *, most: int = 4) -> Slice:
    """A slice of `n_documents`, 1 to `most` sequences each, in which the position tells much of the token."""
    documents = np.repeat(np.arange(n_documents), chance.integers(1, most + 1, n_documents))
    n = len(documents)
    tokens = np.minimum(chance.integers(0, 4, (n, LENGTH + 1)) + np.arange(LENGTH + 1) // 3, 7)
    bounds = bands(LENGTH, N_ROUNDS)
    ends = chance.integers(bounds[:-1], bounds[1:], (n, N_ROUNDS))
    order = chance.permutation(n)
    return Slice(tokens[order].astype(np.uint16), documents[order].astype(np.int64), ends[order])


def differences(part: Slice, chance: np.random.Generator) -> NDArray[np.float64]:
    """Differences of all positions, (N, T): of the document, of the position, of the token, and each for itself."""
    by_document = chance.normal(0.0, 0.3, part.documents.max() + 1)[part.documents]
    by_position = np.linspace(-0.3, 0.5, LENGTH)
    targets = part.sequences[:, 1:]
    each = chance.standard_t(4, targets.shape)  # a few tokens differ by much
    found: NDArray[np.float64] = by_document[:, None] + by_position + 0.05 * targets + 0.5 * each
    return found


def truth() -> float:
    """What `differences` come to on endless text, in bits per byte."""
    position = np.arange(1, LENGTH + 1)
    tokens = np.minimum(np.arange(4) + position[:, None] // 3, 7)  # (T, 4), equally likely
    expected = np.linspace(-0.3, 0.5, LENGTH)[:, None] + 0.05 * tokens
    counted = np.where(BYTES[tokens] > 0, expected, 0.0)
    return float(counted.sum() / (BYTES[tokens].sum() * math.log(2)))


def asked(part: Slice, of_all: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.take_along_axis(of_all, part.ends, axis=1)


def test_leads_are_right_on_average_and_their_errors_cover_as_stated() -> None:
    """2,000 slices: bias within 3 standard errors, coverage within 3, and errors as large as leads are spread."""
    chance = np.random.default_rng(0)
    leads = []
    for _ in range(2000):
        part = sample(chance, 120)
        worse = asked(part, differences(part, chance))
        leads.append(lead_of(part, np.zeros_like(worse), worse, BYTES))
    off = np.array([lead.mean for lead in leads]) - truth()
    errors = np.array([lead.error for lead in leads])
    assert abs(off.mean()) < 3 * off.std(ddof=1) / math.sqrt(2000)
    for t, nominal in ((1.0, 0.681), (1.980, 0.95), (2.617, 0.99)):  # of Student's distribution with 119 degrees
        covered = (np.abs(off) <= t * errors).mean()
        assert abs(covered - nominal) < 3 * math.sqrt(nominal * (1 - nominal) / 2000), (t, covered)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(off.std(), rel=3 / math.sqrt(2 * 2000))


def test_sequences_taken_for_independent_would_cover_too_little() -> None:
    """The same slices, each sequence a document of its own: what the error by documents is for."""
    chance = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        part = sample(chance, 120)
        worse = asked(part, differences(part, chance))
        naive = Slice(part.sequences, np.arange(len(part.documents)), part.ends)
        lead = lead_of(naive, np.zeros_like(worse), worse, BYTES)
        covered.append(abs(lead.mean - truth()) <= 1.96 * lead.error)
    assert np.mean(covered) < 0.91


@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0.1, 10))
def test_what_must_not_matter_does_not(seed: int, shift: float, scale: float) -> None:
    """Order, tokens without bytes, and what both have in common; and the lead of the other is the negative."""
    chance = np.random.default_rng(seed)
    part = sample(chance, 12)
    worse, better = (asked(part, differences(part, chance)) for _ in range(2))
    lead = lead_of(part, better, worse, BYTES)
    targets = np.stack([part.targets(r) for r in range(N_ROUNDS)], axis=1)
    for changed in (
        lead_of(part, better + shift, worse + shift, BYTES),
        lead_of(part, better, np.where(BYTES[targets] == 0, scale, worse), BYTES),
        lead_of(part, np.where(BYTES[targets] == 0, scale, better), worse, BYTES),
        lead_of(Slice(part.sequences[::-1], part.documents[::-1], part.ends[::-1]), better[::-1], worse[::-1], BYTES),
    ):
        assert (changed.mean, changed.error) == pytest.approx((lead.mean, lead.error), rel=1e-9, abs=1e-12)
    other = lead_of(part, worse, better, BYTES)
    assert (other.mean, other.error) == pytest.approx((-lead.mean, lead.error), abs=1e-12)
    larger = lead_of(part, better * scale, worse * scale, BYTES)
    assert (larger.mean, larger.error) == pytest.approx((lead.mean * scale, lead.error * scale), abs=1e-12)


def test_where_every_position_is_asked_about_the_mean_is_the_difference_of_the_scores() -> None:
    chance = np.random.default_rng(5)
    part = sample(chance, 9)
    part = Slice(part.sequences, part.documents, np.tile(np.arange(LENGTH), (len(part.sequences), 1)))
    losses = [differences(part, chance) for _ in range(2)]
    n_bytes = BYTES[part.sequences[:, 1:]]
    scores = [float((loss * (n_bytes > 0)).sum() / (n_bytes.sum() * math.log(2))) for loss in losses]
    assert lead_of(part, *losses, BYTES).mean == pytest.approx(scores[1] - scores[0])


def test_what_has_no_error_is_refused() -> None:
    part = sample(np.random.default_rng(0), 1)
    zeros = np.zeros_like(part.ends, dtype=np.float64)
    with pytest.raises(ValueError, match="1 documents"):
        lead_of(part, zeros, zeros, BYTES)
    part = sample(np.random.default_rng(0), 3)
    zeros = np.zeros_like(part.ends, dtype=np.float64)
    with pytest.raises(ValueError, match="0 bytes"):
        lead_of(part, zeros, zeros, 0 * BYTES)
    with pytest.raises(ValueError, match="not finite"):
        lead_of(part, zeros, zeros + np.inf, BYTES)


def test_leads_on_different_text_are_independent() -> None:
    a, b = Lead(0.5, 0.3), Lead(0.2, 0.4)
    assert (a.less(b).mean, a.less(b).error) == pytest.approx((0.3, 0.5))
    assert (Lead.pooled([a, b]).mean, Lead.pooled([a, b]).error) == pytest.approx((0.35, 0.25))
    assert Lead.pooled([a]) == a
