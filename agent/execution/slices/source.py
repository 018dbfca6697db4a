"""Where a run's gains are confirmed: slices of text or rows that no job has seen, opened one by one."""

import glob
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.errors import JournalError
from agent.task.prepared import DIVISION, OPENED, digest_of, digest_of_file
from agent.trials.noise import Lead
from agent.trials.trial import Score


@dataclass(frozen=True)
class Contender:
    """A model that is compared."""

    name: str  # "baseline", "champion", "challenger": of logs and jobs
    artifact: Path
    files: Path  # the exported tree of the trial that left it


@dataclass(frozen=True)
class Burned:
    """The slice is used up, and decides nothing."""

    model: str  # whose answer is missing
    reason: str  # one line, in which nothing is that the job chose but which of few kinds of failure it is
    jobs: Sequence[Mapping[str, Any]]  # what the sandbox observed of each, for people


class Answers(Protocol):
    """What all models answered on one slice."""

    @property
    def losses(self) -> Mapping[str, float]:
        """The loss of each model on the slice, minimised, in the metric's unit."""
        ...

    def lead(self, better: Collection[str], worse: str | Collection[str]) -> Lead:
        """Return by how much the mean loss of some models lies below that of another, or of others, with its error."""
        ...


class SliceSource(Protocol):
    """The slices of a task. One is shown to all models at once, and what they answer is on the host before its targets
    are of use to anybody."""

    @property
    def digest(self) -> str:
        """Hash of all slices."""
        ...

    @property
    def n_slices(self) -> int: ...

    @property
    def n_items(self) -> int:
        """Sequences, or rows, of each slice."""
        ...

    @property
    def n_standing(self) -> int:
        """The same of the standing split, that every trial is scored on."""
        ...

    @property
    def expected_error(self) -> float | None:
        """Standard error of sampling the text that a lead on one slice is expected to have, in the metric's unit.

        None: nothing is known of it beforehand.
        """
        ...

    @property
    def openings(self) -> "Openings":
        """Which runs of this machine have opened which slices."""
        ...

    def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
        """Return a sentence if the task's score program cannot answer about slices, None if it can.

        Args:
            baseline: the user's own script, for which it must work if it is to work at all.
            score: the baseline's, whose cost says how long an answer may take.
            folder: receives logs.
            label: begins the names of the jobs.

        Raises:
            SandboxError: a sandbox failed, not the program.
        """
        ...

    def ask(
        self, number: int, models: Sequence[Contender], score: Score | None, *, folder: Path, label: str
    ) -> Answers | Burned:
        """Return what all models answer on a slice, or why it is burned.

        Args:
            score: the baseline's, whose cost says how long an answer may take.
            folder: receives logs and answers. What an earlier process had of them, for the same models, is used: it was
                on the disk before anything that could tell the targets was shown.
            label: begins the names of the jobs, "RUN/slice-003".

        Raises:
            SandboxError: a sandbox failed, not a script.
        """
        ...


class Openings:
    """Which runs of this machine have opened which slices: a file beside them.

    A line names the slice, who opened it (a run, or a file that says what a slice was opened for after the search), and
    the runs whose models were asked, where these are others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of_pool(cls, cache: Path, task_name: str, digest: str) -> "Openings | None":
        """Return those of the pool, or of the division, with a digest, without reading its slices; None if it is not in
        the cache."""
        for meta in sorted(cache.glob(f"{glob.escape(task_name)}-pool-*/meta.json")):
            try:
                found = digest_of(json.loads(meta.read_bytes())["slices"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # another version's, or one that is being made
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
        """Return by slice how many others than `run` have opened it."""
        found: dict[int, set[str]] = {}
        for line in self._lines():
            if line.number is not None:
                found.setdefault(line.number, set()).add(line.run)
        return {number: len(runs - {run}) for number, runs in found.items()}

    def next(
        self, run: str, n_slices: int, taken: Collection[int], about: Collection[str] = ()
    ) -> tuple[int, int] | None:
        """Note that `run` opens the next slice, on the disk; return its number and how many others have opened it.

        Those that fewest others have opened come first. Not those that were opened about `run` by somebody else, or by
        or about the runs that this is about. None: no slice is left.

        Args:
            run: what no other run of this machine is called, nor one that was removed.
            taken: slices that it has opened before.
            about: names of the runs whose models are asked, if that is not `run` alone.

        Raises:
            JournalError: it cannot be written.
        """
        return self._take("slice", run, n_slices, taken, about)

    def reserve(self, run: str, n_slices: int, taken: Collection[int], about: Collection[str]) -> int | None:
        """Keep the runs that this is about from opening the slice that would be the next; return it, None if none is.

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
        for line in self._path.read_text().splitlines() if self._path.exists() else ():
            try:
                found = json.loads(line)
                shown = int(found["slice"] if "slice" in found else found["reserved"])
                number = shown if "slice" in found else None
                yield _Opening(number, shown, str(found["run"]), frozenset(map(str, found.get("about", ()))))
            except (ValueError, KeyError, TypeError):
                continue  # torn: the process was killed before it showed anything

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

    number: int | None  # of the slice that was opened; None: it was only reserved
    shown: int  # of either
    run: str
    about: frozenset[str]
