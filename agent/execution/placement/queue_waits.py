"""Why jobs wait for a cluster: each reason is a line of the run once, and a file shows them to `agent watch`."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.errors import UnsafeFileError
from agent.files import read_json
from agent.text import one_line

_NAME = "waiting.json"
_MOST_BYTES = 2**20


class QueueWaits:
    """The jobs of a run that wait, and why. Safe to use from several threads."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`folder`: of the run's jobs."""
        self._path = folder / _NAME
        self._say = say
        self._lock = threading.Lock()
        self._why: dict[str, str] = {}  # by label
        self._shown: set[str] = set()

    def begin(self, label: str, why: str, remedy: str = "") -> None:
        """Record that a job waits, such as "in the cluster's queue: no node is free (Resources)".

        `remedy`: what a person can do; empty: wait.
        """
        why = one_line(why)
        kind = why.partition(",")[0]  # Slurm may list nodes after it, which change all the time
        with self._lock:
            is_new = kind not in self._shown
            self._shown.add(kind)
            if self._why.get(label) != why:
                self._why[label] = why
                self._write()
        if is_new:
            self._say(f"{label} waits {why}{f'; {remedy}' if remedy else ''}")

    def end(self, label: str) -> None:
        """Record that a job waits no longer, if it did."""
        with self._lock:
            if self._why.pop(label, None) is not None:
                self._write()

    def close(self) -> None:
        """Remove the file. Safe to call twice."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Replace the file; a full disk stops no run."""
        with suppress(OSError):
            temporary = self._path.with_name(f"{_NAME}.tmp")
            temporary.write_text(json.dumps(self._why), encoding="utf-8")
            os.replace(temporary, self._path)


def read_waits(folder: Path) -> Mapping[str, str]:
    """Return why jobs of a run wait, by label; `folder`: of its jobs. Empty if the file is missing or damaged."""
    try:
        document = read_json(folder / _NAME, _MOST_BYTES)
    except (OSError, UnsafeFileError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {str(label): one_line(str(why)) for label, why in document.items()}
