"""The documents that `agent runs` and `agent rm` print with `--json`."""

from dataclasses import dataclass

from agent.report.documents.trials import Document, TrialDocument


@dataclass(frozen=True, kw_only=True)
class ListedRunDocument(Document):
    """One run of `agent runs`; null where a run that cannot be read has no value."""

    run: str
    state: str
    """What it is doing, as one word."""
    work: str | None
    """What a process does on it at this moment, in a few words; null: no process works on it."""
    open_by: int | None
    """Process that works on the run; null: none does."""
    fault: str | None
    """Why it cannot be read."""
    mode: str | None
    task: str | None
    metric: str | None
    """Name of the metric."""
    goal: str | None
    """minimise or maximise."""
    best: int | None
    """Number of its best trial."""
    best_standing: str | None
    """What supports the best trial: confirmed, repeated, provisional ..."""
    best_value: float | None
    baseline_value: float | None
    trials: int
    """Trials that have ended."""
    most_trials: int | None
    """Its limit of trials."""
    train_seconds: float
    """Training budget that is spent."""
    wall_seconds: float
    dollars: float | None
    """What model calls have cost; null: no price is known."""
    bytes: int
    """Size of its folder."""
    began: str | None
    """ISO 8601, UTC."""


@dataclass(frozen=True, kw_only=True)
class RunsDocument(Document):
    """`agent runs`: the runs of a folder."""

    folder: str
    runs: list[ListedRunDocument]
    comparisons: list[str]
    left_commits: list[str]
    """Names of runs that have commits, but no folder."""


@dataclass(frozen=True, kw_only=True)
class NotificationDocument(Document):
    """The standard input of the commands of `--on-end` and `--on-confirmed`."""

    event: str
    """end: the run or comparison has ended; confirmed: a fresh run has confirmed a gain."""
    name: str
    """Of the run or the comparison."""
    folder: str
    """The folder of its runs."""
    message: str
    """One line for people, that begins with the name."""
    end: str | None
    """How it ended, as one word: done, paused, interrupted, failed, stuck, baseline_failed or nothing_ran."""
    reason: str | None
    """Why it ended, in words."""
    trial: TrialDocument | None
    """The trial whose gain was confirmed."""
    runs: list[ListedRunDocument]
    """The run; several of a comparison."""


@dataclass(frozen=True, kw_only=True)
class RemovedDocument(Document):
    """`agent rm`: the names of what was removed."""

    removed: list[str]
