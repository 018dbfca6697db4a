"""A recorded trial: what a replay needs, read from the journal or from its commit alone, here or in a clone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from agent.errors import NotReplayableError, RepoError, UsageError
from agent.execution.environment import NAMES
from agent.execution.sandboxes import recorded_kind
from agent.run.repeats import decides
from agent.store.git_repo import TrialRepo, trailers
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun, find_trial, measured_sigma
from agent.store.trial_name import BEST, TrialName, is_trial_name, refuse_minimal
from agent.task.task import Task
from agent.text import hidden_in, one_line
from agent.trials.json_fields import check_types
from agent.trials.learning_curve import PruningDecision
from agent.trials.machine_speed import MachineSpeed
from agent.trials.repeat import Purpose
from agent.trials.trial import Outcome, Status

CLONE_REPLAYS = "replays"
"""Folder for replays of a clone's commits, in the current folder."""


@dataclass(frozen=True)
class RecordedTrial:
    """One trial as it was committed, and its outcome."""

    run_id: str
    number: int
    commit: str  # full hash
    files: Mapping[str, bytes]  # the commit's tree
    profile: str | None
    train_seed: int
    outcome: Outcome  # from a commit alone: only what the trailers hold
    baseline: Outcome | None  # of trial 0, from which some limits follow; None for trial 0 itself
    moved_incumbent: bool = False  # its loss moved incumbent or champion, so its replay gets the full audit, too
    on_slices: bool = False  # its run confirmed gains on slices; False if only the commit is known
    sigma: float | None = None  # the run's estimate of its noise; None: unknown, except perhaps to task.toml

    @property
    def name(self) -> str:
        return f"{self.run_id}/{self.number}"

    @property
    def sandbox_kind(self) -> str:
        return recorded_kind(self.outcome.sandbox)

    def task(self, folder: Path) -> Task:
        """Return the task with this trial's files; `folder` may hold what is not committed."""
        return Task(folder, self.files, self.profile, as_is=True)


def from_journal(stored: StoredRun, number: int, seed: int | None = None) -> RecordedTrial:
    """Return a trial of a local run; with the outcome under training seed `seed`, if the run repeated it under that.

    Raises:
        UsageError: the trial has not finished, or never ran.
        NotReplayableError: its commit would write outside of its folder, or is of another task.
    """
    trial = stored.trial(number)
    if trial.outcome is None or not {0, number} <= stored.hashes.keys():
        raise UsageError(f"{stored.run_id}/{number} has not finished; `agent log {stored.run_id}` lists the trials")
    _refuse_unless_ran(f"{stored.run_id}/{number}", trial.outcome)
    train_seed, outcome, decided = trial.proposal.train_seed, trial.outcome, trial.kept
    for repeat in stored.history.repeats:
        is_whole = repeat.purpose is not Purpose.SLOPE
        if repeat.trial == number and repeat.seed == seed and repeat.outcome is not None and is_whole:
            train_seed, outcome = repeat.seed, repeat.outcome
            decided = decides(repeat.purpose, on_slices=stored.keeper.on_slices)
    commit = stored.hashes[number]
    files = stored.repo.read(commit)
    _refuse_outside(commit, files)
    recorded = RecordedTrial(
        run_id=stored.run_id,
        number=number,
        commit=commit,
        files=files,
        profile=stored.config.profile,
        train_seed=train_seed,
        outcome=outcome,
        baseline=stored.trial(0).outcome if number else None,
        moved_incumbent=decided,
        on_slices=stored.keeper.on_slices,
        sigma=stored.config.noise_sigma,
    )
    _refuse_other_task(recorded, stored.repo.read(stored.hashes[0]), stored.config.task_digest)
    return recorded


