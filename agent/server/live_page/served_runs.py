"""The runs that a server shows, and their versions: a page is rendered again if and only if its version has changed."""

import gc
import hashlib
import math
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.analysis.comparison import load
from agent.errors import AgentError, UsageError
from agent.report.live.work import WorkLine, work_lines
from agent.report.runs_table import ListedRun, listed_run
from agent.store.paths import RUN_NAME, RunPaths, RunsFolder
from agent.store.run_lock import holder

_COLLECT_EVERY = 20  # readings of a run
_MOST_VERSIONS = 10_000  # that are remembered


Work = tuple[WorkLine, str | None]
"""One thing that a run is doing, and the last line of its log; None if it has no log."""


class UnknownRunError(UsageError):
    """This server shows no run of that name."""


@dataclass
class ServedRuns:
    """The runs of a folder, or some of them. All methods may be called in any thread."""

    folder: RunsFolder
    chosen: tuple[str, ...] = ()  # names of runs; empty: all runs of the folder, those to come included
    option: str = ""  # what commands need to find the runs, such as ` --runs DIR`
    recent_seconds: float = 0.1  # within this time all browsers together cause one look at the disk
    work_seconds: float = 0.5  # the same for what a run is doing: the ends of its logs
    _listed: dict[str, tuple[str, ListedRun]] = field(default_factory=dict)
    _versions: dict[str, tuple[float, str]] = field(default_factory=dict)
    _work: dict[str, tuple[float, list[Work]]] = field(default_factory=dict)
    _n_read: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def names(self) -> list[str]:
        """Return the names of the runs, oldest first, and before them those of folders that cannot be looked into.

        Raises UnsafeFileError if the folder holds what no run makes.
        """
        names = list(self.chosen) or [*self.folder.closed_ids(), *self.folder.run_ids()]
        with self._lock:  # runs that were removed are not kept in memory
            for known in (self._listed, self._work):
                for name in known.keys() - set(names):
                    del known[name]
        return names

    def comparisons(self) -> list[str]:
        """Return the names of the comparisons whose runs are shown."""
        return [] if self.chosen else self.folder.comparison_ids()

    def compared(self, comparison: str | None) -> list[str]:
        """Return the names of a comparison's runs that have started; None: the runs that were chosen.

        Raises:
            UnknownRunError: there is no such comparison, or none of its runs has started.
        """
        if comparison is None:
            if len(self.chosen) < 2:
                names = ", ".join(self.comparisons()) or "none"
                raise UnknownRunError(
                    "there is no comparison at this address: `agent serve RUN RUN` shows these runs together, and "
                    f"/compare/NAME shows a comparison of the folder ({names})"
                )
            return list(self.chosen)
        if comparison not in self.comparisons():
            raise UnknownRunError(f"there is no comparison {comparison} in {self.folder.root}")
        known = self.names()
        runs = [name for names in load(self.folder, comparison).run_ids().values() for name in names if name in known]
        if not runs:
            raise UnknownRunError(f"no run of {comparison} has started yet")
        return runs

    def listed(self, name: str) -> ListedRun:
        """Return a run as the table of runs shows it; it is read again only if its version has changed."""
        version = self.version(name)
        with self._lock:
            known = self._listed.get(name)
        if known is not None and known[0] == version:
            return known[1]
        found = listed_run(self.folder, name)
        with self._lock:
            self._listed[name] = (version, found)
            self._n_read += 1
            if self._n_read % _COLLECT_EVERY == 0:
                # Reading a journal freezes all objects, so a server would keep the garbage among them: 1.3 MB a page.
                gc.unfreeze()
                gc.collect()
        return found

    def find(self, name: str) -> ListedRun:
        """Return a run that can be read.

        Raises:
            UnknownRunError: this server shows no such run, or its folder is gone.
            UsageError: it cannot be read.
        """
        is_known = name in self.names()
        if is_known and name in self.folder.closed_ids():
            raise UsageError(self.listed(name).fault)
        if not is_known or not self.folder.run(name).run_json.exists():
            with self._lock:
                self._listed.pop(name, None)
                self._work.pop(name, None)
            raise UnknownRunError(f"there is no run {name} in {self.folder.root}: it was removed, moved or never there")
        found = self.listed(name)
        if found.stored is None:
            raise UsageError(found.fault)
        return found

    def work(self, name: str) -> list[Work]:
        """Return what a run is doing, at most `work_seconds` old; empty if no process works on it, or it is damaged."""
        with self._lock:
            at, lines = self._work.get(name, (-math.inf, []))
        if time.monotonic() - at <= self.work_seconds:
            return lines
        at, lines = time.monotonic(), []
        with suppress(AgentError, OSError):
            found = self.listed(name)
            if found.stored is not None and found.open_by is not None:
                lines = [(line, line.last_log_line()) for line in work_lines(found.stored, found.open_by)]
            with self._lock:
                self._work[name] = (at, lines)
        return lines

    def version(self, *names: str) -> str:
        """Return the version of some runs together: it differs whenever a page about them may."""
        return _digest("\n".join(self._recent(name) for name in names))

    def version_of_all(self) -> str:
        """Return the version of the table of all runs."""
        try:
            names = [*self.names(), *self.comparisons()]
        except (AgentError, OSError) as fault:
            return _digest(str(fault))
        return _digest("\n".join(f"{name} {self._recent(name)}" for name in names))

    def _recent(self, name: str) -> str:
        """Return the facts of a run that `_facts` has, at most `recent_seconds` old."""
        if not re.fullmatch(RUN_NAME, name):
            return "no name of a run"
        with self._lock:
            at, facts = self._versions.get(name, (-math.inf, ""))
        if time.monotonic() - at > self.recent_seconds:
            at = time.monotonic()
            try:
                facts = "\n".join(_facts(self.folder, name))
            except (AgentError, OSError) as fault:
                facts = str(fault)
            with self._lock:  # a slow look that began earlier must not replace a newer one
                at, facts = self._versions[name] = max(self._versions.get(name, (at, facts)), (at, facts))
                if len(self._versions) > _MOST_VERSIONS:  # names from addresses, most of them of no run
                    del self._versions[next(iter(self._versions))]
        return facts


def _facts(folder: RunsFolder, name: str) -> Iterator[str]:
    """Yield what changes with a run: its files and commits, the process that works on it, and waiting messages."""
    paths = folder.run(name)
    tags = folder.repo / "refs" / "tags" / name  # a trial's commit is recorded after the journal has its end
    own = (paths.run_json, paths.comparison, paths.journal, paths.verified, paths.unseen)
    for path in (*own, tags, *_ablations(paths)):
        with suppress(FileNotFoundError):
            stat = path.stat()
            yield f"{path.name} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
    yield f"open by {holder(paths)}"
    with suppress(FileNotFoundError):
        yield " ".join(sorted(os.listdir(paths.inbox)))


def _ablations(paths: RunPaths) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(paths.root / "attribution")):
            if name.isdecimal():
                yield paths.attribution(int(name)).readings


def _digest(facts: str) -> str:
    return hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:16]
