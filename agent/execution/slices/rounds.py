"""Losses on targets that no job can know: predict, commit, reveal.

Several models answer in lockstep. Round r shows each of them the sequences of a slice up to an r-th end, and the host
takes the logits of the next token. Only when the answers of all models are on the host, copied and hashed, and the
hashes are on the disk, is anything appended to any question: round r + 1, which shows the targets of round r. So no
answer could know its target, whatever jobs tell each other and whatever the model is. The host computes the losses
itself, so there is no claim to audit.

A slice is opened once. If one model gives no answer, the slice is burned for all, and decides nothing.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.execution.scoring.audit import nats
from agent.execution.scoring.scoring_job import (
    START_CPU_SECONDS,
    START_WALL_SECONDS,
    fault,
    observed,
    scoring_job,
)
from agent.execution.slices.committed import Committed
from agent.execution.slices.question_feed import FedJob, QuestionFile
from agent.execution.slices.source import Burned, Contender
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Score
from sandbox.job import Sandbox

SILENT = "the scoring job did not answer in time"
TOO_MUCH = "the scoring job wrote more than its answers"
NOT_FINITE = "a predicted logit is not finite"
POLL_SECONDS = 0.005  # between two checks for answers: 16 rounds wait for a tenth of a second in all
FOLDER = "rounds"
COMMITTED = "answers.jsonl"


class OpenedSlice(Protocol):
    """Text that no job has seen. Each round shows a longer prefix of each sequence."""

    @property
    def n_rounds(self) -> int:
        """R."""
        ...

    def question(self, r: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Return the prefixes of round `r`, shape (N, W), padded at the end, and their ends, shape (N,), below W."""
        ...

    def targets(self, r: int) -> NDArray[np.int64]:
        """Return the tokens that follow the prefixes of round `r`, shape (N,)."""
        ...


@dataclass(frozen=True)
class RoundLimits:
    """Time limits of a job, the same for all models of a slice."""

    round_seconds: float  # wall, from the question to the last model's answer
    cpu_seconds: float | None  # over all rounds; None: not limited


@dataclass(frozen=True)
class Answered:
    """Every model answered every round."""

    losses: Mapping[str, NDArray[np.float64]]  # by model, nats, shape (N, R)
    jobs: Sequence[Mapping[str, Any]]  # what the sandbox observed of each, for people


