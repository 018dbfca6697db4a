"""Brings a tracker up to a run: once, or again and again while the run goes on."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from agent.errors import MissingRequirementError, TrackError, UsageError
from agent.report.trackers.mlflow_tracker import MlflowTracker
from agent.report.trackers.tensorboard_tracker import TensorboardTracker
from agent.report.trackers.tracker import KINDS, Tracker, facts_of
from agent.report.trackers.wandb_tracker import WandbTracker
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.text import Say

LOOK_SECONDS = 1.0  # between looks at a journal that is followed
RETRY_SECONDS = 30.0  # before a tracker that failed is tried again


def check_kind(kind: str) -> None:
    """Raise UsageError if there is no such tracker, MissingRequirementError if its library is not installed."""
    if kind not in KINDS:
        raise UsageError(f"there is no tracker {kind!r}; there are {', '.join(KINDS)}")
    module, remedy = KINDS[kind]
    if find_spec(module) is None:
        raise MissingRequirementError(f"{kind} needs the package {module}: {remedy}")


def open_tracker(kind: str, paths: RunPaths, uri: str | None = None) -> Tracker:
    """Return the tracker of that name for a run. Raises as `check_kind` does."""
    check_kind(kind)
    if uri is not None and kind != "mlflow":
        raise UsageError(f"--uri is MLflow's; {kind} writes to {paths.root / kind}")
    if kind == "mlflow":
        return MlflowTracker(uri)
    if kind == "tensorboard":
        return TensorboardTracker(paths.root / kind)
    return WandbTracker(paths.root / kind)


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
