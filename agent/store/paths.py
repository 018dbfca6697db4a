"""Every file name that a run produces, in one place."""

from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError

_MARKER = ".autocentaur-runs"


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial."""

    root: Path

    @property
    def files(self) -> Path:
        """The exported tree that the sandboxes see."""
        return self.root / "files"

    @property
    def log(self) -> Path:
        """What the training job printed, bounded and made inert."""
        return self.root / "train.log"

    @property
    def artifact(self) -> Path:
        """What the training job left behind. Never loaded by the host."""
        return self.root / "artifact"

    @property
    def score(self) -> Path:
        """Evidence of the score."""
        return self.root / "score"

    @property
    def smoke(self) -> "TrialPaths":
        """The same files of the rehearsal before it."""
        return TrialPaths(self.root / "smoke")

    def repeat(self, seed: int) -> "TrialPaths":
        """The same files of a run of its script under another training seed."""
        return TrialPaths(self.root / f"seed-{seed}")

    @property
    def llm(self) -> Path:
        """Requests to the model and its replies, one JSON object a line."""
        return self.root / "llm.jsonl"


@dataclass(frozen=True)
class AttributionPaths:
    """The files of one attribution."""

    root: Path

    @property
    def readings(self) -> Path:
        """Every run that was made for it, one JSON object a line."""
        return self.root / "readings.jsonl"

    @property
    def minimal(self) -> Path:
        """The script with only the changes that carry something; missing where it is no smaller, or not as good."""
        return self.root / "minimal.py"

    @property
    def patch(self) -> Path:
        """Its difference to the baseline's script."""
        return self.root / "minimal.patch"

    def run(self, script: str, seed: int) -> TrialPaths:
        """The files of one run of a script, given by its hash, under a training seed."""
        return TrialPaths(self.root / script).repeat(seed)


@dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    @property
    def run_json(self) -> Path:
        return self.root / "run.json"

    @property
    def comparison(self) -> Path:
        """In a folder with this there is no run: it says which runs a comparison of that name is made of."""
        return self.root / "compare.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "run.lock"

    @property
    def lock_owner(self) -> Path:
        """Says which process holds the lock."""
        return self.root / "run.pid"

    @property
    def results_tsv(self) -> Path:
        return self.root / "results.tsv"

    @property
    def compiled(self) -> Path:
        """Compiler caches that the baseline's job saved. Never opened by the host."""
        return self.root / "compiled.tar"

    @property
    def canary(self) -> Path:
        """What the canary that measures the machine's speed was last run with, and what it printed."""
        return self.root / "canary"

    @property
    def verified(self) -> Path:
        """What the test split said of the best trial, once somebody has asked."""
        return self.root / "verified.json"

    def slice(self, number: int) -> Path:
        """What models answered on a slice of unseen text, and what their jobs printed."""
        return self.root / "slices" / f"{number:03d}"

    @property
    def rehearsal(self) -> Path:
        """What the baseline answered when it was tried whether it answers in rounds."""
        return self.root / "slices" / "rehearsal"

    @property
    def worktree(self) -> Path:
        return self.root / "worktree"

    @property
    def replays(self) -> Path:
        """What came of running its trials again; nothing else of the run is touched by that."""
        return self.root / "replays"

    def trial(self, number: int) -> TrialPaths:
        return TrialPaths(self.root / "trials" / f"{number:04d}")

    def attribution(self, number: int) -> AttributionPaths:
        """What came of taking the changes of a trial out one by one."""
        return AttributionPaths(self.root / "attribution" / f"{number:04d}")


@dataclass(frozen=True)
class RunsFolder:
    """The folder of all runs: a bare repository and one folder a run."""

    root: Path

    @property
    def repo(self) -> Path:
        return self.root / "trials.git"

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(self.root / run_id)

    def run_ids(self) -> list[str]:
        """Return the names of all runs, the oldest first."""
        if not self.root.is_dir():
            return []
        runs = [path.parent for path in self.root.glob("*/run.json")]
        return [path.name for path in sorted(runs, key=lambda path: (path / "run.json").stat().st_mtime_ns)]

    def comparison_ids(self) -> list[str]:
        """Return the names of all comparisons, the oldest first."""
        if not self.root.is_dir():
            return []
        found = sorted(self.root.glob("*/compare.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.parent.name for path in found]

    def prepare(self) -> None:
        """Make the folder ours, or check that it is.

        Raises:
            UsageError: it is a file, or a folder with things in it that no run made.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file; give a folder with --runs DIR")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            ours = {_MARKER, ".gitignore", "README.md", self.repo.name}
            for own in ("*/run.json", "*/compare.json"):
                ours |= {path.parent.name for path in self.root.glob(own)}
            foreign = [path.name for path in self.root.iterdir() if path.name not in ours]
            if not (self.root / _MARKER).exists():
                if foreign:
                    raise UsageError(
                        f"{self.root} holds files that are not runs ({sorted(foreign)[0]}, …); "
                        "give an empty or new folder with --runs DIR"
                    )
                (self.root / _MARKER).write_text("This folder belongs to `agent run`. See docs/format.md.\n")
            if not (self.root / ".gitignore").exists():
                # Runs made inside a user's repository must not show up in its `git status`.
                (self.root / ".gitignore").write_text("*\n!README.md\n")
        except OSError as error:
            raise UsageError(f"cannot write to {self.root}: {error.strerror}; give another --runs DIR") from error