def from_commit(repo: TrialRepo, revision: str) -> RecordedTrial:
    """Return a trial known only from its commit and the commits before it, as in a clone of `trials.git`.

    Raises:
        RepoError: there is no such commit.
        UsageError: `agent run` did not make it, or its trial never ran.
        NotReplayableError: it would write outside of the folder that it is exported to, or is of another task.
    """
    commit = repo.find(revision)
    facts = {key: one_line(value) for key, value in trailers(repo.message(commit)).items()}
    missing = [name for name in ("Run", "Trial", "Status", "Seed", "Task") if name not in facts]
    if missing:
        raise UsageError(
            f"commit {commit[:7]} in {repo.path} is not a trial: it has no trailer {missing[0]!r}; "
            "give the hash of a commit that `agent run` made"
        )
    name = f"{facts['Run']}/{facts['Trial']}"[:100]
    if facts.get("Kept") == "minimal":  # until 2026-11-22
        raise UsageError(
            f"commit {commit[:7]} is not a trial but the minimal script of {name}, committed by an earlier version; "
            f"`agent attribute {facts['Run']}` writes it to a file"
        )
    try:
        outcome, number, seed = _outcome(facts), int(facts["Trial"]), int(facts["Seed"])
        check_types(outcome)
        if number not in range(10**6):
            raise ValueError(f"trial {number}")
    except (ValueError, TypeError) as error:
        raise UsageError(f"the trailers of {name} cannot be read ({error}); clone the repository again") from error
    _refuse_unless_ran(name, outcome)
    root = repo.chain(commit)[0]
    files = repo.read(commit)
    _refuse_outside(commit, files)
    recorded = RecordedTrial(
        run_id=facts["Run"],
        number=number,
        commit=commit,
        files=files,
        profile=facts.get("Profile"),
        train_seed=seed,
        outcome=outcome,
        baseline=_outcome(trailers(repo.message(root))) if number else None,
        moved_incumbent=outcome.kept,
    )
    _refuse_other_task(recorded, repo.read(root), facts["Task"].rpartition(" ")[2])
    return recorded


@dataclass(frozen=True)
class LocatedTrial:
    """A recorded trial, and the local folders and settings that its replay uses."""

    recorded: RecordedTrial
    replays: Path  # folder for its replays
    task_folder: Path | None = None  # with which the run was started; None: unknown
    compiled: Path | None = None
    accept_unenforced: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()


class Runs:
    """The local runs as a source of trials: RUN/7, 7 for the last run, or the hash of a commit in `trials.git`."""

    def __init__(self, runs: RunsFolder, here: Path, seed: int | None = None) -> None:
        self._runs = runs
        self._seed = seed  # a trial that its run repeated under this seed has the outcome of that repeat
        self._here = here

    def trial(self, name: str) -> LocatedTrial:
        """Return the trial of that name or commit. Raises UsageError if there is none."""
        refuse_minimal(name)
        if is_trial_name(name):
            return self._of_run(*find_trial(self._runs, name))
        repo = TrialRepo(self._runs.repo)
        commit = _commit(repo, name)
        facts = trailers(repo.message(commit))
        run_id = facts.get("Run", "")
        if run_id in self._runs.run_ids():
            numbers = [number for number, sha in repo.tags(run_id).items() if sha == commit]
            if numbers:
                return self._of_run(StoredRun.find(self._runs, run_id), numbers[0])
            return self._found(StoredRun.find(self._runs, run_id), from_commit(repo, commit))
        return LocatedTrial(from_commit(repo, commit), self._here / CLONE_REPLAYS)

    def kept(self, run_name: str | None) -> list[LocatedTrial]:
        """Return all kept trials of a run, or of the last one, by number."""
        stored = StoredRun.find(self._runs, run_name)
        found = [self._of_run(stored, trial.number) for trial in stored.history.trials if trial.kept]
        if not found:
            raise UsageError(f"{stored.run_id} has no kept trial; `agent log {stored.run_id}` lists its trials")
        return found

    def _of_run(self, stored: StoredRun, number: int) -> LocatedTrial:
        return self._found(stored, from_journal(stored, number, self._seed))

    def _found(self, stored: StoredRun, recorded: RecordedTrial) -> LocatedTrial:
        measured = measured_sigma(self._runs, stored.config.task_digest)
        return LocatedTrial(
            recorded if measured is None else replace(recorded, sigma=measured),
            stored.paths.replays,
            Path(stored.config.task_folder),
            stored.paths.compiled,
            stored.config.accept_unenforced,
            stored.config.gpus,
        )


