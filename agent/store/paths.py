"""All paths of a run's files, in one place.

So links, FIFOs and devices are refused here too, for every reader and writer of a run's files: every path property
raises UnsafeFileError if the path, or a folder above it in the run, is something that no run makes there.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.files import RUNS_MARKER, plain_file, plain_folder

RUN_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}"
"""Pattern of a run's name, which also names a folder and a branch."""


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial."""

    root: Path

    @property
    def files(self) -> Path:
        """The exported files that sandboxes see."""
        return plain_folder(self.root / "files")

    @property
    def log(self) -> Path:
        """The output of the training job, limited in size and made safe to print."""
        return plain_file(self.root / "train.log")

    @property
    def stdout(self) -> Path:
        """The standard output alone; missing in runs of earlier versions."""
        return plain_file(self.root / "train.stdout.log")

    @property
    def stderr(self) -> Path:
        """The standard error alone; missing in runs of earlier versions."""
        return plain_file(self.root / "train.stderr.log")

    @property
    def artifact(self) -> Path:
        """The model that the training job saved. The host never loads it."""
        return plain_file(self.root / "artifact")

    @property
    def score(self) -> Path:
        """The evidence for the score."""
        return plain_folder(self.root / "score")

    @property
    def smoke(self) -> "TrialPaths":
        """The same files for the trial's smoke test."""
        return TrialPaths(plain_folder(self.root / "smoke"))

    def repeat(self, seed: int) -> "TrialPaths":
        """The same files for a repeat of the trial under another training seed."""
        return TrialPaths(plain_folder(self.root / f"seed-{seed}"))

    @property
    def agent(self) -> Path:
        """The files that a coding agent was given, its log and its result."""
        return plain_folder(self.root / "agent")

    @property
    def llm(self) -> Path:
        """Requests to the model and its replies, one JSON object per line."""
        return plain_file(self.root / "llm.jsonl")


@dataclass(frozen=True)
class AttributionPaths:
    """The files of one ablation (`agent attribute`)."""

    root: Path

    @property
    def readings(self) -> Path:
        """The runs of the ablation, one JSON object per line."""
        return plain_file(self.root / "readings.jsonl")

    @property
    def minimal(self) -> Path:
        """The script with only the changes that matter; missing if it is not smaller, or not as good."""
        return plain_file(self.root / "minimal.py")

    @property
    def patch(self) -> Path:
        """The diff from the baseline's script to the minimal one."""
        return plain_file(self.root / "minimal.patch")

    def run(self, script: str, seed: int) -> TrialPaths:
        """The files of one run of a script, identified by its hash, under a training seed."""
        return TrialPaths(plain_folder(self.root / script)).repeat(seed)


@dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    @property
    def run_json(self) -> Path:
        return plain_file(self.root / "run.json")

    @property
    def comparison(self) -> Path:
        """The list of the runs of a comparison; a folder with this file is a comparison and not a run."""
        return plain_file(self.root / "compare.json")

    @property
    def journal(self) -> Path:
        return plain_file(self.root / "journal.jsonl")

    @property
    def lock(self) -> Path:
        return plain_file(self.root / "run.lock")

    @property
    def lock_owner(self) -> Path:
        """The process that holds the lock."""
        return plain_file(self.root / "run.pid")

    @property
    def work(self) -> Path:
        """What the process that has the run open is doing; see agent.report.live.work."""
        return plain_file(self.root / "work.json")

    @property
    def results_tsv(self) -> Path:
        return plain_file(self.root / "results.tsv")

    @property
    def jobs(self) -> Path:
        """The jobs on a cluster, while they run."""
        return plain_folder(self.root / "jobs")

    @property
    def compiled(self) -> Path:
        """Compiler caches that the baseline's job saved. The host never opens them."""
        return plain_file(self.root / "compiled.tar")

    @property
    def canary(self) -> Path:
        """Input and output of the last canary, which measures the machine's speed."""
        return plain_folder(self.root / "canary")

    @property
    def verified(self) -> Path:
        """The scores of the result on a slice of unseen text or on the test split, if `agent best --verify` ran."""
        return plain_file(self.root / "verified.json")

    @property
    def unseen(self) -> Path:
        """For a comparison: the scores of its runs' results on a slice of unseen text."""
        return plain_file(self.root / "unseen.json")

    @property
    def inbox(self) -> Path:
        """Messages from other processes; see agent.store.inbox."""
        return plain_folder(self.root / "inbox")

    def notes(self, digest: str) -> Path:
        """The task's notes.md with that hash, as proposers of this run read it."""
        return plain_file(plain_folder(self.root / "notes") / f"{digest}.md")

    @property
    def runner_log(self) -> Path:
        """The output of runners: the processes in the background that run submissions."""
        return plain_file(self.root / "runner.log")

    def slice(self, number: int) -> Path:
        """The answers of models on a slice of unseen text, and the output of their jobs."""
        return plain_folder(plain_folder(self.root / "slices") / f"{number:03d}")

    @property
    def rehearsal(self) -> Path:
        """The baseline's answers in the test of whether it answers in rounds."""
        return plain_folder(plain_folder(self.root / "slices") / "rehearsal")

    @property
    def worktree(self) -> Path:
        return plain_folder(self.root / "worktree")

    @property
    def replays(self) -> Path:
        """The results of replays of its trials, which change no other file of the run."""
        return plain_folder(self.root / "replays")

    @property
    def n_bytes(self) -> int:
        """Size of all files of the run, in bytes, without its commits; links count as themselves."""
        found = (Path(place, name) for place, _, names in os.walk(self.root) for name in names)
        return sum(_size_of(path) for path in found)

    def trial(self, number: int) -> TrialPaths:
        return TrialPaths(plain_folder(plain_folder(self.root / "trials") / f"{number:04d}"))

    def attribution(self, number: int) -> AttributionPaths:
        """The files of the ablation of a trial's changes."""
        return AttributionPaths(plain_folder(plain_folder(self.root / "attribution") / f"{number:04d}"))


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # a run that is at work removes files
        return 0


