"""The loop's own time per trial, with jobs that do nothing: `python -m benchmarks.overhead`.

Measured at 10, 1,000 and 10,000 past trials: building the context, journal, export, git, table. Also `agent --help`,
`agent log` of 10,000 trials, and a sandboxed `true` beside a bare one. Then whole trials of a small task, with their
scoring jobs from the copy in memory and from the disk, alternating. Medians; the machine's load is printed.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.execution.executor import Attempt, Executor
from agent.execution.scoring.scorer import Artifact
from agent.execution.slots import Slot
from agent.execution.task_data import scorer_of
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal, read_history
from agent.store.paths import RunsFolder, TrialPaths
from agent.store.results_tsv import write_results
from agent.store.run_config import checked, save
from agent.store.trial_commit import commit_of
from agent.task.corpus import prepare_corpus
from agent.task.task import Task
from agent.trials.budget import Budget
from agent.trials.events import TrialFinished, TrialStarted
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.repeat import Repeat
from agent.trials.steering import RunEvent
from agent.trials.trial import Origin, Outcome, Proposal, Score, Status, Trial
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Execution, Job, Limits, Sandbox, StoppedBy

BIGRAM = Path(__file__).parents[1] / "tests" / "tasks" / "bigram"
AT = "2026-11-22T10:00:00+00:00"
PAST = (10, 1_000, 10_000)
WORKERS = 16


class NoJob:
    """A sandbox whose jobs take no time, so that only the loop's time remains."""

    def run(self, job: Job) -> Execution:
        job.log.write_text("---\n", encoding="utf-8")
        assert job.output is not None
        job.output.write_bytes(b"a model")
        return Execution(0, StoppedBy.ITSELF, 0.0, 0.0, 0.1, 7, False)

    def close(self) -> None:
        pass


class FromDisk:
    """A sandbox whose scoring jobs run from the disk like all others, which is what a machine without room does."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def run(self, job: Job) -> Execution:
        return self._sandbox.run(replace(job, apart=False))

    def close(self) -> None:
        pass


class NoScore:
    """A scorer that takes no time and rates every trial worse than the baseline."""

    def score(self, artifact: Artifact) -> Score:
        return Score(1.0 + artifact.trial, "held_out")


class Silent:
    """An observer that shows nothing."""

    def proposing(self, number: int) -> None: ...
    def proposed(self, number: int) -> None: ...
    def started(self, trial: Trial, slot: Slot) -> None: ...
    def scoring(self, what: Trial | Repeat) -> None: ...
    def finished(self, trial: Trial, previous: Trial | None) -> None: ...
    def repeating(self, repeat: Repeat, slot: Slot) -> None: ...
    def repeated(self, repeat: Repeat, trial: Trial) -> None: ...
    def waits_for_approval(self, trial: Trial) -> None: ...
    def recorded(self, event: RunEvent) -> None: ...
    def slice_opened(self, use: SliceUse) -> None: ...
    def slice_scored(self, use: SliceUse) -> None: ...
    def warned(self, line: str) -> None: ...
    def voided(self, void: VoidedAttempt, trial: int) -> None: ...
    def lost(self, lost: LostAttempt, trial: int) -> None: ...


class Counting:
    """A proposer that takes no time."""

    def propose(self, context: Context) -> Proposal:
        return _proposal(context.number)


def _proposal(number: int) -> Proposal:
    values: Params = {"SMOOTHING": 20.0 + number, "MIX": 0.5, "STRIDE": 3, "CHUNK": 256, "ORDER": "forward"}
    return Proposal(Origin.SEARCHER, f"SMOOTHING {20.0 + number}", Assignments(values), params=values)


def past_run(root: Path, task: Task, n_trials: int) -> RunsFolder:
    """Make a run of `n_trials` finished trials, with journal, commits and table, without running anything."""
    runs = RunsFolder(root)
    runs.prepare()
    paths = runs.run("past")
    paths.root.mkdir()
    repo = TrialRepo(runs.repo)
    save(
        paths.run_json,
        checked(run_id="past", mode="random", task_folder=str(BIGRAM), task_name=task.name, task_digest=task.digest),
        {},
    )
    trials: list[Trial] = []
    lines: list[TrialStarted | TrialFinished] = []
    base = ""
    for number in range(n_trials):
        proposal = _proposal(number)
        parent = 0 if number else None
        outcome = Outcome(Status.OK, 1.0 + number, kept=number == 0, score=Score(1.0 + number, "held_out"))
        lines += [TrialStarted(number, parent, proposal, AT), TrialFinished(number, outcome, AT)]
        trials.append(Trial(number, parent, proposal, AT, outcome, AT))
    import json

    paths.journal.write_text("".join(json.dumps(event.to_json()) + "\n" for event in lines), encoding="utf-8")
    script = {**task.files}
    commit = commit_of(trials[0], script, None, onto=None, run_id="past", mode="test", task=task, model=None)
    base = repo.record("past", 0, commit, advance=True)
    # All tags share one commit: 10,000 different ones would take minutes to make and cost the loop the same.
    tags = "".join(f"create refs/tags/past/{number:04d} {base}\n" for number in range(1, n_trials))
    subprocess.run(["git", "--git-dir", str(runs.repo), "update-ref", "--stdin"], input=tags.encode(), check=True)
    repo.pack_refs()
    hashes = dict.fromkeys(range(n_trials), base)
    write_results(paths.results_tsv, task.metric, trials, hashes)
    return runs


def loop_seconds(runs: RunsFolder, task: Task, n_more: int, workers: int = 1) -> list[float]:
    """Return the loop's own seconds between the proposals of `n_more` further trials."""
    paths = runs.run("past")
    journal = Journal(paths.journal)
    history = read_history(paths.journal)
    n_past = len(history.trials)
    marks: list[float] = []

    class Marking(Counting):
        def propose(self, context: Context) -> Proposal:
            marks.append(time.monotonic())
            return super().propose(context)

    run = Run(
        records=Records("past", "test", None, task, paths, journal, history, TrialRepo(runs.repo)),
        executor=Executor(task, None, NoJob(), NoScore(), {}, paths.compiled, {}),
        policy=Policy(KeepRule("any"), Budget(trials=n_past + n_more + 1), history.results),
        observer=Silent(),
        proposer=Marking(),
        space=task.space,
        slots=tuple(map(Slot, range(workers))),
    )
    run_trials(run)
    journal.close()
    return [after - before for before, after in pairwise(marks)]


