"""Trackers beside a search, each in a process of its own, so that none can stop it or make it wait.

The process reads the journal, as anybody may, whenever it has grown. When the pipe to it closes, because the search has
ended or was killed, it writes what is left and ends.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.errors import MissingRequirementError, UsageError
from agent.report.trackers.mirror import check_kind
from agent.store.paths import RunPaths
from agent.text import Say

PATIENCE_SECONDS = 10.0
"""How long the end of a search waits for a tracker that has not caught up; it goes on by itself after that."""


@contextmanager
def tracked(kinds: Sequence[str], paths: RunPaths, say: Say) -> Iterator[None]:
    """Keep the trackers of a run up to date in the meantime; then say where its facts are, or what went wrong."""
    processes = {kind: process for kind in kinds if (process := _start(kind, paths, say)) is not None}
    try:
        yield
    finally:
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for kind, process in processes.items():
            _end(kind, process, paths, say)


def log_of(kind: str, paths: RunPaths) -> Path:
    """Return the file that a tracker's process writes to."""
    return paths.root / f"{kind}.log"


def _start(kind: str, paths: RunPaths, say: Say) -> "subprocess.Popen[bytes] | None":
    try:
        check_kind(kind)
    except (MissingRequirementError, UsageError) as missing:  # a run that began on another machine is resumed here
        say(f"{missing}; the run goes on without it")
        return None
    words = ["track", paths.run_id, "--to", kind, "--follow", "--runs", str(paths.root.parent)]
    with log_of(kind, paths).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "agent", *words],  # -P: nothing is imported from the current folder
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the search
        )


def _end(kind: str, process: "subprocess.Popen[bytes]", paths: RunPaths, say: Say) -> None:
    log = log_of(kind, paths)
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        say(f"{kind} is still catching up, and ends by itself: see {log}")
        return
    told = log.read_text(errors="replace").strip().splitlines() or [f"it ended with {process.returncode}"]
    if process.returncode == 0:
        say(told[-1])
    else:
        again = f"agent track {paths.run_id} --to {kind}"
        say(f"{kind} is not up to date, which does not touch the run ({told[-1]}); `{again}` catches up")
