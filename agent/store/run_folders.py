"""The folders of runs and their commits: whether a new run may have a name, and the removal of a run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.errors import AgentError, UsageError
from agent.files import plain_folder
from agent.store.git_repo import TrialRepo
from agent.store.paths import RunsFolder
from agent.store.run_config import load
from agent.store.run_lock import locked

_REMOVED = ".{}.removed"  # hidden name of the folder of a run that is being removed


def has_commits(runs: RunsFolder, run_id: str) -> bool:
    """Return whether the repository of all runs has tags of that run, which may have no folder."""
    return runs.repo.exists() and run_id in TrialRepo(runs.repo).run_ids()


def refuse_taken(runs: RunsFolder, run_id: str) -> None:
    """Raise UsageError unless a new run may have that name.

    It may not inherit the commits of a run whose folder was deleted by hand. A folder without run.json and journal is
    free: a kill left it.
    """
    paths = runs.run(run_id)
    if paths.comparison.exists():
        raise UsageError(f"the name {run_id} is taken by a comparison; choose another --name")
    if paths.run_json.exists() or paths.journal.exists():
        raise UsageError(f"the name {run_id} is taken; choose another --name, or `agent resume {run_id}`")
    if has_commits(runs, run_id):
        raise UsageError(
            f"the name {run_id} is taken: {runs.repo} has commits of a run of that name, whose folder is gone; "
            f"`agent rm {run_id} --runs {runs.root}` removes them, or choose another --name"
        )


def runs_that_start_from(runs: RunsFolder, run_id: str) -> list[str]:
    """Return the names of the runs that need a commit of this run, because one of its trials is their baseline.

    A run that cannot be read needs nothing: it cannot be resumed either.
    """
    found = []
    for name in runs.run_ids():
        with suppress(AgentError, PermissionError):
            start = load(runs.run(name).run_json).of_trial
            found += [name] if name != run_id and start is not None and start.startswith(f"{run_id}/") else []
    return found


def remove_run(runs: RunsFolder, run_id: str) -> None:
    """Remove a run's branch, tags and folder, as far as they exist.

    The commits go first, so that no new run of that name inherits them. Then the folder gets a hidden name in one step,
    under which `finish_removals` finds it after a kill.

    Raises:
        UsageError: another process has the run open, or a file cannot be removed.
    """
    paths = runs.run(run_id)
    with locked(paths), _named_faults(paths.root):
        if runs.repo.exists():
            TrialRepo(runs.repo).remove(run_id, paths.worktree)
        finish_removals(runs)
        paths.root.rename(runs.root / _REMOVED.format(run_id))
    finish_removals(runs)


def finish_removals(runs: RunsFolder) -> None:
    """Remove what killed or failed removals have left. Raises UsageError if a file cannot be removed."""
    for folder in runs.root.glob(_REMOVED.format("*")):
        with _named_faults(folder), suppress(FileNotFoundError):  # another `agent rm` removes it, too
            shutil.rmtree(plain_folder(folder))


@contextmanager
def _named_faults(folder: Path) -> Iterator[None]:
    """Raise UsageError for a file that cannot be removed."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot remove {error.filename}: {error.strerror}; remove {folder} as a user who may"
        ) from error
