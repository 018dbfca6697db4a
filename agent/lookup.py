"""Finding the trials that somebody names: among the runs here, or in a clone of a `trials.git` from elsewhere."""

from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import RepoError, UsageError
from agent.known_noise import measured_sigma
from agent.paths import RunsFolder
from agent.recorded import Recorded, from_commit, from_journal
from agent.repo import TrialRepo, trailers
from agent.report.stored_run import StoredRun, refuse_minimal, trial_name

CLONE_REPLAYS = "replays"
"""Where replays of a clone's commits go, in the current folder."""


@dataclass(frozen=True)
class Found:
    """A recorded trial and where its surroundings are."""

    recorded: Recorded
    replays: Path  # where what comes of running it again belongs
    task_folder: Path | None = None  # that the run was started with; None: nobody knows
    compiled: Path | None = None
    accept_unenforced: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()


class Runs:
    """The runs of this machine: RUN/7, 7 of the last run, or the hash of a commit in their `trials.git`.

    With a seed, a trial that its run has repeated under it is what that repeat came to.
    """

    def __init__(self, runs: RunsFolder, here: Path, seed: int | None = None) -> None:
        self._runs = runs
        self._seed = seed
        self._here = here

    def trial(self, name: str) -> Found:
        """Return the trial of that name or commit. Raises UsageError if there is none."""
        refuse_minimal(name)
        if is_trial_name(name):
            run_name, number = trial_name(name)
            return self._of_run(StoredRun.find(self._runs, run_name), number)
        repo = TrialRepo(self._runs.repo)
        commit = _commit(repo, name)
        facts = trailers(repo.message(commit))
        run_id = facts.get("Run", "")
        if run_id in self._runs.run_ids():
            numbers = [number for number, sha in repo.tags(run_id).items() if sha == commit]
            if numbers:
                return self._of_run(StoredRun.find(self._runs, run_id), numbers[0])
            return self._found(StoredRun.find(self._runs, run_id), from_commit(repo, commit))
        return Found(from_commit(repo, commit), self._here / CLONE_REPLAYS)

    def kept(self, run_name: str | None) -> list[Found]:
        """Return all kept trials of a run, or of the last one, by number."""
        stored = StoredRun.find(self._runs, run_name)
        found = [self._of_run(stored, trial.number) for trial in stored.history.trials if trial.kept]
        if not found:
            raise UsageError(f"{stored.run_id} has no kept trial; `agent log {stored.run_id}` lists its trials")
        return found

    def _of_run(self, stored: StoredRun, number: int) -> Found:
        return self._found(stored, from_journal(stored, number, self._seed))

    def _found(self, stored: StoredRun, recorded: Recorded) -> Found:
        measured = measured_sigma(self._runs, stored.config.task_digest)
        return Found(
            recorded if measured is None else replace(recorded, sigma=measured),
            stored.paths.replays,
            Path(stored.config.task_folder),
            stored.paths.compiled,
            stored.config.accept_unenforced,
            stored.config.gpus,
        )


class Clone:
    """A clone of somebody's `trials.git`: RUN/7, or the hash of a commit."""

    def __init__(self, repo: TrialRepo, here: Path) -> None:
        self._repo = repo
        self._here = here

    def trial(self, name: str) -> Found:
        """Return the trial of that name or commit. Raises UsageError if there is none."""
        refuse_minimal(name)
        if is_trial_name(name):
            run_id, number = trial_name(name)
            if run_id is None:
                raise UsageError(f"{name}: in a clone there is no last run; write RUN/{number}, or a hash")
            name = f"refs/tags/{run_id}/{number:04d}"
        return self._found(name)

    def kept(self, run_name: str | None) -> list[Found]:
        """Return the trials on the branch of a run, the baseline first."""
        if run_name is None:
            raise UsageError("in a clone there is no last run; name one: agent replay RUN --all-kept")
        tip = self._repo.branch(run_name) or self._repo.branch(run_name, remote="origin")
        if tip is None:
            raise UsageError(f"{self._repo.path} has no branch {run_name}; `git branch --all` lists its runs")
        return [self._found(commit) for commit in self._repo.chain(tip)]

    def _found(self, revision: str) -> Found:
        return Found(from_commit(self._repo, _commit(self._repo, revision)), self._here / CLONE_REPLAYS)


def open_source(runs: RunsFolder, repo: Path | None, here: Path, seed: int | None) -> Runs | Clone:
    """Return where to look: in the repository that was given, else among the runs, else in the clone around `here`."""
    if repo is None and runs.run_ids():
        return Runs(runs, here, seed)
    clone = TrialRepo.containing(repo or here)
    if clone is not None:
        return Clone(clone, here)
    if repo is not None:
        raise UsageError(f"{repo} is no git repository; give a clone of a trials.git with --repo DIR")
    raise UsageError(
        f"there is no run in {runs.root}, and {here} is not in a clone of a trials.git; name one with --runs or --repo"
    )


def _commit(repo: TrialRepo, revision: str) -> str:
    try:
        return repo.find(revision)
    except RepoError as error:
        raise UsageError(str(error)) from error


def is_trial_name(text: str) -> bool:
    """Return whether text is RUN/7 or 7, and no hash: a shortened hash has seven digits at least."""
    number = text.rpartition("/")[2]
    return number.isdigit() and len(number) <= 6
