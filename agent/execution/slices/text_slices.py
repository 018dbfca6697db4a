"""The slices of a pool of text, which models answer in rounds."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.execution.slices.lead import lead_of, loss_of
from agent.execution.slices.rounds import Rounds
from agent.execution.slices.rounds_rehearsal import why_no_rounds
from agent.execution.slices.source import Burned, Contender, Openings
from agent.task.corpus import Corpus
from agent.task.host_commands.prepared import OPENED
from agent.task.task import Task
from agent.task.unseen.pool import Pool, Slice
from agent.trials.keeping.noise import Lead
from agent.trials.trial import Score
from sandbox.job import Sandbox

TOKEN_DEVIATION = 0.9  # nats: of the difference of two models' losses of one token, measured on the bundled task
DOCUMENT_FACTOR = 1.1  # error over that of single tokens: up to 4 sequences are of one document


class TextSlices:
    """Text that no job has seen. See agent.execution.slices.source."""

    def __init__(self, task: Task, corpus: Corpus, pool: Pool, sandbox: Sandbox) -> None:
        self._corpus = corpus
        self._pool = pool
        self._rounds = Rounds(task, corpus, sandbox)
        self.openings = Openings(pool.folder / OPENED)

    @property
    def digest(self) -> str:
        return self._pool.digest

    @property
    def n_slices(self) -> int:
        return self._pool.n_slices

    @property
    def n_items(self) -> int:
        return self._pool.n_sequences

    @property
    def n_standing(self) -> int:
        return len(self._corpus.sequences("val"))

    @property
    def expected_error(self) -> float | None:
        """Expected standard error of a lead on one slice from the sampling of its text, in bits per byte.

        The losses of two scripts differ by 0.9 nats per token (standard deviation, on the bundled task). Losses within
        a document are a little alike, so the error of N sequences in R rounds is a tenth larger than that of N · R
        tokens drawn independently: 0.9 · 1.1 / √(N R) / ln 2 / mean bytes of a token.
        """
        mean_bytes = float(np.asarray(self._corpus.token_bytes)[self._corpus.sequences("val")[:, 1:]].mean())
        n_tokens = self._pool.n_sequences * self._pool.n_rounds
        return TOKEN_DEVIATION * DOCUMENT_FACTOR / math.sqrt(n_tokens) / math.log(2) / mean_bytes

    def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
        """Return a sentence if the score program does not answer in rounds; None if it does."""
        return why_no_rounds(self._rounds, self._corpus, baseline, score, folder=folder, label=label)

    def ask(
        self, number: int, models: Sequence[Contender], score: Score | None, *, folder: Path, label: str
    ) -> "TextAnswers | Burned":
        """Return the losses of all models on a slice, or why it is burned."""
        opened = self._pool.slice(number)
        limits = self._rounds.limits(opened, len(models), score)
        found = self._rounds.ask(opened, models, folder=folder, label=label, limits=limits)
        if isinstance(found, Burned):
            return found
        return TextAnswers(opened, found.losses, np.asarray(self._corpus.token_bytes))


@dataclass(frozen=True)
class TextAnswers:
    """The losses of all models on a slice of text."""

    opened: Slice
    nats: Mapping[str, NDArray[np.float64]]  # by model, shape (N, R)
    token_bytes: NDArray[np.int64]  # (V,)

    @property
    def losses(self) -> Mapping[str, float]:
        """Bits per byte of each model."""
        return {name: loss_of(self.opened, nats, self.token_bytes) for name, nats in self.nats.items()}

    def lead(self, better: Collection[str], worse: str | Collection[str]) -> Lead:
        """Return the lead of some models' mean loss over the mean loss of others, in bits per byte."""
        return lead_of(
            self.opened, self._mean(better), self._mean([worse] if isinstance(worse, str) else worse), self.token_bytes
        )

    def _mean(self, names: Collection[str]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.mean([self.nats[name] for name in names], axis=0)
        return mean
