"""Runs one shell command with a document on its standard input, within a time limit."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.text import last_line, one_line

_KEPT_BYTES = 4000  # of the end of the output
_CHUNK_BYTES = 1 << 16
_READ_SECONDS = 1.0  # to read the rest of the output; a process in the background may hold it open for longer


@dataclass(frozen=True)
class ShellResult:
    """How a command ended."""

    code: int | None  # its exit code, negative for a signal; None: it was killed at the time limit
    last_line: str  # of its output, both streams, printable


def run_shell(
    line: str, document: str, variables: Mapping[str, str], folder: Path | None, limit_seconds: float
) -> ShellResult:
    """Run `/bin/sh -c line` in a session of its own, until it ends or the time limit is over.

    At the limit, its whole process group is killed. What it started in the background and left running is not waited
    for.

    Args:
        document: its standard input.
        variables: its environment.
        folder: where it runs; None: in the current folder.

    Raises:
        OSError: it cannot be started.
    """
    with tempfile.TemporaryFile() as text:  # a file, since a command that does not read a pipe would block the writer
        text.write(document.encode(errors="backslashreplace"))
        text.seek(0)
        process = subprocess.Popen(
            ["/bin/sh", "-c", line],
            stdin=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(variables),
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for the run
        )
    assert process.stdout is not None
    output = _Tail(process.stdout)
    try:
        code: int | None = process.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        if process.poll() is None:  # also after Ctrl-C
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return ShellResult(code, one_line(last_line(output.read())))


class _Tail:
    """Reads a stream in a thread of its own, and keeps its end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._follow, name="output", daemon=True)
        self._thread.start()

    def read(self) -> str:
        self._thread.join(_READ_SECONDS)
        return self._kept.decode(errors="replace")

    def _follow(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), _CHUNK_BYTES):
                self._kept = (self._kept + chunk)[-_KEPT_BYTES:]
