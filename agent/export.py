"""A run to take along: a git bundle of all trials, the ratchet as patches, the best script, a table of all trials."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.repo import run_git
from agent.report.spreadsheet import spreadsheet
from agent.report.stored_run import StoredRun
from agent.trial import Trial


@dataclass(frozen=True)
class Exported:
    """What was written, all below one folder."""

    folder: Path
    bundle: Path  # all trials: `git clone` reads it
    patches: tuple[Path, ...]  # the kept trials after the baseline, in order, for `git am`; empty if there is none
    script: Path  # of the best trial
    table: Path
    best: Trial


def export(stored: StoredRun, folder: Path) -> Exported:
    """Write everything about a run that others can use without this program into a new folder.

    It appears whole or not at all.

    Raises:
        UsageError: the run has no trial with a loss, there is something at `folder`, or it cannot be made.
    """
    best = best_trial(stored)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not empty; name another with --out DIR")
    growing = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(growing, ignore_errors=True)
    try:
        growing.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"cannot make a folder beside {folder}: {error.strerror}; name another with --out DIR"
        ) from None
    try:
        _write(stored, best, growing)
        if folder.exists():
            folder.rmdir()
        growing.rename(folder)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return Exported(
        folder=folder,
        bundle=folder / f"{stored.run_id}.bundle",
        patches=tuple(sorted((folder / "patches").glob("*.patch"))),
        script=folder / stored.task(best.number).script,
        table=folder / "trials.csv",
        best=best,
    )


def best_trial(stored: StoredRun) -> Trial:
    """Return the trial that `agent best` shows. Raises UsageError if there is none with a loss."""
    if stored.best is None:
        raise UsageError(f"{stored.run_id} has no trial with a loss yet: there is nothing to export")
    return stored.best


def ratchet(stored: StoredRun) -> list[str]:
    """Return the hashes of the commits from the baseline to the best trial, each the parent of the next."""
    return stored.repo.chain(stored.hashes[best_trial(stored).number])


def _write(stored: StoredRun, best: Trial, folder: Path) -> None:
    run_id, git_dir = stored.run_id, ["--git-dir", str(stored.repo.path)]
    bundle = str((folder / f"{run_id}.bundle").resolve())
    run_git([*git_dir, "bundle", "create", "--quiet", bundle, f"refs/heads/{run_id}", f"--tags={run_id}/*"])
    first, *_, last = [*ratchet(stored), stored.hashes[best.number]]
    if first != last:
        into = ["--output-directory", str((folder / "patches").resolve())]
        run_git([*git_dir, "format-patch", "--quiet", "--no-signature", "--zero-commit", *into, f"{first}..{last}"])
    task = stored.task(best.number)
    script = folder / task.script
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(task.source)
    table = spreadsheet(stored.history.trials, stored.hashes, stored.metric)
    (folder / "trials.csv").write_text(table)
