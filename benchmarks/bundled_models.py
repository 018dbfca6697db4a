"""Models of the bundled task for the benchmarks of scoring: trained in the sandbox and scored on slices."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.cli.options import cache_folder
from agent.execution.slices.rounds import Answered, Rounds
from agent.execution.slices.source import Burned, Contender
from agent.execution.slices.text_slices import TextAnswers
from agent.execution.training_job import export, training_job
from agent.resources import folder
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus, find_corpus
from agent.task.task import Task
from agent.task.unseen.pool import Pool, find_pool
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, CHAMPION
from agent.trials.trial import Score
from sandbox.job import Execution, Sandbox

NAMES = (BASELINE, CHAMPION, CHALLENGER)  # trained under seeds 0, 1 and 2


def bundled() -> tuple[Task, Corpus]:
    """Return the bundled task and its data; exit if the data are not prepared."""
    task = Task.load(folder("train_template"))
    corpus = find_corpus(task, cache_folder())
    if corpus is None:
        sys.exit("the bundled task's data are not prepared: run `agent prepare`")
    return task, corpus


def pool_of(task: Task) -> Pool:
    """Return the task's pool; exit if it does not exist."""
    pool = find_pool(task, cache_folder())
    if pool is None:
        sys.exit("the bundled task's pool is not made: run `agent prepare --pool`")
    return pool


def trained(task: Task, corpus: Corpus, sandbox: Sandbox, root: Path, seed: int) -> tuple[TrialPaths, Execution]:
    """Train the task's own script under a training seed; exit if that fails."""
    paths = TrialPaths(root)
    export(task.files, paths.files)
    paths.score.mkdir()
    label = f"benchmark/{root.name}/train"
    job = training_job(task, corpus, paths, label=label, train_seed=seed, baseline_cpu_seconds=None, passed_on={})
    execution = sandbox.run(job)
    if execution.exit_code != 0:
        sys.exit(f"the baseline failed: {paths.log.read_text(encoding='utf-8')[-300:]}")
    return paths, execution


@dataclass(frozen=True)
class Asking:
    """Scores baseline, champion and challenger on slices of the pool, as a confirmation does."""

    task: Task
    corpus: Corpus
    pool: Pool
    sandbox: Sandbox
    models: Sequence[TrialPaths]
    score: Score | None  # the baseline's; its cost limits the time of an answer

    def slice(self, number: int, root: Path) -> tuple[Answered, TextAnswers]:
        """Return the models' answers on a slice; exit if one does not answer."""
        opened, rounds = self.pool.slice(number), Rounds(self.task, self.corpus, self.sandbox)
        contenders = [
            Contender(name, paths.artifact, paths.files) for name, paths in zip(NAMES, self.models, strict=True)
        ]
        limits = rounds.limits(opened, len(contenders), self.score)
        found = rounds.ask(opened, contenders, folder=root, label=f"benchmark/{root.name}", limits=limits)
        if isinstance(found, Burned):
            sys.exit(f"the {found.model} did not answer: {found.reason}")
        return found, TextAnswers(opened, found.losses, self.corpus.token_bytes)