class Rounds:
    """Asks models in rounds, each in a sandbox of its own, all at the same time."""

    def __init__(
        self, task: Task, corpus: Corpus, sandbox: Sandbox, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._task = task
        self._corpus = corpus
        self._sandbox = sandbox
        self._clock = clock

    def limits(self, opened: OpenedSlice, n_models: int, baseline: Score | None) -> RoundLimits:
        """Return the time limits of jobs, derived from the time of the baseline's audit in the run.

        An audit starts and answers M prefixes, so a round of N takes no longer than max(1, N / M) audits. All models
        share the machine's processors, hence `n_models` times that. `score.cost_factor` allows for honest models larger
        than the baseline, and the start-up, as for other scoring jobs, for a busy machine. Too short a limit would burn
        a slice for nothing; too long a limit only costs waiting.
        """
        cpu_seconds = baseline.cpu_seconds.get("audit") if baseline is not None else None
        wall_seconds = baseline.wall_seconds.get("audit") if baseline is not None else None
        factor, n = self._task.score.cost_factor, len(opened.targets(0))
        audits = n / len(self._corpus.sequences("val"))  # of as many prefixes as one round has
        cap, round_seconds = None, self._task.limits.wall_seconds
        if cpu_seconds is not None:
            cap = factor * cpu_seconds * max(1.0, opened.n_rounds * audits) + START_CPU_SECONDS
        if wall_seconds is not None:
            round_seconds = factor * wall_seconds * max(1.0, audits) * n_models + START_WALL_SECONDS
        return RoundLimits(round_seconds, cap)

    def ask(
        self,
        opened: OpenedSlice,
        models: Sequence[Contender],
        *,
        folder: Path,
        label: str,
        limits: RoundLimits,
    ) -> Answered | Burned:
        """Return the losses of all models on the slice, or whose fault it is that there are none.

        Args:
            folder: receives the logs of the jobs and, while they run, questions and answers. Rounds that an earlier
                process completed there, for the same models and the same slice, are not repeated.
            label: prefix of the jobs' names, "RUN/slice-003".

        Raises:
            SandboxError: a sandbox failed, not a script. As after any exception, no job is left running.
            JournalError: the answers cannot be written to the disk.
        """
        names = [model.name for model in models]
        assert len(set(names)) == len(names) > 0, "each model needs a name of its own"
        folder.mkdir(parents=True, exist_ok=True)
        committed = Committed(folder / COMMITTED, names)
        n_left = opened.n_rounds - committed.n_rounds
        jobs: dict[str, FedJob] = {}
        try:
            with _private(folder / FOLDER) as private, ExitStack() as held:
                for model in models if n_left else ():
                    start = self._start(opened, model, n_left, limits, folder=folder, private=private, label=label)
                    jobs[model.name] = held.enter_context(closing(start))
                held.callback(_stop, jobs.values())  # all, before the first is waited for
                for r in range(committed.n_rounds, opened.n_rounds):
                    answers = self._round(payload(*opened.question(r)), jobs, limits.round_seconds)
                    targets = opened.targets(r)
                    committed.append(
                        {name: hashlib.sha256(answer).hexdigest() for name, answer in answers.items()},
                        {
                            name: nats(np.frombuffer(answer, dtype="<f4").reshape(len(targets), -1), targets)
                            for name, answer in answers.items()
                        },
                    )
        except _NoAnswerError as failed:
            return Burned(failed.model, failed.reason, _observed(jobs))
        return Answered(committed.losses(), _observed(jobs))

    def _start(
        self,
        opened: OpenedSlice,
        model: Contender,
        n_rounds: int,
        limits: RoundLimits,
        *,
        folder: Path,
        private: Path,
        label: str,
    ) -> FedJob:
        n, name = len(opened.targets(0)), f"rounds-{model.name}"
        round_bytes = n * len(self._corpus.token_bytes) * 4
        questions = QuestionFile(private / f"{model.name}-questions.bin")
        job = scoring_job(
            self._task,
            "rounds",
            files=model.files,
            artifact=model.artifact,
            inputs={"questions.bin": questions.path},
            answer=private / f"{model.name}-answers.bin",
            answer_bytes=round_bytes * n_rounds,
            log=folder / f"{name}.log",
            label=f"{label}/{name}",
            environment={
                "SCORE_QUESTIONS": "/data/questions.bin",
                "SCORE_ROUNDS": str(n_rounds),
                "SCORE_SEQUENCES": str(n),
                "SCORE_LENGTH": str(self._corpus.length),
            },
        )
        # Jobs wait for each other, so each may take as long as all rounds together, plus one round for the launch.
        wall_seconds = (n_rounds + 1) * limits.round_seconds
        job_limits = replace(job.limits, wall_seconds=wall_seconds, cpu_seconds=limits.cpu_seconds)
        job = replace(job, limits=job_limits, together=f"{label}/rounds")
        return FedJob(self._sandbox, job, questions, round_bytes, n_rounds)

    def _round(self, question: bytes, jobs: Mapping[str, FedJob], round_seconds: float) -> dict[str, bytes]:
        """Show all jobs the question and return all answers. Raises _NoAnswerError for the first that is missing."""
        for job in jobs.values():
            job.ask(question)
        deadline = self._clock() + round_seconds
        answers: dict[str, bytes] = {}
        while len(answers) < len(jobs):
            if not all(job.has_begun or job.is_over for job in jobs.values()):
                deadline = self._clock() + round_seconds
            is_late = self._clock() > deadline
            for name, job in jobs.items():
                if name not in answers:
                    was_over = job.is_over  # checked before `take`, which then sees all output
                    answer = job.take()
                    if answer is not None:
                        answers[name] = answer
                    elif was_over or is_late:
                        raise _NoAnswerError(name, _why(job) if was_over else SILENT)
            if len(answers) < len(jobs):
                time.sleep(POLL_SECONDS)
        for name, job in jobs.items():
            if job.has_more_output:
                raise _NoAnswerError(name, TOO_MUCH)
            if not np.isfinite(np.frombuffer(answers[name], dtype="<f4")).all():
                raise _NoAnswerError(name, NOT_FINITE)
        return {name: answers[name] for name in jobs}


class _NoAnswerError(Exception):
    def __init__(self, model: str, reason: str) -> None:
        super().__init__(model, reason)
        self.model = model
        self.reason = reason


def payload(prefixes: NDArray[np.uint16], ends: NDArray[np.int64]) -> bytes:
    """Return a question as bytes: the N ends, 8 bytes each, then the N x W prefixes, 2 bytes each; little-endian."""
    return ends.astype("<i8").tobytes() + prefixes.astype("<u2").tobytes()


def _stop(jobs: Iterable[FedJob]) -> None:
    for job in jobs:
        job.stop()


def _why(job: FedJob) -> str:
    """Return why a job that has ended gave no answer."""
    if job.execution is None:
        return SILENT  # its sandbox failed; closing the job raises that error
    found = fault(job.execution, job.all_bytes)
    return found[1] if found else SILENT


def _observed(jobs: Mapping[str, FedJob]) -> list[dict[str, Any]]:
    return [observed(name, job.execution, job.all_bytes) for name, job in jobs.items() if job.execution is not None]


@contextmanager
def _private(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that only this user can enter, and remove it afterwards."""
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
