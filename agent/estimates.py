"""The task's own estimate of what a configuration will need in memory: a job without the GPU, asked once for each.

The answers lie in the run's folder, so that a resumed run hears the same ones, and nobody runs anything to read them.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.data import Corpus
from agent.durable import write_durably
from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.errors import JournalError
from agent.judge import failure, read_tail
from agent.paths import RunPaths
from agent.task import Task
from agent.train_job import export, training_job
from sandbox.job import Job, Sandbox

WALL_SECONDS = 120.0
"""For one estimate: a trial that runs out of memory takes half a minute, so a slower answer would not pay."""
POSSIBLE_GB = (1e-6, 1e9)  # what an answer may be
MAX_FAILURES = 3  # in a run; after so many, or if the first one fails, nothing more is asked
_ANSWER = re.compile(r"^memory_gb:\s+(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$", re.MULTILINE)

Answers = dict[str, float | None]  # GB, by configuration; None: the command failed


class Estimates:
    """Asks the command that `[memory] estimate` of task.toml names, in the sandbox, with the values in the script."""

    def __init__(
        self,
        task: Task,
        corpus: Corpus | None,
        sandbox: Sandbox,
        paths: RunPaths,
        *,
        passed_on: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        """`say` is told of the first answer, and of every failure.

        Raises:
            JournalError: what was answered before cannot be read.
        """
        self._task = task
        self._corpus = corpus
        self._sandbox = sandbox
        self._paths = paths
        self._passed_on = passed_on
        self._say = say
        self._answers = read_answers(paths.estimates)

    def __call__(self, params: Params) -> float | None:
        """Return the GB that the command says; None if it failed for these values, or too often.

        Raises:
            SandboxError: the sandbox failed, not the command.
        """
        key = key_of(self._task, params)
        if key not in self._answers and not self._is_off:
            self._answers[key] = self._run(params)
            # On the disk before anything follows from it: a resumed run must not come to another answer.
            write_durably(self._paths.estimates, json.dumps(self._answers, indent=1) + "\n")
        return self._answers.get(key)

    @property
    def _is_off(self) -> bool:
        n_failed = list(self._answers.values()).count(None)
        return n_failed == MAX_FAILURES or 0 < n_failed == len(self._answers)

    def _run(self, params: Params) -> float | None:
        folder = self._paths.estimate
        folder.root.mkdir(parents=True, exist_ok=True)
        source = Assignments(params).apply(self._task.source)
        export({**self._task.files, self._task.script: source.encode()}, folder.files)
        execution = self._sandbox.run(self._job())
        folder.artifact.unlink(missing_ok=True)
        log = read_tail(folder.log)
        found = [float(number) for number in _ANSWER.findall(log)]
        failed = failure(execution, log, self._task.budget)
        if failed is None and len(found) == 1 and POSSIBLE_GB[0] <= found[0] <= POSSIBLE_GB[1]:
            if not self._answers:
                seconds = f"{execution.wall_seconds:.0f} s on the CPU each"
                self._say(f"what trials need in memory is estimated before they run, until that is known ({seconds})")
            return found[0]
        why = (
            failed[1] if failed is not None else "it printed no line `memory_gb: X` with a possible number, or not one"
        )
        others = "the run goes on without estimates" if not self._answers else "these values run without one"
        self._say(f"no estimate of memory: {' '.join(self._task.estimate)}: {why} ({folder.log}); {others}")
        return None

    def _job(self) -> Job:
        job = training_job(
            self._task,
            self._corpus,
            self._paths.estimate,
            label=f"{self._paths.run_id}/estimate",
            train_seed=0,
            baseline_cpu_seconds=None,
            passed_on=self._passed_on,
        )
        asked = {"TRAIN_ESTIMATE": "memory", "TRAIN_BUDGET": "1", "TRAIN_BUDGET_UNIT": "steps"}
        limits = replace(job.limits, wall_seconds=min(WALL_SECONDS, job.limits.wall_seconds))
        environment = {**job.environment, **asked}
        return replace(job, argv=self._task.estimate, environment=environment, limits=limits, on_cpu=True)


def key_of(task: Task, params: Params) -> str:
    """Return what an answer is kept under: a hash of the task's script with `params` written in."""
    return hashlib.sha256(Assignments(params).apply(task.source).encode()).hexdigest()[:16]


def read_answers(path: Path) -> Answers:
    """Return what a run has been answered so far. Raises JournalError if the file is damaged."""
    if not path.exists():
        return {}
    try:
        return {str(key): None if gb is None else float(gb) for key, gb in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise JournalError(f"{path} is damaged ({error}); delete it, and what it held is estimated again") from error
