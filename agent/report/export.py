"""Exports a run as files: git bundle, patches, best script, CSV."""

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.report.json_documents import trial_json
from agent.report.trial_table import verdict
from agent.store.git.objects import Commit
from agent.store.git_repo import TrialRepo
from agent.store.stored_run import StoredRun, best_trial, ratchet
from agent.trials.metric import Metric
from agent.trials.trial import Trial

_FIRST = ("number", "commit", "parent", "status", "verdict", "kept")
_THEN = (
    *("origin", "copied_from", "seed", "train_seconds", "wall_seconds", "total_seconds", "cpu_seconds"),
    *("slot", "device", "slot_seconds", "queued_seconds", "elapsed_seconds"),
    *("peak_memory_gb", "peak_vram_gb", "self_reported", "started_at", "finished_at", "title", "reason"),
)
_PREFIX = "params."


@dataclass(frozen=True)
class Exported:
    """The files that an export wrote, all in one folder."""

    folder: Path
    bundle: Path  # all trials: `git clone` reads it
    patches: tuple[Path, ...]  # the kept trials after the baseline, in order, for `git am`; empty if there is none
    script: Path  # of the best trial
    table: Path
    best: Trial


def export(stored: StoredRun, folder: Path, *, force: bool = False) -> Exported:
    """Write a run into a new folder, in formats that others can read without this program.

    The folder appears complete or not at all. With `force` it may exist already: files of the same names are replaced.

    Raises:
        UsageError: the run has no trial with a loss, `folder` exists already, or it cannot be created.
    """
    best = best_trial(stored)
    if os.path.lexists(folder) and not (
        folder.is_dir() and (force or not (folder.is_symlink() or any(folder.iterdir())))
    ):
        raise UsageError(
            f"{folder} exists and is not empty; choose another with --out DIR, or write into it with --force"
        )
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        growing = Path(tempfile.mkdtemp(prefix=f".{folder.name[:80]}.", dir=folder.absolute().parent))
        growing.chmod(0o755)
    except OSError as error:
        raise UsageError(
            f"cannot create a folder beside {folder}: {error.strerror}; choose another with --out DIR"
        ) from None
    try:
        _write(stored, best, growing)
        if folder.exists():
            _move_into(growing, folder)
        else:
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


def _move_into(growing: Path, folder: Path) -> None:
    """Move files into a folder, replacing files of the same names."""
    for path in sorted(growing.rglob("*")):
        target = folder / path.relative_to(growing)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            path.replace(target)


def _write(stored: StoredRun, best: Trial, folder: Path) -> None:
    run_id = stored.run_id
    bundle = str((folder / f"{run_id}.bundle").resolve())
    stored.repo.run(["bundle", "create", "--quiet", bundle, f"refs/heads/{run_id}", f"--tags={run_id}/*"])
    _write_patches(stored, (folder / "patches").resolve())
    task = stored.task(best.number)
    script = folder / task.script
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(task.source, encoding="utf-8")
    table = spreadsheet(stored.history.trials, stored.hashes, stored.metric)
    (folder / "trials.csv").write_text(table, encoding="utf-8")


def _write_patches(stored: StoredRun, folder: Path) -> None:
    """Write each kept trial on the way to the best one as a patch of the trial that it edited.

    Git compares a commit with its parent, which may be another trial, so the commits are made again, in a line.
    """
    first, *others = ratchet(stored)
    if not others:
        return
    with tempfile.TemporaryDirectory() as scratch:
        repo, parent = TrialRepo(Path(scratch) / "trials.git"), None
        for trial in (first, *others):
            sha = stored.hashes[trial.number]
            message = stored.repo.message(sha).rstrip("\n") + "\n"
            commit = Commit(stored.repo.read(sha), message, parent, trial.finished_at or trial.started_at)
            parent = repo.record(stored.run_id, trial.number, commit, advance=True)
        options = ["--quiet", "--no-signature", "--zero-commit", "--output-directory", str(folder)]
        repo.run(["format-patch", *options, f"{stored.run_id}/{first.number:04d}..{parent}"])


def spreadsheet(trials: Iterable[Trial], hashes: Mapping[int, str], metric: Metric) -> str:
    """Return CSV with a heading and one row per trial: facts, the metric under its own name, one `params.NAME` each.

    A metric that is called like another column stands under `value`.

    Unknown values, such as a failed trial's metric, are empty cells.
    """
    rows = [
        {**trial_json(trial, hashes.get(trial.number), metric), "verdict": verdict(trial)} for trial in list(trials)
    ]
    names = sorted({name for row in rows for name in row["params"] or {}})
    heading, facts = metric.name, (*_FIRST, "value", *_THEN)
    if heading in facts or heading.startswith(_PREFIX):
        heading = "value"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, heading, *_THEN, *(_PREFIX + name for name in names)])
    for row in rows:
        params = row["params"] or {}
        writer.writerow([*(_cell(row[column]) for column in facts), *(_cell(params.get(name)) for name in names)])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as written in a cell; numbers keep all digits.

    Text that begins like a formula gets a leading quote: models write titles, and a spreadsheet would compute them.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
