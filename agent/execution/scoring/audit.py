"""The arithmetic of the audit: secret positions, prefixes that end there, and the two tests.

A scoring sandbox that sees whole sequences claims a loss for every token. Afterwards the host draws one position in
each sequence, and another sandbox, which gets only the tokens up to that position, returns the logits of the next one.
The host normalises them itself. If the claim used a future token, was not normalised or was invented, the two differ:
the claiming job could not know the positions, and the audited job cannot know the target. There is one position per
sequence, because a longer prefix of the same sequence would show the target of a shorter one. If a position is near the
end, the next sequence is left out: its first tokens follow the target in the text.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-5
"""Nats. Honest float32 runs differ by less (measured: 1.7e-6). Smaller differences are not corrected, so that the same
source and seed give the same loss to the last digit whatever positions are drawn."""

NEAR_THE_END = 1 / 8
"""Share of a sequence. If a position is in this last part, the next sequence is left out: every prefix of it shows its
first token, and a job could use that to predict a target so shortly before it."""

DISAGREES = "the claimed losses are not those that the model gives when it sees no more than the tokens before"
OFF_ON_AVERAGE = "the claimed losses are off on average by more than the tolerance"


@dataclass(frozen=True)
class Drawn:
    """The secret positions of one round: at most one a sequence."""

    sequences: NDArray[np.int64]  # (M,), ascending, each at most once
    positions: NDArray[np.int64]  # (M,), in [0, T): the last token that is shown


@dataclass(frozen=True)
class Differences:
    """What one round found, audited minus claimed loss in nats, one for each position."""

    drawn: Drawn
    audited: NDArray[np.float64]  # (M,)
    claimed: NDArray[np.float64]  # (M,)
    counted: NDArray[np.bool_]  # (M,): whether the target has bytes, so that its loss is in the score

    @property
    def values(self) -> NDArray[np.float64]:
        return self.audited - self.claimed

    def evidence(self, n_worst: int = 5) -> dict[str, Any]:
        """Return a summary for the trial's folder, with the positions that differ most."""
        worst = np.argsort(-np.abs(self.values))[:n_worst]
        return {
            "positions": len(self.values),
            "mean_difference": float(self.values.mean()),
            "largest_difference": float(np.abs(self.values).max()),
            "worst": [
                {
                    "sequence": int(self.drawn.sequences[i]),
                    "position": int(self.drawn.positions[i]),
                    "claimed": float(self.claimed[i]),
                    "audited": float(self.audited[i]),
                }
                for i in worst
            ],
        }


def draw(n_sequences: int, length: int, rng: np.random.Generator) -> Drawn:
    """Return one secret position per sequence, except for sequences after one whose position is near its end."""
    positions = rng.integers(0, length, size=n_sequences)
    is_shown = np.ones(n_sequences, dtype=bool)
    is_shown[1:] = positions[:-1] < length - max(1, int(length * NEAR_THE_END))
    return Drawn(np.flatnonzero(is_shown), positions[is_shown])


def prefixes(sequences: NDArray[np.uint16], drawn: Drawn) -> NDArray[np.uint16]:
    """Return the inputs up to each position, shape (M, T), padded with 0: the target and all after it are left out.

    Args:
        sequences: shape (N, T + 1).
    """
    inputs = sequences[drawn.sequences, :-1]
    kept = np.arange(inputs.shape[1]) <= drawn.positions[:, None]
    return np.where(kept, inputs, 0).astype(np.uint16)


def compare(
    claimed: NDArray[np.float64],
    logits: NDArray[np.float32],
    sequences: NDArray[np.uint16],
    drawn: Drawn,
    token_bytes: NDArray[np.int64],
) -> Differences | None:
    """Return the differences of one round; None if a logit is not finite.

    Args:
        claimed: losses in nats, shape (N, T).
        logits: at the drawn positions, shape (M, V).
        token_bytes: bytes of each token, shape (V,).
    """
    if not np.isfinite(logits).all():
        return None
    targets = sequences[drawn.sequences, drawn.positions + 1]
    audited = nats(logits, targets)
    return Differences(drawn, audited, claimed[drawn.sequences, drawn.positions], token_bytes[targets] > 0)


def nats(logits: NDArray[np.float32], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Return the loss of each target, shape (M,), under finite logits of shape (M, V), normalised here in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    losses: NDArray[np.float64] = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]
    return losses


def objection(rounds: list[Differences], tol: float, tol_mean: float) -> str | None:
    """Return why the claim is rejected, or None. The sentence holds no number, so that scripts learn nothing from it.

    Args:
        tol: nats by which a single position may be off.
        tol_mean: nats by which the mean signed difference of counted positions over all rounds may be off.
    """
    if any((np.abs(found.values) > tol).any() for found in rounds):
        return DISAGREES
    return OFF_ON_AVERAGE if abs(mean_difference(rounds)) > tol_mean else None


def correction(rounds: list[Differences]) -> float:
    """Return the mean difference in nats, to be added to the claimed mean; 0 if all differences are rounding."""
    largest = max(float(np.abs(found.values).max()) for found in rounds)
    return 0.0 if largest <= ROUNDING else mean_difference(rounds)


def mean_difference(rounds: list[Differences]) -> float:
    """Return the mean of audited minus claimed over the positions that count for the score; 0 if there is none.

    Other positions are ignored: a claim could be too low where it counts and too high where it does not.
    """
    values = np.concatenate([found.values[found.counted] for found in rounds])
    return float(values.mean()) if len(values) else 0.0
