"""Slices of text or rows that no job has seen: they confirm the gains of a run, and are opened one by one."""

import glob
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.errors import JournalError
from agent.task.host_commands.prepared import DIVISION, OPENED, digest_of, digest_of_file
from agent.trials.keeping.noise import Lead
from agent.trials.trial import Score


@dataclass(frozen=True)
class Contender:
    """A model to compare."""

    name: str  # "baseline", "champion", "challenger": names logs and jobs
    artifact: Path
    files: Path  # the exported tree of the trial that saved it


@dataclass(frozen=True)
class Burned:
    """The slice is used up, and decides nothing."""

    model: str  # whose answer is missing
    reason: str  # one line; the job can choose only between the few kinds of failure
    jobs: Sequence[Mapping[str, Any]]  # what the sandbox observed of each, for people


class Answers(Protocol):
    """The answers of all models on one slice."""

    @property
    def losses(self) -> Mapping[str, float]:
        """The loss of each model on the slice, minimised, in the metric's unit."""
        ...

    def lead(self, better: Collection[str], worse: str | Collection[str]) -> Lead:
        """Return how far the mean loss of some models is below that of one or several others, with its error."""
        ...


class SliceSource(Protocol):
    """The slices of a task. All models answer about one slice, and the host has their answers before any job could use
    the targets."""

    @property
    def digest(self) -> str:
        """Hash of all slices."""
        ...

    @property
    def n_slices(self) -> int: ...

    @property
    def n_items(self) -> int:
        """The number of sequences or rows in each slice."""
        ...

    @property
    def n_standing(self) -> int:
        """The number of them in the standing split, on which every trial is scored."""
        ...

    @property
    def expected_error(self) -> float | None:
        """Expected standard error of a lead on one slice from the sampling of its items, in the metric's unit.

        None: it is not known beforehand.
        """
        ...

    @property
    def openings(self) -> "Openings":
        """The record of which runs of this machine have opened which slices."""
        ...

    def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
        """Return a sentence if the task's score program cannot answer about slices, None if it can.

        Args:
            baseline: the user's own script, for which slices must work if they work for any.
            score: the baseline's, whose cost limits the time for an answer.
            folder: receives logs.
            label: prefix of the names of the jobs.

        Raises:
            SandboxError: a sandbox failed, not the program.
        """
        ...

    def ask(
        self, number: int, models: Sequence[Contender], score: Score | None, *, folder: Path, label: str
    ) -> Answers | Burned:
        """Return the answers of all models on a slice, or why it is burned.

        Args:
            score: the baseline's, whose cost limits the time for an answer.
            folder: receives logs and answers. Answers of an earlier process, for the same models, are used: they were
                on the disk before anything that could reveal the targets was shown.
            label: prefix of the names of the jobs, "RUN/slice-003".

        Raises:
            SandboxError: a sandbox failed, not a script.
        """
        ...


class Openings:
    """The record of which runs of this machine have opened which slices: a file beside the slices.

    A line names the slice, its opener (a run, or the record of a question asked after the search), and the runs whose
    models were evaluated, if these are others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_pool(cls, cache: Path, task_name: str, digest: str) -> "Openings | None":
        """Return the openings of the pool or division with this digest, without reading its slices; None if the cache
        does not hold it."""
        for meta in sorted(cache.glob(f"{glob.escape(task_name)}-pool-*/meta.json")):
            try:
                found = digest_of(json.loads(meta.read_bytes())["slices"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # of another version, or not complete yet
            if found == digest:
                return cls(meta.parent / OPENED)
        for division in sorted(cache.glob(f"rows-*/{DIVISION}")):
            if digest_of_file(division) == digest:
                return cls(division.parent / OPENED)
        return None

    def n_untouched(self, n_slices: int) -> int:
        """Return how many of the first `n_slices` slices no run of this machine has opened."""
        return n_slices - len(self.others("").keys() & set(range(n_slices)))

    def others(self, run: str) -> dict[int, int]:
        """Return by slice how many openers other than `run` have opened it."""
        found: dict[int, set[str]] = {}
        for line in self._lines():
            if line.number is not None:
                found.setdefault(line.number, set()).add(line.run)
        return {number: len(runs - {run}) for number, runs in found.items()}

    def next(
        self, run: str, n_slices: int, taken: Collection[int], about: Collection[str] = ()
    ) -> tuple[int, int] | None:
        """Record durably that `run` opens the next slice; return its number and how many others have opened it.

        Slices that the fewest others have opened come first. Skipped are slices that another opener opened about `run`,
        and slices that were opened by or about a run in `about`. None: no slice is left.

        Args:
            run: name of the opener, unique among all on this machine, including removed runs.
            taken: slices that it has opened before.
            about: names of the runs whose models are evaluated, if not those of `run` alone.

        Raises:
            JournalError: it cannot be written.
        """
        return self._take("slice", run, n_slices, taken, about)

    def reserve(self, run: str, n_slices: int, taken: Collection[int], about: Collection[str]) -> int | None:
        """Reserve the next slice, so that the runs in `about` cannot open it; return its number, None if none is left.

        Raises:
            JournalError: it cannot be written.
        """
        found = self._take("reserved", run, n_slices, taken, about)
        return None if found is None else found[0]

    def _take(
        self, key: str, run: str, n_slices: int, taken: Collection[int], about: Collection[str]
    ) -> tuple[int, int] | None:
        from filelock import FileLock

        with FileLock(f"{self._path}.lock", mode=0o600):
            others, runs = self.others(run), {run, *about}
            seen = {line.shown for line in self._lines() if line.run != run and runs & {line.run, *line.about}}
            free = [(others.get(number, 0), number) for number in range(n_slices) if number not in {*taken, *seen}]
            if not free:
                return None
            n_others, number = min(free)
            line = {key: number, "run": run, **({"about": sorted(about)} if about else {})}
            try:
                self._append(json.dumps(line) + "\n")
            except OSError as error:
                raise JournalError(
                    f"cannot write to {self._path}: {error.strerror}; make room and continue with `agent resume`"
                ) from error
        return number, n_others

    def _lines(self) -> "Iterator[_Opening]":
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            try:
                found = json.loads(line)
                shown = int(found["slice"] if "slice" in found else found["reserved"])
                number = shown if "slice" in found else None
                yield _Opening(number, shown, str(found["run"]), frozenset(map(str, found.get("about", ()))))
            except (ValueError, KeyError, TypeError):
                continue  # torn: the process was killed before it showed any of the slice

    def _append(self, line: str) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            end = os.fstat(fd).st_size
            torn = end > 0 and not self._path.read_bytes().endswith(b"\n")
            try:
                data = memoryview(("\n" + line if torn else line).encode())
                while data:
                    data = data[os.write(fd, data) :]
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, end)  # shrinking works on a full disk
                raise
        finally:
            os.close(fd)


@dataclass(frozen=True)
class _Opening:
    """A line of the file."""

    number: int | None  # of the slice that was opened; None: it is only reserved
    shown: int  # of the slice, opened or reserved
    run: str
    about: frozenset[str]