class Clone:
    """A clone of a `trials.git` as a source of trials: RUN/7, or the hash of a commit."""

    def __init__(self, repo: TrialRepo, here: Path) -> None:
        self._repo = repo
        self._here = here

    def trial(self, name: str) -> LocatedTrial:
        """Return the trial of that name or commit. Raises UsageError if there is none."""
        refuse_minimal(name)
        if is_trial_name(name):
            named = TrialName.parse(name)
            if named.run_id is None:
                raise UsageError(f"{name}: a clone has no last run; write RUN/{named.which}, or a hash")
            name = self._tag(named.run_id, named.which)
        return self._found(name)

    def kept(self, run_name: str | None) -> list[LocatedTrial]:
        """Return the trials on the branch of a run, the baseline first."""
        if run_name is None:
            raise UsageError("a clone has no last run; name one: agent replay RUN --all-kept")
        tip = self._repo.branch(run_name)
        if tip is None:
            raise UsageError(f"{self._repo.path} has no branch {run_name}; `git branch --all` lists its runs")
        return [self._found(commit) for commit in self._repo.chain(tip)]

    def _tag(self, run_id: str, which: int | str) -> str:
        """Return a name or hash of a trial's commit. Without a champion's tag the baseline is the champion."""
        if isinstance(which, int):
            return f"refs/tags/{run_id}/{which:04d}"
        found = self._repo.champion(run_id) or (self._repo.branch(run_id) if which == BEST else None)
        return found or f"refs/tags/{run_id}/0000"

    def _found(self, revision: str) -> LocatedTrial:
        return LocatedTrial(from_commit(self._repo, _commit(self._repo, revision)), self._here / CLONE_REPLAYS)


def open_source(runs: RunsFolder, repo: Path | None, here: Path, seed: int | None) -> Runs | Clone:
    """Return the source: `repo`, else the local runs, else the clone around `here`; UsageError if there is none."""
    if repo is None and runs.run_ids():
        return Runs(runs, here, seed)
    clone = TrialRepo.containing(repo or here)
    if clone is not None:
        return Clone(clone, here)
    if repo is not None:
        raise UsageError(f"{repo} is not a git repository; give a clone of a trials.git with --repo DIR")
    raise UsageError(
        f"{runs.root} has no run, and {here} is not in a clone of a trials.git; name one of them with --runs or --repo"
    )


def _commit(repo: TrialRepo, revision: str) -> str:
    try:
        return repo.find(revision)
    except RepoError as error:
        raise UsageError(str(error)) from error


def _outcome(facts: Mapping[str, str]) -> Outcome:
    """Return the outcome in a commit's trailers. Raises ValueError if it cannot be read."""
    return Outcome(
        status=Status(facts["Status"]),
        val_loss=float(facts["Val-Loss"]) if "Val-Loss" in facts else None,
        kept=facts.get("Kept", "no") != "no",
        wall_seconds=float(facts.get("Wall-Seconds", 0.0)),
        cpu_seconds=float(facts["Cpu-Seconds"]) if "Cpu-Seconds" in facts else None,
        stopped_at=float(facts["Stopped-At"]) if "Stopped-At" in facts else None,
        condemned=PruningDecision.from_trailer(facts["Condemned"]) if "Condemned" in facts else None,
        sandbox=facts.get("Image", ""),
        machine=MachineSpeed(raw_loss=float(facts["Raw-Loss"])) if "Raw-Loss" in facts else None,
        conditions={name: facts[name.capitalize()] for name in NAMES if name.capitalize() in facts},
    )


def _refuse_outside(commit: str, files: Mapping[str, bytes]) -> None:
    """Raise NotReplayableError if a file of a commit would be exported to another folder, or has an odd name."""
    for path in files:  # git stores such a tree, although it refuses to check it out
        if path.startswith("/") or ".." in PurePosixPath(path).parts or len(path) > 1000 or hidden_in(path):
            raise NotReplayableError(
                f"commit {commit[:7]} is an attack: its file {path[:100]!r} lies outside of its folder, or has a name "
                "that no task has; do not use it"
            )


def _refuse_unless_ran(name: str, outcome: Outcome) -> None:
    if not outcome.status.ran:
        raise UsageError(f"{name} never ran ({outcome.status}), so there is nothing to replay; choose another trial")


def _refuse_other_task(recorded: RecordedTrial, baseline: Mapping[str, bytes], digest: str) -> None:
    """Raise NotReplayableError unless task.toml and the frozen files are those that the run started with."""
    task = recorded.task(Path(recorded.commit[:7]))
    began = Task(
        task.folder, {**recorded.files, task.script: baseline.get(task.script, b"")}, recorded.profile, as_is=True
    )
    if began.digest != digest:
        raise NotReplayableError(
            f"commit {recorded.commit[:7]} is not of the task that {recorded.name} ran: its task.toml, frozen files or "
            f"baseline have the digest {began.digest}, the record says {digest}; fetch the repository again"
        )
