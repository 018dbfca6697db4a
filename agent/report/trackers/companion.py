"""Runs each tracker in a process beside the search, so that no tracker can stop or delay the search.

The process reads the journal whenever it has grown. When its pipe closes, because the search has ended or was killed,
it writes the remaining facts and exits.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.errors import MissingRequirementError, UsageError
from agent.report.trackers.updating import check_kind
from agent.store.paths import RunPaths
from agent.text import Say

PATIENCE_SECONDS = 10.0
"""How long the end of a search waits for a tracker to catch up; the tracker's process then continues alone."""


@contextmanager
def background_trackers(kinds: Sequence[str], paths: RunPaths, say: Say) -> Iterator[None]:
    """Keep a run's trackers up to date within the context; on exit say where its facts are, or what went wrong."""
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
    """Return the log file of a tracker's process."""
    return paths.root / f"{kind}.log"


def _start(kind: str, paths: RunPaths, say: Say) -> "subprocess.Popen[bytes] | None":
    try:
        check_kind(kind)
    except (MissingRequirementError, UsageError) as missing:  # the run began on another machine
        say(f"{missing}; the run continues without it")
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
        say(f"{kind} is still catching up in the background: see {log}")
        return
    printed = log.read_text(errors="replace", encoding="utf-8").strip().splitlines() or [
        f"exit status {process.returncode}"
    ]
    if process.returncode == 0:
        say(printed[-1])
    else:
        again = f"agent track {paths.run_id} --to {kind}"
        say(f"{kind} is not up to date; the run is not affected ({printed[-1]}); catch up with `{again}`")
