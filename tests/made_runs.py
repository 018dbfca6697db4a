"""Runs made by hand, without executing anything: for what is told of runs. Journal, run.json and commits are real."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agent.edits.assignments import Assignments
from agent.edits.edit import Unchanged
from agent.store.git.command import run_git
from agent.store.git_repo import TrialRepo
from agent.store.paths import RunPaths, RunsFolder
from agent.store.run_config import checked, save
from agent.store.stored_run import StoredRun
from agent.store.trial_commit import commit_of
from agent.task.task import Task
from agent.trials.events import (
    AttemptLost,
    Event,
    RepeatFinished,
    RepeatStarted,
    RepeatTrained,
    SliceOpened,
    SliceScored,
    TrialFinished,
    TrialStarted,
)
from agent.trials.history import History
from agent.trials.keeping.confirmations import BASELINE as BASELINE_MODEL
from agent.trials.keeping.confirmations import CHALLENGER, CHAMPION, RESULT, Entrant, SlicePurpose, SliceScore, SliceUse
from agent.trials.keeping.noise import Lead
from agent.trials.repeat import Purpose, RepeatVerdict
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Score, Status, Trial

BIGRAM = Path(__file__).parent / "tasks" / "bigram_plain"
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


@dataclass(frozen=True)
class Again:
    """A further run of a trial's script."""

    trial: int
    outcome: Outcome
    standing: KeepState | None = None  # what it decided, of a confirmation
    purpose: Purpose = Purpose.CONFIRM
    seed: int = 1
    slices: tuple[SliceUse, ...] = ()  # that were opened for it
    reason: str = ""  # of the verdict

    @property
    def verdict(self) -> RepeatVerdict | None:
        """What it decided, with a lead that goes with it."""
        leads = {
            KeepState.CONFIRMED: 3.0, KeepState.REPEATED: 3.0, KeepState.PROVISIONAL: 1.0, KeepState.ROLLED_BACK: -1.0,
        }  # fmt: skip
        if self.standing is None:
            return None
        if self.slices and self.slices[-1].has_result:
            lead = leads[self.standing]
            return RepeatVerdict(self.standing, lead, self.reason, n_errors=lead, bar=2.0)
        return RepeatVerdict(self.standing, None if self.reason else leads[self.standing], self.reason)


def opened(
    number: int,
    trial: int,
    lead: float,
    *,
    seed: int = 1,
    champion: int | None = None,
    over_baseline: float | None = None,
    burned_by: str = "",
    n_other_runs: int = 0,
    flags: tuple[str, ...] = (),
) -> SliceUse:
    """A slice that was opened to confirm a trial: on it the baseline's loss is 3.5, and each error is 0.03.

    Args:
        lead: of the challenger over the champion.
        champion: its trial; None: the baseline's own first model.
        over_baseline: lead over the baseline; None: the same.
    """
    gain = lead if over_baseline is None else over_baseline
    entrants = {BASELINE_MODEL: _entrant(0, 0), CHALLENGER: _entrant(trial, seed)}
    losses, leads = {BASELINE_MODEL: 3.5, CHALLENGER: 3.5 - gain}, {f"{CHALLENGER}-{BASELINE_MODEL}": Lead(gain, 0.03)}
    if champion is not None:
        entrants[CHAMPION], losses[CHAMPION] = _entrant(champion, seed), 3.5 - gain + lead
        leads |= {f"{CHALLENGER}-{CHAMPION}": Lead(lead, 0.03), f"{CHAMPION}-{BASELINE_MODEL}": Lead(gain - lead, 0.03)}
    score = SliceScore(losses, leads, 1.0, flags=flags)
    if burned_by:
        score = SliceScore({}, {}, 1.0, burned_by, "it was silent")
    return SliceUse(number, SlicePurpose.CONFIRM, entrants, n_other_runs, BEGAN.isoformat(), score)


def opened_for_result(number: int, trial: int, lead: float, seeds: Sequence[int] = (100, 101, 102)) -> SliceUse:
    """A slice that was opened for the final runs of a trial: the baseline's loss is 3.5, the error of the lead 0.03."""
    entrants = {BASELINE_MODEL: _entrant(0, 0)} | {f"{RESULT}-{seed}": _entrant(trial, seed) for seed in seeds}
    losses = {BASELINE_MODEL: 3.5} | {f"{RESULT}-{seed}": 3.5 - lead for seed in seeds}
    score = SliceScore(losses, {f"{RESULT}-{BASELINE_MODEL}": Lead(lead, 0.03)}, 1.0)
    return SliceUse(number, SlicePurpose.FINAL, entrants, 0, BEGAN.isoformat(), score)


def _entrant(trial: int, seed: int) -> Entrant:
    return Entrant(trial, seed, f"artifact-{trial}-{seed}", f"files-{trial}")


def slice_events(uses: Iterable[SliceUse], at: str) -> Iterator[Event]:
    """Yield that slices are opened and, those that have a score, scored."""
    for use in uses:
        yield SliceOpened(use.number, use.purpose, use.entrants, use.n_other_runs, at)
        if use.score is not None:
            yield SliceScored(use.number, use.score, at)


