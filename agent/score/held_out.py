"""A score from validation data that the training sandbox never saw.

The artifact goes into a fresh sandbox together with the validation sequences; what comes back is one loss a token,
and the host does the rest. Nothing that a trial wrote is ever loaded here: the file is read as plain numbers of a
known count.
"""

import math
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.data import Corpus
from agent.score.scorer import Artifact
from agent.task import Task
from agent.trial import Score, Status
from sandbox.job import OUTPUT, Execution, Job, Limits, Mount, Sandbox, StoppedBy

_MIB = 2**20


class HeldOutScorer:
    """Bits per byte on the validation split, from the losses that a second sandbox computes."""

    def __init__(self, task: Task, corpus: Corpus, sandbox: Sandbox, split: str = "val") -> None:
        self._task = task
        self._corpus = corpus
        self._sandbox = sandbox
        self._sequences = corpus.sequences(split)

    def score(self, left_behind: Artifact) -> Score:
        """Return the bits per byte; bad_artifact or rejected_score if there is no such number."""
        started = time.monotonic()
        left_behind.folder.mkdir(parents=True, exist_ok=True)
        n, length = self._sequences.shape[0], self._corpus.length
        tokens = left_behind.folder / "tokens.bin"
        losses = left_behind.folder / "losses.bin"
        self._sequences.tofile(tokens)
        try:
            execution = self._claim(left_behind, tokens, losses, n * length * 4)
            found = self._read(execution, losses, (n, length))
        finally:
            tokens.unlink(missing_ok=True)
            losses.unlink(missing_ok=True)
        seconds = time.monotonic() - started
        if isinstance(found, tuple):
            return Score(None, "held_out", found[0], found[1], seconds)
        evidence = {"tokens": n * length, "nats_per_token": float(found.mean())}
        return Score(self._bits_per_byte(found), "held_out", seconds=seconds, evidence=evidence)

    def _claim(self, left_behind: Artifact, tokens: Path, losses: Path, n_bytes: int) -> Execution:
        limits = self._task.limits
        return self._sandbox.run(
            Job(
                argv=(*self._task.score.command, "claim"),
                label=f"{left_behind.label}/score",
                limits=Limits(
                    wall_seconds=limits.wall_seconds,
                    memory_gb=limits.memory_gb,
                    processes=limits.processes,
                    cpus=limits.cpus,
                    output_mb=n_bytes / _MIB,
                    scratch_mb=limits.scratch_mb,
                    log_mb=limits.log_mb,
                ),
                log=left_behind.folder / "claim.log",
                output=losses,
                mounts=(
                    Mount(left_behind.files, "/task"),
                    Mount(left_behind.path, "/in/artifact"),
                    Mount(tokens, "/data/tokens.bin"),
                ),
                environment={
                    **self._task.variables,
                    "SCORE_ARTIFACT": "/in/artifact",
                    "SCORE_TOKENS": "/data/tokens.bin",
                    "SCORE_OUTPUT": OUTPUT,
                    "SCORE_LENGTH": str(self._corpus.length),
                },
                workdir="/task",
            )
        )

    def _read(
        self, execution: Execution, losses: Path, shape: tuple[int, int]
    ) -> NDArray[np.float64] | tuple[Status, str]:
        """Return the losses in nats, shape (N, T), or why there are none."""
        if execution.stopped_by is not StoppedBy.ITSELF or execution.exit_code != 0:
            how = execution.stopped_by.value.replace("_", " ") if execution.exit_code is None else "its own error"
            return Status.BAD_ARTIFACT, f"the scoring job was ended by {how}"
        if execution.output_bytes != shape[0] * shape[1] * 4:
            return Status.REJECTED_SCORE, f"{execution.output_bytes} bytes of losses, not {shape[0] * shape[1] * 4}"
        found = np.fromfile(losses, dtype=np.float32).reshape(shape).astype(np.float64)
        if not np.isfinite(found).all() or (found < 0).any():
            return Status.REJECTED_SCORE, "a loss is negative or not finite"
        return found

    def _bits_per_byte(self, losses: NDArray[np.float64]) -> float:
        """Return bits per byte: tokens that stand for no bytes (document marks) count on neither side."""
        n_bytes = self._corpus.token_bytes[self._sequences[:, 1:]]
        return float((losses * (n_bytes > 0)).sum() / math.log(2) / n_bytes.sum())
