"""The lead of one artifact over another on a slice of the pool, with its standard error."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.task.unseen.pool import Slice, bands
from agent.trials.keeping.noise import Lead


def lead_of(
    opened: Slice, better: NDArray[np.float64], worse: NDArray[np.float64], token_bytes: NDArray[np.int64]
) -> Lead:
    """Return the paired difference of two artifacts' losses on one slice.

    Each sequence has a sum of losses over its T positions, in nats: the one loss of a band counts for all positions of
    the band, and the loss of a token without bytes counts as 0, as in the loss of the whole split.
    With s[d] the sum of those differences over document d, b[d] the bytes of all targets of its sequences (the host
    knows them, so they are not drawn) times ln 2, and D documents,

        mean  = Σ s[d] / Σ b[d]
        error = √(D / (D - 1) · Σ (s[d] - mean · b[d])²) / Σ b[d]

    in bits per byte. The error is computed over documents, because losses within a document are alike, and the ends
    are drawn within them: so it includes both. This is the ratio estimator of cluster sampling and its
    linearised variance (Cochran, Sampling Techniques, 3rd edition, 1977, sections 6.4 and 9A.2).

    Args:
        opened: N sequences of T predictions, asked about in R rounds, of two documents at least.
        better: losses of one artifact, nats, shape (N, R), of `opened.targets(r)` in column r.
        worse: losses of the other; the lead is positive if these are higher.
        token_bytes: bytes of each token, shape (V,); 0 for marks.

    Raises:
        ValueError: there is only one document, no target with bytes, or a loss that is not finite.
    """
    sums, n_bytes = _by_document(opened, worse - better, token_bytes)
    n, total = len(sums), float(n_bytes.sum())
    if n < 2 or total <= 0:
        raise ValueError(f"{n} documents with targets of {total / math.log(2):.0f} bytes: too few for a lead")
    mean = float(sums.sum()) / total
    return Lead(mean, math.sqrt(n / (n - 1) * float(np.square(sums - mean * n_bytes).sum())) / total)


def loss_of(opened: Slice, nats: NDArray[np.float64], token_bytes: NDArray[np.int64]) -> float:
    """Return one artifact's loss on a slice in bits per byte, Σ s[d] / Σ b[d] as above of its losses, shape (N, R)."""
    sums, n_bytes = _by_document(opened, nats, token_bytes)
    return float(sums.sum() / n_bytes.sum())


def _by_document(
    opened: Slice, nats: NDArray[np.float64], token_bytes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return s and b of each document, both of shape (D,). Raises ValueError if a loss that counts is not finite."""
    targets = np.stack([opened.targets(r) for r in range(opened.n_rounds)], axis=1)  # (N, R)
    counted = np.where(token_bytes[targets] > 0, nats, 0.0)
    if not np.isfinite(counted).all():
        raise ValueError("a loss is not finite: the lead cannot be computed")
    n_positions = np.diff(bands(opened.length, opened.n_rounds))  # (R,), T in all
    _, at = np.unique(opened.documents, return_inverse=True)
    n_bytes = np.bincount(at, token_bytes[opened.sequences[:, 1:]].sum(axis=1)) * math.log(2)
    return np.bincount(at, counted @ n_positions).astype(np.float64), n_bytes.astype(np.float64)
