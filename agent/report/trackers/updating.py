"""Brings a tracker up to date with a run: once, or repeatedly while the run continues."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from agent.errors import TrackError, UsageError
from agent.extras import require_extra
from agent.report.trackers.kinds import TRACKERS
from agent.report.trackers.tracker import Tracker, facts_of
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.text import Say, did_you_mean

LOOK_SECONDS = 1.0  # between two reads of a journal that is followed
RETRY_SECONDS = 30.0  # before a failed tracker is tried again


def check_kind(kind: str) -> None:
    """Raise UsageError if there is no such tracker, MissingRequirementError if its library is not installed."""
    if kind not in TRACKERS:
        hint = did_you_mean(kind, TRACKERS) or f"; use one of {', '.join(TRACKERS)}"
        raise UsageError(f"there is no tracker {kind!r}{hint}")
    extra = TRACKERS[kind].extra
    if extra is not None:
        require_extra(extra, f"tracker {kind}")


def open_tracker(kind: str, paths: RunPaths, uri: str | None = None) -> Tracker:
    """Return the tracker of that name for a run. Raises as `check_kind` does, and UsageError if it takes no `uri`."""
    check_kind(kind)
    row, folder = TRACKERS[kind], paths.root / kind
    if uri is not None and not row.takes_uri:
        takers = ", ".join(name for name, other in TRACKERS.items() if other.takes_uri)
        raise UsageError(f"--uri is for {takers}; {kind} writes to {folder}")
    tracker: Tracker = import_module(row.module).open_tracker(folder, uri)
    return tracker


def update(stored: StoredRun, tracker: Tracker) -> int:
    """Bring `tracker` up to date with a run; return its number of trials. Raises TrackError."""
    facts = facts_of(stored.again())
    tracker.write(facts)
    return len(facts.trials)


def follow(stored: StoredRun, tracker: Tracker, ended: Callable[[float], bool], say: Say) -> int:
    """Bring `tracker` up to date whenever the run's journal has grown, and once more after the search has ended.

    A failing tracker is tried again later; only the first of consecutive failures is reported.

    Args:
        ended: waits for the given seconds and returns whether the search has ended.
        say: prints a line.

    Raises:
        TrackError: the last attempt failed too.
    """
    seen, failed, pause = -1, "", LOOK_SECONDS
    while not ended(pause):
        size = stored.paths.journal.stat().st_size
        if size == seen and not failed:
            continue
        try:
            n_trials = update(stored, tracker)
            # A trial without a commit is left for the next read.
            seen = size if n_trials == len(stored.again().history.trials) else -1
            failed, pause = "", LOOK_SECONDS
        except TrackError as error:
            if not failed:
                say(f"{error}; trying again")
            failed, pause = str(error), RETRY_SECONDS
    return update(stored, tracker)


@contextmanager
def exclusive(paths: RunPaths, kind: str, *, wait: bool = False) -> Iterator[None]:
    """Lock one tracker of a run, so that no two processes write to it at once.

    Raises:
        UsageError: another process holds the lock, and the caller does not `wait`.
    """
    with lock_file(paths, kind).open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UsageError(f"another process is writing {paths.run_id} to {kind}; try again when it ends") from None
        yield


def lock_file(paths: RunPaths, kind: str) -> Path:
    return paths.root / f".{kind}.lock"