@dataclass(frozen=True)
class RunsFolder:
    """The folder of all runs: a bare repository and one folder per run."""

    root: Path

    @property
    def repo(self) -> Path:
        return plain_folder(self.root / "trials.git")

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(plain_folder(self.root / run_id))

    def run_ids(self) -> list[str]:
        """Return the names of all runs, oldest first."""
        return self._named(lambda run: run.run_json)

    def comparison_ids(self) -> list[str]:
        """Return the names of all comparisons, oldest first."""
        return self._named(lambda run: run.comparison)

    def closed_ids(self) -> list[str]:
        """Return the names of the folders that this user may not look into, which can be runs or comparisons."""
        if not self.root.is_dir():
            return []
        return [name for name in self._folders() if not os.access(self.root / name, os.X_OK, effective_ids=True)]

    def _named(self, file_of: Callable[[RunPaths], Path]) -> list[str]:
        """Return the names of the folders with a certain file, sorted by the file's age, oldest first.

        Folders that this user may not look into are left out, and those that are removed meanwhile.
        """
        if not self.root.is_dir():
            return []
        found = []
        for name in self._folders():
            with suppress(PermissionError, FileNotFoundError):
                file = file_of(self.run(name))
                found.append((file.stat().st_mtime_ns, name))
        return [name for _, name in sorted(found)]

    def _folders(self) -> list[str]:
        """Return the names of its folders, and of links, which are refused later."""
        with os.scandir(self.root) as entries:
            found = [(entry.name, entry.is_file(follow_symlinks=False)) for entry in entries]
        return sorted(name for name, is_file in found if not is_file and re.fullmatch(RUN_NAME, name))

    def prepare(self) -> None:
        """Make the folder of runs if it does not exist; else check that it is one.

        Raises:
            UsageError: it is a file, or a folder with files that no run made, or it cannot be written to.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file; give a folder with --runs DIR")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            ours = {RUNS_MARKER, ".gitignore", "README.md", self.repo.name}
            ours |= {*self.run_ids(), *self.comparison_ids(), *self.closed_ids()}
            foreign = [path.name for path in self.root.iterdir() if path.name not in ours]
            if not plain_file(self.root / RUNS_MARKER).exists():
                if foreign:
                    raise UsageError(
                        f"{self.root} holds files that are not runs ({sorted(foreign)[0]}, …); "
                        "give an empty or new folder with --runs DIR"
                    )
                (self.root / RUNS_MARKER).write_text(
                    "This folder belongs to `agent run`. See docs/format.md.\n", encoding="utf-8"
                )
            if not plain_file(self.root / ".gitignore").exists():
                # Runs inside a user's repository must not appear in its `git status`.
                (self.root / ".gitignore").write_text("*\n!README.md\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write to {self.root}: {error.strerror}; give another --runs DIR") from error
