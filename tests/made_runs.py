"""Runs made by hand, without executing anything: for what is told of runs. Journal, run.json and commits are real."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from agent.config import checked, save
from agent.edits.assignments import Assignments
from agent.edits.edit import Unchanged
from agent.events import TrialFinished, TrialStarted
from agent.paths import RunsFolder
from agent.record import commit_of
from agent.repo import TrialRepo, run_git
from agent.report.stored_run import StoredRun
from agent.task import Task
from agent.trial import Origin, Outcome, Proposal, Score, Status, Trial

BIGRAM = Path(__file__).parent / "tasks" / "bigram"
BEGAN = datetime.fromisoformat("2026-11-21T22:00:00+00:00")


def searched(
    mix: float, *, smoothing: float = 20.0, origin: Origin = Origin.SEARCHER, title: str | None = None
) -> Proposal:
    """A configuration of the bigram task."""
    values = {"SMOOTHING": smoothing, "MIX": mix, "STRIDE": 3, "CHUNK": 256, "ORDER": "forward"}
    return Proposal(origin, title if title is not None else f"MIX {mix}", Assignments(values), params=values)


def scored(loss: float, *, kept: bool = False) -> Outcome:
    """A trial that went well: 1 second charged, 2 by the clock, 3 in all."""
    score = Score(loss, "audited", seconds=0.5, evidence={"rounds": 1, "largest_difference": 1.5e-7})
    return Outcome(
        Status.OK, loss, kept=kept, train_seconds=1.0, wall_seconds=2.0, total_seconds=3.0, peak_memory_gb=0.5,
        score=score,
    )  # fmt: skip


def failed(status: Status, reason: str = "") -> Outcome:
    return Outcome(status, None, reason=reason, train_seconds=0.5, wall_seconds=0.5, total_seconds=1.0)


BASELINE = (Proposal(Origin.BASELINE, "baseline", Unchanged()), scored(3.0, kept=True))


def made_run(
    root: Path,
    results: Sequence[tuple[Proposal, Outcome]],
    *,
    name: str = "made",
    mode: str = "random",
    seed: int = 0,
    logs: dict[int, str] | None = None,
    exchanges: dict[int, Sequence[dict[str, object]]] | None = None,
) -> StoredRun:
    """Write a run of the bigram task that has had these results, ten minutes apart, and return it.

    Args:
        root: the folder of runs; several runs may share one.
        results: proposals and what they came to, the baseline first.
        logs: what trials printed; exchanges: records of their transcripts; both by number.
    """
    task, runs = Task.load(BIGRAM), RunsFolder(root)
    runs.prepare()
    paths = runs.run(name)
    paths.root.mkdir()
    save(
        paths.run_json,
        checked(
            run_id=name, mode=mode, seed=seed, task_folder=str(BIGRAM), task_name=task.name, task_digest=task.digest,
            profile=task.profile, metric_name=task.metric.name, noise_sigma=task.noise.sigma,
        ),
    )  # fmt: skip
    lines, incumbent = [], None
    for number, (proposal, outcome) in enumerate(results):
        at = (BEGAN + timedelta(minutes=10 * number)).isoformat()
        lines += [TrialStarted(number, incumbent, proposal, at), TrialFinished(number, outcome, at)]
        incumbent = number if outcome.kept else incumbent
    paths.journal.write_text("".join(json.dumps(event.to_json()) + "\n" for event in lines))
    _commit(runs, task, name, results, BEGAN.isoformat())
    for number, log in (logs or {}).items():
        paths.trial(number).root.mkdir(parents=True, exist_ok=True)
        paths.trial(number).log.write_text(log)
    for number, records in (exchanges or {}).items():
        paths.trial(number).root.mkdir(parents=True, exist_ok=True)
        paths.trial(number).llm.write_text("".join(json.dumps(record) + "\n" for record in records))
    return StoredRun.find(runs, name)


def _commit(runs: RunsFolder, task: Task, name: str, results: Sequence[tuple[Proposal, Outcome]], at: str) -> None:
    """Commit the baseline, and let every tag point to it: what trials hold is read from the journal."""
    repo = TrialRepo(runs.repo)
    first = Trial(0, None, *results[0][:1], at, results[0][1], at)
    commit = commit_of(first, dict(task.files), None, run_id=name, mode="test", task=task, model=None)
    sha = repo.record(name, 0, commit, advance=True)
    tags = "".join(f"create refs/tags/{name}/{number:04d} {sha}\n" for number in range(1, len(results)))
    run_git(["--git-dir", str(runs.repo), "update-ref", "--stdin"], tags.encode())
