"""A score that the script cannot forge: claimed in one sandbox, audited in others, computed by the host.

The scoring sandboxes run the script's own code, so none of their answers is believed unchecked. Their output goes into
files for people and never to a proposer.
"""

import json
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.execution.scoring.audit import Differences, compare, correction, draw, mean_difference, objection
from agent.execution.scoring.audit_jobs import AuditJobs
from agent.execution.scoring.scorer import Artifact, ScorerInputs
from agent.execution.scoring.scoring_job import with_cost
from agent.files import private_folder
from agent.task.corpus import Corpus
from agent.task.score_kinds import HELD_OUT
from agent.task.task import Task
from agent.trials.trial import Score, Status
from sandbox.job import Sandbox

KIND = HELD_OUT.recorded_as


def secret_generator() -> np.random.Generator:
    """Return an unpredictable generator: the audited positions must not follow from any seed."""
    return np.random.default_rng(secrets.randbits(256))


class AuditedScorer:
    """Bits per byte on a held-out split, with one round of audit, and more before the incumbent may move."""

    def __init__(
        self,
        task: Task,
        corpus: Corpus,
        sandbox: Sandbox,
        *,
        split: str = "val",
        generator: Callable[[], np.random.Generator] = secret_generator,
    ) -> None:
        self._task = task
        self._corpus = corpus
        self._sandbox = sandbox
        self._sequences = corpus.sequences(split)
        self._generator = generator

    def score(self, artifact: Artifact) -> Score:
        """Return the bits per byte; bad_artifact or rejected_score if there is no number that holds."""
        started = time.monotonic()
        private_folder(artifact.folder)
        audits = AuditJobs(self._task, self._corpus, self._sandbox, artifact)
        claimed = audits.claim(self._sequences)
        rounds: list[Differences] = []
        failed = claimed if isinstance(claimed, tuple) else None
        if not isinstance(claimed, tuple):
            failed = self._audited(audits, claimed, rounds)
            if failed is None and self._would_be_kept(claimed, rounds, artifact.to_beat):
                for _ in range(self._task.score.rounds):
                    failed = failed or self._audited(audits, claimed, rounds)
        seconds = round(time.monotonic() - started, 3)
        evidence = _summary(rounds, self._sequences)
        _write(artifact.folder / "audit.json", failed, rounds, {**evidence, "jobs": audits.jobs})
        if failed is not None:
            score = Score(None, KIND, failed[0], failed[1], seconds, evidence)
        else:
            assert not isinstance(claimed, tuple)
            score = Score(self._bits_per_byte(claimed, rounds), KIND, seconds=seconds, evidence=evidence)
        return with_cost(score, audits.executions)

    def _audited(
        self, audits: AuditJobs, claimed: NDArray[np.float64], rounds: list[Differences]
    ) -> tuple[Status, str] | None:
        """Run one more round in a fresh sandbox; return why the claim is rejected, or None."""
        drawn = draw(claimed.shape[0], claimed.shape[1], self._generator())
        logits = audits.audit(self._sequences, drawn)
        if isinstance(logits, tuple):
            return logits
        found = compare(claimed, logits, self._sequences, drawn, self._corpus.token_bytes)
        if found is None:
            return Status.REJECTED_SCORE, "an audited logit is not finite"
        rounds.append(found)
        why = objection(rounds, self._task.score.tol, self._task.score.tol_mean)
        return None if why is None else (Status.REJECTED_SCORE, why)

    def _would_be_kept(self, claimed: NDArray[np.float64], rounds: list[Differences], to_beat: float | None) -> bool:
        return to_beat is not None and self._bits_per_byte(claimed, rounds) < to_beat

    def _bits_per_byte(self, claimed: NDArray[np.float64], rounds: list[Differences]) -> float:
        """Return bits per byte; tokens without bytes (document marks) count neither as loss nor as bytes."""
        n_bytes = self._corpus.token_bytes[self._sequences[:, 1:]]
        counted = n_bytes > 0
        nats = (claimed * counted).sum() + correction(rounds) * counted.sum()
        return float(nats / math.log(2) / n_bytes.sum())


def _summary(rounds: list[Differences], sequences: NDArray[np.uint16]) -> dict[str, Any]:
    """Return what the journal keeps of the audit."""
    values = [found.values for found in rounds]
    return {
        "tokens": int(sequences.shape[0] * (sequences.shape[1] - 1)),
        "rounds": len(rounds),
        "audited_positions": sum(len(found) for found in values),
        "largest_difference": max((float(np.abs(found).max()) for found in values), default=0.0),
        "mean_difference": mean_difference(rounds) if rounds else 0.0,
    }


def _write(path: Path, failed: tuple[Status, str] | None, rounds: list[Differences], evidence: dict[str, Any]) -> None:
    """Write the evidence for people. No proposer gets it, since it shows secret positions."""
    document = {"verdict": "rejected" if failed else "accepted", "reason": failed[1] if failed else "", **evidence}
    document["by_round"] = [found.evidence() for found in rounds]
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def open_scorer(inputs: ScorerInputs) -> AuditedScorer:
    """Return the scorer of this kind."""
    return AuditedScorer(inputs.task, inputs.corpus, inputs.sandbox, split=inputs.split)
