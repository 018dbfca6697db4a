"""Brings a tracker up to a run: once, or again and again while the run goes on."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from agent.errors import MissingRequirementError, TrackError, UsageError
from agent.report.trackers.kinds import TRACKERS
from agent.report.trackers.tracker import Tracker, facts_of
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.text import Say

LOOK_SECONDS = 1.0  # between looks at a journal that is followed
RETRY_SECONDS = 30.0  # before a tracker that failed is tried again


def check_kind(kind: str) -> None:
    """Raise UsageError if there is no such tracker, MissingRequirementError if its library is not installed."""
    if kind not in TRACKERS:
        raise UsageError(f"there is no tracker {kind!r}; there are {', '.join(TRACKERS)}")
    row = TRACKERS[kind]
    if find_spec(row.package) is None:
        raise MissingRequirementError(f"{kind} needs the package {row.package}: {row.install}")


def open_tracker(kind: str, paths: RunPaths, uri: str | None = None) -> Tracker:
    """Return the tracker of that name for a run. Raises as `check_kind` does, and UsageError if it takes no `uri`."""
    check_kind(kind)
    row, folder = TRACKERS[kind], paths.root / kind
    if uri is not None and not row.takes_uri:
        takers = ", ".join(name for name, other in TRACKERS.items() if other.takes_uri)
        raise UsageError(f"--uri is for {takers}; {kind} writes to {folder}")
    tracker: Tracker = import_module(row.module).open_tracker(folder, uri)
    return tracker


def mirror(stored: StoredRun, tracker: Tracker) -> int:
    """Bring `tracker` up to a run as it is now; return how many trials it has. Raises TrackError."""
    facts = facts_of(stored.again())
    tracker.write(facts)
    return len(facts.trials)


def follow(stored: StoredRun, tracker: Tracker, ended: Callable[[float], bool], say: Say) -> int:
    """Bring `tracker` up to a run whenever its journal has grown, until the search has ended, and then once more.

    A tracker that fails is tried again later; of failures in a row the first is said.

    Args:
        stored: the run.
        tracker: where it goes.
        ended: waits for so many seconds and says whether the search has ended.
        say: prints a line.

    Raises:
        TrackError: it failed the last time too.
    """
    seen, failed, pause = -1, "", LOOK_SECONDS
    while not ended(pause):
        size = stored.paths.journal.stat().st_size
        if size == seen and not failed:
            continue
        try:
            n_trials = mirror(stored, tracker)
            # A trial whose commit is not made yet is left for the next look.
            seen = size if n_trials == len(stored.again().history.trials) else -1
            failed, pause = "", LOOK_SECONDS
        except TrackError as error:
            if not failed:
                say(f"{error}; it is tried again")
            failed, pause = str(error), RETRY_SECONDS
    return mirror(stored, tracker)


@contextmanager
def alone(paths: RunPaths, kind: str, *, wait: bool = False) -> Iterator[None]:
    """Hold off any other process that brings the same tracker up to the same run.

    Raises:
        UsageError: one does so now, and the caller will not `wait` for it.
    """
    with lock_file(paths, kind).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise UsageError(f"another process writes {paths.run_id} to {kind} at this moment") from None
        yield


def lock_file(paths: RunPaths, kind: str) -> Path:
    return paths.root / f".{kind}.lock"
