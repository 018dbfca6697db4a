"""Runs that are killed and resumed, and what must be the same in the end as in a run that nobody killed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.store.git_repo import TrialRepo
from agent.store.journal import read_history
from agent.store.paths import RunsFolder
from agent.store.run_config import load

ROOT = Path(__file__).parents[2]
INSTANT = ROOT / "tests" / "tasks" / "instant"
_MEASURED = {
    *("at", "seconds", "train_seconds", "wall_seconds", "total_seconds", "cpu_seconds", "smoke_seconds"),
    *("peak_memory_gb", "peak_vram_gb", "machine", "void"),
}


def task_without_numbers(folder: Path) -> Path:
    """Make the task in tests/tasks/instant, whose own script has nothing to tune: no range, no name in capitals."""
    task = folder / "instant"
    shutil.copytree(INSTANT, task)
    toml, script = task / "task.toml", task / "train.py"
    toml.write_text(toml.read_text().partition("[space]")[0])
    text = script.read_text()
    for name in ("WIDTH", "SHIFT", "DEPTH", "ORDER"):
        text = text.replace(name, name.lower())
    script.write_text(text)
    return task


@dataclass(frozen=True)
class Death:
    """Where and how a process is to be killed; the default: not at all."""

    place: str | None = None  # as `zygote.boundary` names them
    nth: int = 1
    seconds: float | None = None  # or: from outside, after so long
    file_bytes: int | None = None  # or: in the middle of the write that would make a file longer than this
    whole_group: bool = False  # with the git commands that it has running


NEVER = Death()


class Zygote:
    """Runs `agent` commands in forks of one warm process, in a folder of its own."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.said = ""  # by the last command, both streams
        self.places: dict[str, int] = {}  # that the last command came to, if it was not killed

    def agent(self, *argv: str, death: Death = NEVER, cwd: Path | None = None, **variables: str) -> int:
        """Run one command; return its exit status, or minus the signal that ended it."""
        output = self._folder / "output"
        order = {
            "argv": argv,
            "cwd": str(cwd or self._folder),
            "output": str(output),
            "watched": True,
            "env": {**self._environment, **variables},
            "die_at": death.place,
            "nth": death.nth,
            "kill_after_seconds": death.seconds,
            "file_bytes": death.file_bytes,
            "whole_group": death.whole_group,
        }
        output.write_text("")  # on a busy machine a kill comes before the command opens it
        ended = self._ended(order)
        self.said = output.read_text()
        places = output.with_name("output.places")
        self.places = json.loads(places.read_text()) if places.exists() else {}
        places.unlink(missing_ok=True)
        return ended

    @property
    def _environment(self) -> dict[str, str]:
        own = {"HOME": str(self._folder), "AUTOCENTAUR_TRUST": "1"}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **own}

    def completed(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], at_most_seconds: float | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command with exactly that environment; return what `subprocess.run` would.

        After `at_most_seconds` SIGALRM ends it.
        """
        output, errors = self._folder / "stdout", self._folder / "stderr"
        order = {"argv": argv, "cwd": str(cwd), "output": str(output), "errors": str(errors), "env": dict(env)}
        ended = self._ended({**order, "watched": False, "at_most_seconds": at_most_seconds})
        return subprocess.CompletedProcess(["agent", *argv], ended, output.read_text(), errors.read_text())

    def _ended(self, order: Mapping[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["ended"])

    def within(self, folder: Path) -> "Zygote":
        """Return the same process, for commands in another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return Zygote(self._process, folder)

    @property
    def runs(self) -> RunsFolder:
        return RunsFolder(self._folder / "runs")

    @property
    def folder(self) -> Path:
        return self._folder


@contextmanager
def zygote(folder: Path) -> Iterator[Zygote]:
    """Start the warm process, and end it."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("zygote.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield Zygote(process, folder)
    finally:
        process.stdin.close()
        process.wait(timeout=600)


def contents_of(runs: RunsFolder, run_id: str) -> dict[str, Any]:
    """Return all that a run says, without times and what else is measured: the same for a run that was killed."""
    paths, repo = runs.run(run_id), TrialRepo(runs.repo)
    history = read_history(paths.journal)
    tags = repo.tags(run_id)
    numbers = {sha: number for number, sha in tags.items()}
    parents = {number: _git(runs, "rev-list", "--parents", "-1", sha).split()[1:] for number, sha in tags.items()}
    branch = repo.branch(run_id)
    return {
        "journal": [_without_measurements(json.loads(line)) for line in paths.journal.read_text().splitlines()],
        "trees": {number: _git(runs, "rev-parse", f"{sha}^{{tree}}") for number, sha in sorted(tags.items())},
        "parents": {number: [numbers.get(sha, sha) for sha in shas] for number, shas in sorted(parents.items())},
        "branch": numbers.get(branch) if branch else None,
        "incumbent": history.incumbent.number if history.incumbent else None,
        "results": [line.split("\t")[1::2] for line in paths.results_tsv.read_text().splitlines()],
        "worktree": {
            path.name: path.read_text()
            for path in sorted(paths.worktree.iterdir())
            if path.is_file() and path.name != ".git"
        },
        "artifacts": sorted(str(path.relative_to(paths.root)) for path in paths.root.glob("trials/*/artifact")),
        "config": replace_id(asdict(load(paths.run_json))),
    }


def replace_id(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "run_id": "", "record": None}


def _git(runs: RunsFolder, *argv: str) -> str:
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(runs.repo), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _without_measurements(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_measurements(item) for key, item in value.items() if key not in _MEASURED}
    if isinstance(value, list):
        return [_without_measurements(item) for item in value]
    return value
