"""Idle time of the GPU with a model that takes 60 s per reply, by --queue: `python -m benchmarks.queued_proposals`.

The loop, journal and git are real; training and the model are waits, shortened by --scale. Since loop and git are not
shortened, the printed idle share is an upper bound.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from agent.edits.assignments import Assignments
from agent.execution.executor import Executor
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal
from agent.store.paths import RunsFolder
from agent.task.task import Task
from agent.trials.budget import Budget
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import Origin, Proposal
from benchmarks.overhead import BIGRAM, NoJob, NoScore, Silent
from sandbox.job import Execution, Job


class Waiting(NoJob):
    """A sandbox whose training takes `seconds` and that records when it was busy."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.busy: list[tuple[float, float]] = []  # start and end of each job

    def run(self, job: Job) -> Execution:
        began = time.monotonic()
        time.sleep(self._seconds)
        self.busy.append((began, time.monotonic()))
        return super().run(job)


class SlowModel:
    """A proposer that takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def propose(self, context: Context) -> Proposal:
        time.sleep(self._seconds)
        return Proposal(Origin.LLM, f"idea {context.number}", Assignments({"SMOOTHING": 20.0 + context.number}))


def idle_share(model_seconds: float, train_seconds: float, queue: int, n_trials: int) -> float:
    """Return the share of the time after the baseline's end in which no trial trains."""
    task = Task.load(BIGRAM)
    box = Waiting(train_seconds)
    with tempfile.TemporaryDirectory() as scratch:
        runs = RunsFolder(Path(scratch) / "runs")
        runs.prepare()
        paths = runs.run("r")
        paths.root.mkdir()
        journal = Journal(paths.journal)
        run = Run(
            records=Records("r", "test", None, task, paths, journal, History([]), TrialRepo(runs.repo)),
            executor=Executor(task, None, box, NoScore(), {}, paths.compiled, {}),
            policy=Policy(KeepRule("any"), Budget(trials=n_trials + 1)),
            observer=Silent(),
            proposer=SlowModel(model_seconds),
            space=task.space,
            queue=queue,
        )
        run_trials(run)
        journal.close()
    began, ended = box.busy[0][1], box.busy[-1][1]
    return 1 - sum(end - start for start, end in box.busy[1:]) / (ended - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model-seconds", type=float, default=60.0)
    parser.add_argument("--train-seconds", type=float, default=300.0)
    parser.add_argument("--scale", type=float, default=20.0, help="factor by which both are shortened")
    parser.add_argument("--trials", type=int, default=6)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}; model {given.model_seconds:g} s, trial {given.train_seconds:g} s")
    for queue in (0, 1):
        share = idle_share(given.model_seconds / given.scale, given.train_seconds / given.scale, queue, given.trials)
        print(f"--queue {queue}: the GPU idles {100 * share:.1f} % of the time", flush=True)


if __name__ == "__main__":
    main()
