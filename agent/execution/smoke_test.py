"""The smoke job: one step, save, load and a forward pass on training tokens, so that a typo costs seconds.

It sees what a training job sees and no validation data, so its traceback may go to the model. A script whose training
cannot be made short has no smoke job, since that would be a whole training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agent.execution.compile_cache import with_cache
from agent.execution.executor import Executor
from agent.execution.judge import failure, saved_nothing
from agent.execution.scoring.scoring_job import scoring_job
from agent.execution.training_job import ONE_STEP, export, training_job
from agent.store.paths import RunPaths, TrialPaths
from agent.task.corpus import Corpus
from agent.task.init.shortening import Training, shortest
from agent.text import Say, one_line, read_tail
from agent.trials.trial import Status, Trial
from sandbox.errors import JobLostError
from sandbox.job import Execution, Job, Limits, StoppedBy

ALLOWED_FACTOR = 1.5
"""A rehearsal may use this many times the CPU seconds of the baseline's; beyond that it is stopped as inconclusive."""
SHARE = 0.25
"""A rehearsal may take this share of the baseline's training time, in wall and in CPU seconds."""
LEAST_SECONDS = (10.0, 5.0)
"""Or, where the share is less, so many wall and CPU seconds: a rehearsal is mostly the start of Python and its imports.
"""
BUSY_SHARE = 0.5
"""On a busy machine the least wall time grows as the baseline's own time did, up to this share of that time."""
MAX_TRIES = 3  # of rehearsing the baseline, where wall time stops it: the machine may only be busy
LEAST_CPU_SECONDS = 2.0  # allowed beyond the baseline's: with less, the factor would only measure the load
N_SEQUENCES = 2
_BY_ITS_LIMIT = (StoppedBy.WALL_LIMIT, StoppedBy.CPU_LIMIT)


@dataclass(frozen=True)
class SmokeResult:
    """The result of a smoke job."""

    seconds: float  # wall, charged to the training budget
    failed: Status | None = None  # None: no failure was found
    reason: str = ""  # one line
    log: str = ""  # the end of what the job printed, for the model to repair the edit
    is_cut_short: bool = False  # by its limit: the result is inconclusive
    is_late: bool = False  # cut short by its wall time: the machine may only be busy
    why_none: str = ""  # why nothing was rehearsed; empty: something was


Rehearse = Callable[[str, int], SmokeResult]  # arguments: a source, and the number of its trial


