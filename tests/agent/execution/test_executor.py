"""One attempt: trained, scored and judged. It is frozen, and several run at the same time."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.errors import MissingRequirementError
from agent.execution.executor import Attempt, ExecutionSettings, Executor
from agent.execution.host import Host
from agent.execution.scoring.audited import AuditedScorer
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Outcome, Status
from sandbox.job import Execution, Job, Sandbox

MIXES = (0.1, 0.5, 0.9)


class AllAtOnce:
    """A sandbox in which no training begins before all have been asked for."""

    def __init__(self, inner: Sandbox, n_jobs: int) -> None:
        self._inner = inner
        self._barrier = threading.Barrier(n_jobs)

    def run(self, job: Job) -> Execution:
        if job.label.endswith("/train"):
            self._barrier.wait(600)
        return self._inner.run(job)

    def close(self) -> None:
        pass


def executor(task: Task, corpus: Corpus, box: Sandbox, folder: Path) -> Executor:
    return Executor(task, corpus, box, AuditedScorer(task, corpus, box), {}, folder / "compiled.tar", {"data": "known"})


def attempt(task: Task, folder: Path, mix: float, baseline: Outcome | None = None) -> Attempt:
    source = Assignments({"MIX": mix}).apply(task.source)
    return Attempt(source, TrialPaths(folder / f"{mix}"), f"r/{mix}", 1, train_seed=0, baseline=baseline)


def test_attempts_at_the_same_time_come_to_what_they_come_to_one_after_the_other(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    alone = executor(bigram, corpus, sandbox, tmp_path)
    first = alone.run(attempt(bigram, tmp_path / "baseline", 0.5))
    one_by_one = [alone.run(attempt(bigram, tmp_path / "alone", mix, first)) for mix in MIXES]
    together = executor(bigram, corpus, AllAtOnce(sandbox, len(MIXES)), tmp_path)
    with ThreadPoolExecutor(len(MIXES)) as pool:
        at_once = list(pool.map(lambda mix: together.run(attempt(bigram, tmp_path / "together", mix, first)), MIXES))
    assert len({outcome.val_loss for outcome in one_by_one}) == len(MIXES)
    assert [outcome.val_loss for outcome in at_once] == [outcome.val_loss for outcome in one_by_one]
    assert [outcome.conditions for outcome in at_once] == [{"data": "known"}] * len(MIXES)


def test_what_has_been_trained_can_be_scored_later_and_again(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    box = executor(bigram, corpus, sandbox, tmp_path)
    trained = box.train(attempt(bigram, tmp_path, 0.5))
    assert trained.failed is None
    first, second, test = (box.score(trained.artifact, split) for split in ("val", "val", "test"))
    assert first.val_loss == second.val_loss == box.run(attempt(bigram, tmp_path / "again", 0.5)).val_loss
    assert test.val_loss not in (None, first.val_loss)


class SeesQuestions:
    """A sandbox that notes who may read the files of questions while scoring jobs run."""

    def __init__(self, inner: Sandbox) -> None:
        self._inner = inner
        self.modes: set[tuple[str, ...]] = set()

    def run(self, job: Job) -> Execution:
        for mount in job.mounts if job.apart else ():
            if mount.target.startswith("/data/"):
                kind = job.label.rpartition("/")[2].partition("-")[0]
                self.modes.add(
                    (kind, *(oct(path.stat().st_mode & 0o777) for path in (mount.source.parent, mount.source)))
                )
        return self._inner.run(job)

    def close(self) -> None:
        pass


def test_other_users_cannot_read_what_scoring_jobs_are_asked(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    seen = SeesQuestions(sandbox)
    before = os.umask(0)
    try:
        outcome = executor(bigram, corpus, seen, tmp_path).run(attempt(bigram, tmp_path, 0.5))
    finally:
        os.umask(before)
    assert outcome.val_loss is not None
    assert seen.modes == {("claim", "0o700", "0o600"), ("audit", "0o700", "0o600")}


def test_only_a_training_that_ended_well_is_scored(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    scored: list[str] = []
    box = executor(bigram, corpus, sandbox, tmp_path)
    crashing = Attempt("raise SystemExit('no')\n", TrialPaths(tmp_path / "c"), "r/1", 1, train_seed=0, baseline=None)
    assert box.run(crashing, lambda: scored.append("crashed")).status is Status.CRASHED
    assert box.run(attempt(bigram, tmp_path, 0.5), lambda: scored.append("ok")).status is Status.OK
    assert scored == ["ok"]


def test_an_attempt_cannot_be_changed(bigram: Task, tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        attempt(bigram, tmp_path, 0.5).train_seed = 1  # type: ignore[misc]


def test_variables_that_a_task_passes_on_are_needed_for_training_alone(
    bigram: Task, corpus: Corpus, cache: Path, tmp_path: Path
) -> None:
    config = bigram.files["task.toml"] + b'\n[environment]\nvariables = ["NEEDED"]\n'
    task = Task(bigram.folder, {**bigram.files, "task.toml": config}, bigram.profile)
    host = Host({"NEEDED": "here", "OTHER": "kept"}, cache, lambda _line: None)
    settings = ExecutionSettings("bubblewrap", tmp_path / "compiled.tar")
    with Executor.open(task, settings, host) as executor:
        assert executor.passed_on == {"NEEDED": "here"}
        assert executor.corpus == corpus
    nothing = replace(host, variables={})
    with pytest.raises(MissingRequirementError, match="NEEDED"), Executor.open(task, settings, nothing):
        pass
    with Executor.open(task, replace(settings, trains=False), nothing) as executor:
        assert executor.passed_on == {}
