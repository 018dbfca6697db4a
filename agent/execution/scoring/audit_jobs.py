"""The scoring jobs for one artifact: each answers one question of the host in its own sandbox."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agent.execution.scoring.audit import ROUNDING, Drawn, prefixes
from agent.execution.scoring.scorer import Artifact
from agent.execution.scoring.scoring_job import Question, fault, observed, scoring_job
from agent.files import write_private
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Status
from sandbox.job import Execution, Sandbox


class AuditJobs:
    """Runs the scoring jobs of one artifact. The files of a question are removed after it; logs stay for people."""

    def __init__(self, task: Task, corpus: Corpus, sandbox: Sandbox, artifact: Artifact) -> None:
        self._task = task
        self._corpus = corpus
        self._sandbox = sandbox
        self._artifact = artifact
        self._n_audits = 0
        self.jobs: list[dict[str, Any]] = []  # what the sandbox observed of each job, for the evidence
        self.executions: list[tuple[Question, Execution]] = []

    def claim(self, sequences: NDArray[np.uint16]) -> NDArray[np.float64] | tuple[Status, str]:
        """Return the claimed losses in nats, shape (N, T), or why there are none."""
        n, length = sequences.shape[0], self._corpus.length
        found = self._ask("claim", {"tokens.bin": sequences}, (n, length))
        if isinstance(found, tuple):
            return found
        if not np.isfinite(found).all() or (found < -ROUNDING).any():
            return Status.REJECTED_SCORE, "a claimed loss is negative or not finite"
        return found.astype(np.float64)

    def audit(self, sequences: NDArray[np.uint16], drawn: Drawn) -> NDArray[np.float32] | tuple[Status, str]:
        """Return the logits at the drawn positions, shape (M, V), or why there are none."""
        inputs: dict[str, NDArray[Any]] = {
            "tokens.bin": prefixes(sequences, drawn),
            "positions.bin": drawn.positions,
        }
        return self._ask("audit", inputs, (len(drawn.positions), len(self._corpus.token_bytes)))

    def _ask(
        self, question: Literal["claim", "audit"], inputs: dict[str, NDArray[Any]], shape: tuple[int, int]
    ) -> NDArray[np.float32] | tuple[Status, str]:
        folder = self._artifact.folder
        name = question if question == "claim" else f"audit-{self._n_audits}"
        self._n_audits += question == "audit"
        paths = {file: folder / f"{name}-{file}" for file in inputs}
        answer = folder / f"{name}-answer.bin"
        for file, array in inputs.items():
            write_private(paths[file], array.tobytes())  # other users of a cluster may reach the folder
        n_bytes = shape[0] * shape[1] * 4
        try:
            execution = self._sandbox.run(
                scoring_job(
                    self._task,
                    question,
                    files=self._artifact.files,
                    artifact=self._artifact.path,
                    inputs=paths,
                    answer=answer,
                    answer_bytes=n_bytes,
                    log=folder / f"{name}.log",
                    label=f"{self._artifact.label}/{name}",
                    environment={"SCORE_TOKENS": "/data/tokens.bin", "SCORE_LENGTH": str(self._corpus.length)},
                    baseline=self._artifact.baseline,
                )
            )
            self.executions.append((question, execution))
            self.jobs.append(observed(name, execution, n_bytes))
            failed = fault(execution, n_bytes)
            return failed or np.fromfile(answer, dtype=np.float32).reshape(shape)
        finally:
            for path in (*paths.values(), answer):
                path.unlink(missing_ok=True)
