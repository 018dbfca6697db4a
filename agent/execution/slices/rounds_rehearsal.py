"""Tests without a slice whether a task's score program answers in rounds."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.execution.slices.rounds import Rounds
from agent.execution.slices.source import Burned, Contender
from agent.task.corpus import Corpus
from agent.trials.trial import Score

LACKS_ROUNDS = "the score program does not answer `rounds`; docs/tasks.md says what it must do"
N_SEQUENCES = 2


def why_no_rounds(
    rounds: Rounds, corpus: Corpus, baseline: Contender, score: Score | None, *, folder: Path, label: str
) -> str | None:
    """Return a sentence if the score program does not answer in rounds, None if it does.

    It uses two sequences of the standing split, which every claim sees anyway, and the answers decide nothing.

    Args:
        baseline: the user's own script, for which rounds must work if they work for any.
        score: the baseline's, whose cost limits the time for an answer; None: the task's limits do.
        folder: of this test alone: it is emptied first, and receives log and answers.

    Raises:
        SandboxError: the sandbox failed, not the program.
    """
    shown = Rehearsed(corpus.sequences("val")[:N_SEQUENCES])
    limits = rounds.limits(shown, 1, score)
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier rehearsal
    found = rounds.ask(shown, [baseline], folder=folder, label=label, limits=limits)
    return f"{LACKS_ROUNDS} ({found.reason})" if isinstance(found, Burned) else None


@dataclass(frozen=True)
class Rehearsed:
    """Sequences for two rounds: the first shows one token of each, the second all but the last token."""

    sequences: NDArray[np.uint16]  # (N, T + 1)
    n_rounds: int = 2

    def question(self, r: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Return the prefixes of round `r`, shape (N, W), and where each ends."""
        end = self._end(r)
        return self.sequences[:, : end + 1], np.full(len(self.sequences), end)

    def targets(self, r: int) -> NDArray[np.int64]:
        """Return the tokens that follow the prefixes of round `r`, shape (N,)."""
        return self.sequences[:, self._end(r) + 1].astype(np.int64)

    def _end(self, r: int) -> int:
        return r * (len(self.sequences[0]) - 2)