def trial_seconds(task: Task, root: Path, n: int) -> dict[str, list[tuple[float, float]]]:
    """Return wall seconds, and this program's CPU seconds, of whole trials scored from "memory" and "disk" alternately.

    There are `n` + 1 of each kind; the first from memory also makes the copy.
    """
    corpus = prepare_corpus(task, root / "cache")
    found: dict[str, list[tuple[float, float]]] = {"memory": [], "disk": []}
    sandbox = BubblewrapSandbox()
    try:
        for number in range(n + 1):
            for kind, box in (("memory", sandbox), ("disk", FromDisk(sandbox))):
                executor = Executor(task, corpus, box, scorer_of(task, corpus, box), {}, root / "compiled.tar", {})
                paths = TrialPaths(root / f"{kind}-{number}")
                began, used = time.monotonic(), _cpu_seconds()
                attempt = Attempt(task.source, paths, label=kind, number=number, train_seed=0, baseline=None)
                outcome = executor.run(attempt)
                found[kind].append((time.monotonic() - began, _cpu_seconds() - used))
                assert outcome.status is Status.OK, outcome
    finally:
        sandbox.close()
    return found


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of what it has waited for: not of jobs, whose parent is elsewhere."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(act: Callable[[], object], n: int) -> list[float]:
    """Return the seconds of each of `n` calls, after one warm-up call."""
    act()
    found = []
    for _ in range(n):
        began = time.monotonic()
        act()
        found.append(time.monotonic() - began)
    return found


def shown(name: str, found: list[float], bound: str) -> None:
    spread = f"{min(found) * 1e3:7.1f} {statistics.median(found) * 1e3:7.1f} {max(found) * 1e3:7.1f}"
    print(f"{name:44} {spread}   {bound}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=30, help="trials to time at each size")
    n = parser.parse_args().trials
    task = Task.load(BIGRAM)
    command = [sys.executable, "-m", "agent"]
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds: {'':21} min  median     max   target (median)")
    medians = {}
    with tempfile.TemporaryDirectory() as scratch:
        for n_past in PAST:
            runs = past_run(Path(scratch) / str(n_past), task, n_past)
            found = loop_seconds(runs, task, n)
            medians[n_past] = statistics.median(found)
            shown(f"one trial of the loop, {n_past} past trials", found, "100")
        runs = past_run(Path(scratch) / "workers", task, PAST[0])
        found = loop_seconds(runs, task, 10 * n, WORKERS)
        print(
            f"{f'trials a second with {WORKERS} workers':44} {len(found) / sum(found):15.1f}           20.0 (at least)"
        )
        ratio = medians[PAST[-1]] / medians[PAST[0]]
        print(f"{'10,000 past trials over 10':44} {ratio:15.2f}           2.00 (ratio)")
        log = [*command, "log", "--runs", str(runs.root)]
        shown(
            "agent log, 10,000 trials", seconds(lambda: subprocess.run(log, capture_output=True, check=True), 5), "1000"
        )
        shown(
            "agent --help",
            seconds(lambda: subprocess.run([*command, "--help"], capture_output=True, check=True), 5),
            "300",
        )
        sandbox = BubblewrapSandbox()
        job = Job(("true",), "benchmark/true", Limits(wall_seconds=30, memory_gb=0.25), Path(scratch) / "log")
        boxed = seconds(lambda: sandbox.run(job), 20)
        bare = seconds(lambda: subprocess.run(["true"], check=True), 20)
        shown("true, bare", bare, "")
        shown("true, in bubblewrap", boxed, "150 more than bare")
        of_trials = trial_seconds(Task.load(BIGRAM.with_name("bigram_plain")), Path(scratch) / "whole", n)
        for kind, both in of_trials.items():
            for what, of_each in zip(("wall", "CPU of this program"), zip(*both[1:], strict=True), strict=True):
                shown(f"a whole small trial, scored from {kind}: {what}", list(of_each), "")
        first, cpu = of_trials["memory"][0]
        print(f"{'the first one from memory, with the copy':44} {first * 1e3:15.1f}   of it CPU {cpu * 1e3:.1f}")


if __name__ == "__main__":
    main()