class Smoke:
    """Rehearses scripts of one run. The baseline's own rehearsal comes first: it sets the limit for the others."""

    def __init__(
        self,
        executor: Executor,
        paths: RunPaths,
        *,
        say: Say,
        on_gpu: bool = False,
        finished: Sequence[Trial] = (),
    ) -> None:
        """Rehearse scripts of the run with these `paths`.

        Args:
            executor: of the run.
            paths: of the run.
            say: prints a line.
            on_gpu: rehearse on the GPUs of the trials, and wait for these; otherwise on the CPU, in parallel.
            finished: the trials of the run, which grow; the time of trial 0, once it is there, limits a rehearsal.
        """
        self._finished = finished
        self._on_gpu = on_gpu
        self._passed_on = executor.passed_on
        self._task = executor.task
        self._corpus = executor.corpus
        self._sandbox = executor.sandbox
        self._compiled = executor.compiled
        self._paths = paths
        self._say = say
        self._allowed_cpu_seconds: float | None = None  # None: the baseline is not rehearsed yet
        self._n_tries = 0
        self._why_none = ""  # why no script of this task is rehearsed; empty: they are

    def __call__(self, source: str, number: int) -> SmokeResult:
        """Return the result of rehearsing `source` for trial `number`; the first call rehearses the baseline too.

        A rehearsal that its limit stops is no failure: a change that starts slowly may still be good. Nor is one whose
        job is lost.
        """
        try:
            return self._tried(source, number)
        except JobLostError as error:
            return SmokeResult(0.0, why_none=f"the job of the rehearsal was lost: {one_line(str(error))}")

    def _tried(self, source: str, number: int) -> SmokeResult:
        seconds = 0.0
        if self._allowed_cpu_seconds is None and not self._why_none:
            seconds = self._calibrate(number)
        why_none = self._why_none or ("" if self._allowed_cpu_seconds is not None else "the machine is too busy")
        if not why_none and self._training(source) is None:
            why_none = "its training cannot be made short"
        if why_none:
            return SmokeResult(seconds, why_none=why_none)
        result, _ = self._rehearse(source, number, self._allowed_cpu_seconds)
        return replace(result, seconds=result.seconds + seconds)

    def _calibrate(self, number: int) -> float:
        """Rehearse the baseline; return its seconds. If it fails, nothing else of this task is rehearsed."""
        if self._training(self._task.source) is None:
            self._why_none = "the training of this task's script cannot be made short"
            self._say(
                f"no rehearsals: {self._task.script} does not read TRAIN_BUDGET and has no budget under a known name, "
                "such as MAX_STEPS or epochs, so each rehearsal would be a whole training"
            )
            return 0.0
        result, cpu_seconds = self._rehearse(self._task.source, number, None)
        self._n_tries += 1
        if result.failed is not None:
            self._why_none = "the task's own script fails in a rehearsal"
            self._say(f"no rehearsals: the task's own script fails in one ({result.reason})")
        elif result.is_cut_short and (not result.is_late or self._n_tries == MAX_TRIES):
            self._why_none = "the task's own script does not finish a rehearsal within its limits"
            self._say(
                "no rehearsals: the task's own script does not finish one step here within its limits "
                f"({SHARE:.0%} of the baseline's time); --smoke-on gpu rehearses on the GPUs of the trials"
            )
        elif not result.is_cut_short:
            self._allowed_cpu_seconds = max(ALLOWED_FACTOR * cpu_seconds, cpu_seconds + LEAST_CPU_SECONDS)
        return result.seconds

    def _rehearse(self, source: str, number: int, cpu_seconds: float | None) -> tuple[SmokeResult, float]:
        """Return the result and the CPU seconds of training one step and, if the kind of score has it, of scoring."""
        folder = self._paths.trial(number).smoke
        folder.root.mkdir(parents=True, exist_ok=True)
        training = self._training(source)
        assert training is not None
        export(training.files, folder.files)
        label = f"{self._paths.run_id}/{number:04d}"
        trained = self._sandbox.run(self._train_job(folder, f"{label}/smoke", cpu_seconds, training.command))
        result = self._verdict(trained, folder.log)
        used = trained.cpu_seconds or trained.wall_seconds
        is_loaded = self._corpus is not None and self._task.score.row.rehearses
        if result.failed is None and trained.stopped_by not in _BY_ITS_LIMIT and is_loaded:
            assert self._corpus is not None
            loaded = self._sandbox.run(self._load_job(folder, f"{label}/smoke-load", self._corpus, cpu_seconds))
            tried = self._verdict(loaded, folder.root / "load.log")
            result = replace(tried, seconds=result.seconds + tried.seconds)
            used += loaded.cpu_seconds or loaded.wall_seconds
        folder.artifact.unlink(missing_ok=True)
        return result, used

    def _training(self, source: str) -> Training | None:
        """Return the shortest training of a script; None if its training cannot be made short."""
        files = {**self._task.files, self._task.script: source.encode()}
        return shortest(Training(files, self._task.script, self._task.command))

    def _limits(self, limits: Limits, cpu_seconds: float | None) -> Limits:
        """Return the limits of a rehearsal: those of the baseline's rehearsal, and a share of the baseline's time."""
        first = self._finished[0].outcome if self._finished else None
        if first is None:
            return replace(limits, cpu_seconds=cpu_seconds)
        wall = max(SHARE * first.wall_seconds, LEAST_SECONDS[0])
        if first.cpu_seconds:
            slowed = LEAST_SECONDS[0] * first.wall_seconds / first.cpu_seconds
            wall = max(wall, min(slowed, BUSY_SHARE * first.wall_seconds))
        caps = [cpu_seconds] if cpu_seconds is not None else []
        caps += [max(SHARE * first.cpu_seconds, LEAST_SECONDS[1])] if first.cpu_seconds else []
        return replace(
            limits, wall_seconds=min(wall, limits.wall_seconds), cpu_seconds=min(caps) if caps else limits.cpu_seconds
        )

    def _train_job(self, folder: TrialPaths, label: str, cpu_seconds: float | None, command: tuple[str, ...]) -> Job:
        job = training_job(
            self._task,
            self._corpus,
            folder,
            label=label,
            train_seed=0,
            baseline_cpu_seconds=None,
            passed_on=self._passed_on,
            command=command,
        )
        limits = self._limits(job.limits, cpu_seconds)
        job = with_cache(job, self._compiled)
        # On the CPU by default: the GPU is for trials.
        return replace(job, environment={**job.environment, **ONE_STEP}, limits=limits, on_cpu=not self._on_gpu)

    def _load_job(self, folder: TrialPaths, label: str, corpus: Corpus, cpu_seconds: float | None) -> Job:
        """Return a scoring job on a few training sequences."""
        n_tokens = N_SEQUENCES * (corpus.length + 1)
        tokens = np.fromfile(corpus.train / "train.bin", dtype=np.uint16, count=n_tokens)
        tokens.tofile(folder.root / "tokens.bin")
        job = scoring_job(
            self._task,
            "claim",
            files=folder.files,
            artifact=folder.artifact,
            inputs={"tokens.bin": folder.root / "tokens.bin"},
            answer=folder.root / "losses.bin",
            answer_bytes=N_SEQUENCES * corpus.length * 4,
            log=folder.root / "load.log",
            label=label,
            environment={"SCORE_TOKENS": "/data/tokens.bin", "SCORE_LENGTH": str(corpus.length)},
        )
        limits = replace(job.limits, cpu_seconds=cpu_seconds)
        return replace(job, limits=limits, on_cpu=not self._on_gpu)

    def _verdict(self, execution: Execution, log_path: Path) -> SmokeResult:
        log = read_tail(log_path)
        if execution.stopped_by in _BY_ITS_LIMIT:
            is_late = execution.stopped_by is StoppedBy.WALL_LIMIT
            return SmokeResult(execution.wall_seconds, is_cut_short=True, is_late=is_late)
        failed = failure(execution, log, self._task.budget)
        if failed is None and self._corpus is not None and execution.output_bytes == 0:
            failed = saved_nothing(log)
        if failed is None:
            return SmokeResult(execution.wall_seconds)
        return SmokeResult(execution.wall_seconds, failed[0], failed[1], log)