Result = tuple[Proposal, Outcome] | Again | SliceUse | TrialStarted | TrialFinished | AttemptLost


def events_of(results: Sequence[Result]) -> Iterator[Event]:
    """Yield the events of a run that has had these results, ten minutes apart.

    Each proposal edits the incumbent's script; results that are events are yielded as they are.
    """
    history = History([])
    for index, result in enumerate(results):
        at = (BEGAN + timedelta(minutes=10 * index)).isoformat()
        if isinstance(result, Again):
            trained = (RepeatTrained(result.trial, result.seed, result.outcome, at),) if result.slices else ()
            events: tuple[Event, ...] = (
                RepeatStarted(result.trial, result.seed, result.purpose, at),
                *trained,
                *slice_events(result.slices, at),
                RepeatFinished(result.trial, result.seed, result.outcome, result.verdict, at),
            )
        elif isinstance(result, TrialStarted | TrialFinished | AttemptLost):
            events = (result,)
        elif isinstance(result, SliceUse):
            events = tuple(slice_events([result], at))
        else:
            number, parent = history.n_started, history.position.incumbent
            events = TrialStarted(number, parent, result[0], at), TrialFinished(number, result[1], at)
        for event in events:
            history.add(event)
            yield event


def made_history(results: Sequence[Result]) -> History:
    """Return the history of a run that has had these results."""
    history = History([])
    for event in events_of(results):
        history.add(event)
    return history


def write_journal(paths: RunPaths, events: Sequence[Event]) -> None:
    """Let a run have had these events."""
    paths.journal.write_text("".join(json.dumps(event.to_json()) + "\n" for event in events))


def append_results(paths: RunPaths, results: Sequence[Result], *, n_before: int) -> None:
    """Add results to a run whose journal has the first `n_before` of them. The new trials have no tags."""
    before = list(events_of(results[:n_before]))
    with paths.journal.open("a") as journal:
        for event in list(events_of(results))[len(before) :]:
            journal.write(json.dumps(event.to_json()) + "\n")


def made_run(
    root: Path,
    results: Sequence[Result],
    *,
    name: str = "made",
    mode: str = "random",
    seed: int = 0,
    logs: dict[int, str] | None = None,
    exchanges: dict[int, Sequence[dict[str, object]]] | None = None,
    options: Mapping[str, object] | None = None,
    all_commits: bool = False,
) -> StoredRun:
    """Write a run of the bigram task that has had these results, ten minutes apart, and return it.

    Args:
        root: the folder of runs; several runs may share one.
        results: proposals and what they came to, the baseline first; and further runs.
        logs: what trials printed; exchanges: records of their transcripts; both by number.
        options: further fields of its RunConfig, or others than those of a plain run.
        all_commits: every trial has the commit that the loop would make; else all tags point to the baseline's, since
            most of what trials hold is read from the journal.
    """
    task, runs = Task.load(BIGRAM), RunsFolder(root)
    runs.prepare()
    paths = runs.run(name)
    paths.root.mkdir()
    plain: dict[str, object] = dict(
        run_id=name, mode=mode, seed=seed, task_folder=str(BIGRAM), task_name=task.name, task_digest=task.digest,
        profile=task.profile, metric_name=task.metric.name, noise_sigma=task.noise.sigma,
    )  # fmt: skip
    save(paths.run_json, checked(**{**plain, **(options or {})}), {})
    events = list(events_of(results))
    write_journal(paths, events)
    history = made_history(results)
    _commit(runs, task, name, history, history.by_finish if all_commits else history.trials[:1])
    for number, log in (logs or {}).items():
        paths.trial(number).root.mkdir(parents=True, exist_ok=True)
        paths.trial(number).log.write_text(log)
    for number, records in (exchanges or {}).items():
        paths.trial(number).root.mkdir(parents=True, exist_ok=True)
        paths.trial(number).llm.write_text("".join(json.dumps(record) + "\n" for record in records))
    return StoredRun.find(runs, name)


def _commit(runs: RunsFolder, task: Task, name: str, history: History, trials: Sequence[Trial]) -> None:
    """Commit some trials, the baseline at least, and let the tags of all others point to it."""
    repo = TrialRepo(runs.repo)
    sources, hashes = dict[int, str](), dict[int, str]()
    for trial in trials:
        before = task.source if trial.parent is None else sources[trial.parent]
        sources[trial.number] = trial.proposal.edit.apply(before) if trial.proposal.refused is None else before
        files = {**task.files, task.script: sources[trial.number].encode()}
        onto = history.commit_parent(trial)
        parent = None if onto is None else hashes[onto]
        commit = commit_of(trial, files, parent, onto=onto, run_id=name, mode="test", task=task, model=None)
        hashes[trial.number] = repo.record(name, trial.number, commit, advance=trial.kept or trial.number == 0)
    left = [trial.number for trial in history.trials if trial.number not in hashes]
    tags = "".join(f"create refs/tags/{name}/{number:04d} {hashes[0]}\n" for number in left)
    run_git(["--git-dir", str(runs.repo), "update-ref", "--stdin"], tags.encode())
    if len(trials) > 1 and history.incumbent is not None and history.champion is not None:
        repo.point(name, history.incumbent.number, history.champion.number)
