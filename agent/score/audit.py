"""The arithmetic of the audit: secret positions, prefixes that end there, and the two tests.

A scoring sandbox that sees whole sequences claims a loss for every token. Afterwards the host draws one position in
each sequence, and another sandbox, which gets nothing but the tokens up to that position, returns the logits of the
next one. The host normalises them itself. Where the claim used a future token, was not normalised or was invented, the
two differ: whoever made the claim could not know the positions, and whoever answers the audit cannot know the target.
One position a sequence, because a longer prefix of the same sequence would show the target of a shorter one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-5
"""Nats. Honest float32 runs differ by less (measured: 9e-7); no correction is made for that, so that the same source
and seed give the same loss to the last digit whatever positions were drawn."""


@dataclass(frozen=True)
class Differences:
    """What one round found, audited minus claimed loss in nats, one a sequence."""

    positions: NDArray[np.int64]  # (N,)
    audited: NDArray[np.float64]  # (N,)
    claimed: NDArray[np.float64]  # (N,)

    @property
    def values(self) -> NDArray[np.float64]:
        return self.audited - self.claimed

    def evidence(self, n_worst: int = 5) -> dict[str, Any]:
        """Return a summary for the trial's folder, with the positions that differ most."""
        worst = np.argsort(-np.abs(self.values))[:n_worst]
        return {
            "positions": len(self.positions),
            "mean_difference": float(self.values.mean()),
            "largest_difference": float(np.abs(self.values).max()),
            "worst": [
                {
                    "sequence": int(i),
                    "position": int(self.positions[i]),
                    "claimed": float(self.claimed[i]),
                    "audited": float(self.audited[i]),
                }
                for i in worst
            ],
        }


def draw(n_sequences: int, length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return one secret position for each sequence, shape (N,), in [0, length)."""
    return rng.integers(0, length, size=n_sequences)


def prefixes(sequences: NDArray[np.uint16], positions: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return the inputs up to each position, shape (N, T), padded with 0: the target and all after it are left out.

    Args:
        sequences: shape (N, T + 1).
    """
    inputs = sequences[:, :-1]
    kept = np.arange(inputs.shape[1]) <= positions[:, None]
    return np.where(kept, inputs, 0).astype(np.uint16)


def compare(
    claimed: NDArray[np.float64],
    logits: NDArray[np.float32],
    sequences: NDArray[np.uint16],
    positions: NDArray[np.int64],
) -> Differences | None:
    """Return the differences of one round; None if a logit is not finite.

    Args:
        claimed: losses in nats, shape (N, T).
        logits: at the drawn positions, shape (N, V); normalised here, in float64.
    """
    if not np.isfinite(logits).all():
        return None
    rows = np.arange(len(positions))
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    targets = sequences[rows, positions + 1]
    audited = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, targets]
    return Differences(positions, audited, claimed[rows, positions])


def objection(rounds: list[Differences], tol: float, tol_mean: float) -> str | None:
    """Return why the claim is rejected, or None.

    Args:
        tol: nats that a single position may be off.
        tol_mean: nats that the mean signed difference over all rounds may be off.
    """
    values = np.concatenate([found.values for found in rounds])
    n_off = int((np.abs(values) > tol).sum())
    if n_off:
        return f"{n_off} of {len(values)} audited positions differ from the claim by more than {tol:g} nats"
    if abs(values.mean()) > tol_mean:
        return f"the claim is off by {values.mean():+.2g} nats on average; {tol_mean:g} are allowed"
    return None


def correction(rounds: list[Differences]) -> float:
    """Return the mean difference in nats, to be added to the claimed mean; 0 if all differences are rounding."""
    values = np.concatenate([found.values for found in rounds])
    return 0.0 if np.abs(values).max() <= ROUNDING else float(values.mean())
