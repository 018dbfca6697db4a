"""Every file name that a run produces, in one place.

So this is also where links, FIFOs and devices are refused, whoever reads or writes a file of a run: to take a path from
here raises UnsafeFileError if there is something at it, or at a folder above it in the run, that no run makes there.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.files import RUNS_MARKER, plain_file, plain_folder

RUN_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}"
"""What the name of a run, which is also that of a folder and of a branch, looks like."""


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial."""

    root: Path

    @property
    def files(self) -> Path:
        """The exported tree that the sandboxes see."""
        return plain_folder(self.root / "files")

    @property
    def log(self) -> Path:
        """What the training job printed, bounded and made inert."""
        return plain_file(self.root / "train.log")

    @property
    def artifact(self) -> Path:
        """What the training job left behind. Never loaded by the host."""
        return plain_file(self.root / "artifact")

    @property
    def score(self) -> Path:
        """Evidence of the score."""
        return plain_folder(self.root / "score")

    @property
    def smoke(self) -> "TrialPaths":
        """The same files of the rehearsal before it."""
        return TrialPaths(plain_folder(self.root / "smoke"))

    def repeat(self, seed: int) -> "TrialPaths":
        """The same files of a run of its script under another training seed."""
        return TrialPaths(plain_folder(self.root / f"seed-{seed}"))

    @property
    def llm(self) -> Path:
        """Requests to the model and its replies, one JSON object a line."""
        return plain_file(self.root / "llm.jsonl")


@dataclass(frozen=True)
class AttributionPaths:
    """The files of one attribution."""

    root: Path

    @property
    def readings(self) -> Path:
        """Every run that was made for it, one JSON object a line."""
        return plain_file(self.root / "readings.jsonl")

    @property
    def minimal(self) -> Path:
        """The script with only the changes that carry something; missing where it is no smaller, or not as good."""
        return plain_file(self.root / "minimal.py")

    @property
    def patch(self) -> Path:
        """Its difference to the baseline's script."""
        return plain_file(self.root / "minimal.patch")

    def run(self, script: str, seed: int) -> TrialPaths:
        """The files of one run of a script, given by its hash, under a training seed."""
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
        """In a folder with this there is no run: it says which runs a comparison of that name is made of."""
        return plain_file(self.root / "compare.json")

    @property
    def journal(self) -> Path:
        return plain_file(self.root / "journal.jsonl")

    @property
    def lock(self) -> Path:
        return plain_file(self.root / "run.lock")

    @property
    def lock_owner(self) -> Path:
        """Says which process holds the lock."""
        return plain_file(self.root / "run.pid")

    @property
    def results_tsv(self) -> Path:
        return plain_file(self.root / "results.tsv")

    @property
    def compiled(self) -> Path:
        """Compiler caches that the baseline's job saved. Never opened by the host."""
        return plain_file(self.root / "compiled.tar")

    @property
    def canary(self) -> Path:
        """What the canary that measures the machine's speed was last run with, and what it printed."""
        return plain_folder(self.root / "canary")

    @property
    def verified(self) -> Path:
        """What a slice of unseen text, or else the test split, said of the result, once somebody has asked."""
        return plain_file(self.root / "verified.json")

    @property
    def unseen(self) -> Path:
        """Of a comparison: what a slice of unseen text said of the results of its runs."""
        return plain_file(self.root / "unseen.json")

    def slice(self, number: int) -> Path:
        """What models answered on a slice of unseen text, and what their jobs printed."""
        return plain_folder(plain_folder(self.root / "slices") / f"{number:03d}")

    @property
    def rehearsal(self) -> Path:
        """What the baseline answered when it was tried whether it answers in rounds."""
        return plain_folder(plain_folder(self.root / "slices") / "rehearsal")

    @property
    def worktree(self) -> Path:
        return plain_folder(self.root / "worktree")

    @property
    def replays(self) -> Path:
        """What came of running its trials again; nothing else of the run is touched by that."""
        return plain_folder(self.root / "replays")

    def trial(self, number: int) -> TrialPaths:
        return TrialPaths(plain_folder(plain_folder(self.root / "trials") / f"{number:04d}"))

    def attribution(self, number: int) -> AttributionPaths:
        """What came of taking the changes of a trial out one by one."""
        return AttributionPaths(plain_folder(plain_folder(self.root / "attribution") / f"{number:04d}"))


@dataclass(frozen=True)
class RunsFolder:
    """The folder of all runs: a bare repository and one folder a run."""

    root: Path

    @property
    def repo(self) -> Path:
        return plain_folder(self.root / "trials.git")

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(plain_folder(self.root / run_id))

    def run_ids(self) -> list[str]:
        """Return the names of all runs, the oldest first."""
        return self._named(lambda run: run.run_json)

    def comparison_ids(self) -> list[str]:
        """Return the names of all comparisons, the oldest first."""
        return self._named(lambda run: run.comparison)

    def _named(self, file_of: Callable[[RunPaths], Path]) -> list[str]:
        """Return the folders that have a file, the one whose file is the oldest first."""
        if not self.root.is_dir():
            return []
        files = [file_of(self.run(name)) for name in self._folders()]
        found = [(file.stat().st_mtime_ns, file.parent.name) for file in files if file.exists()]
        return [name for _, name in sorted(found)]

    def _folders(self) -> list[str]:
        """Return the names of what is no file in it: of folders, and of links that are yet to be refused."""
        with os.scandir(self.root) as entries:
            found = [(entry.name, entry.is_file(follow_symlinks=False)) for entry in entries]
        return sorted(name for name, is_file in found if not is_file and re.fullmatch(RUN_NAME, name))

    def prepare(self) -> None:
        """Make the folder ours, or check that it is.

        Raises:
            UsageError: it is a file, or a folder with things in it that no run made.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file; give a folder with --runs DIR")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            ours = {RUNS_MARKER, ".gitignore", "README.md", self.repo.name}
            ours |= {*self.run_ids(), *self.comparison_ids()}
            foreign = [path.name for path in self.root.iterdir() if path.name not in ours]
            if not plain_file(self.root / RUNS_MARKER).exists():
                if foreign:
                    raise UsageError(
                        f"{self.root} holds files that are not runs ({sorted(foreign)[0]}, …); "
                        "give an empty or new folder with --runs DIR"
                    )
                (self.root / RUNS_MARKER).write_text("This folder belongs to `agent run`. See docs/format.md.\n")
            if not plain_file(self.root / ".gitignore").exists():
                # Runs made inside a user's repository must not show up in its `git status`.
                (self.root / ".gitignore").write_text("*\n!README.md\n")
        except OSError as error:
            raise UsageError(f"cannot write to {self.root}: {error.strerror}; give another --runs DIR") from error
