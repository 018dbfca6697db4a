"""The local folder of one job, kept equal to the one on its node, which shares no file system with this machine."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from sandbox.node.job_folder import PRINTED, WRITTEN, JobFolder, JobRequest, JobResult, Started
from sandbox.node.sent_job import Progress, SentResult, n_pieces


class Mirror:
    """The last known state of a job on a node, written into its local folder."""

    def __init__(self, folder: JobFolder, request: JobRequest) -> None:
        self.folder = folder
        self.started: Started | None = None
        self.node_id = ""
        self.word = "PENDING"
        self.is_alive = True
        self._request = request
        self._printed: dict[str, BinaryIO] = {}
        self._lock = threading.Lock()

    @property
    def node(self) -> str:
        """The node of the job; empty: none yet, as far as is known."""
        return "" if self.started is None else self.started.node

    def take(self, progress: Progress, node_id: str) -> None:
        """Write what is new about the job into its folder, unless the folder was removed."""
        with self._lock, suppress(OSError):
            self.node_id = self.node_id or node_id
            self._start(progress.started)
            if progress.has_begun:
                self.folder.begin()
            for name, (begin, data) in progress.printed.items():
                self._append(name, begin, data)

    def finish(self, sent: SentResult, pieces: Iterator[memoryview]) -> None:
        """Write all files and the result of the job into its folder. Raises OSError."""
        with self._lock:
            try:
                self._start(sent.started)
                for name, data in sent.printed.items():
                    self._append(name, 0, data)
                written = [name for name in WRITTEN if name in sent.sizes]
                for name in written:
                    fd = os.open(self.folder.file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                    with open(fd, "wb") as file:
                        for _ in range(n_pieces(self._request)):
                            file.write(next(pieces))
                self.folder.finish(self._request.token, sent.result)
            except FileNotFoundError:  # the folder was removed
                pass
            self._end("COMPLETED")

    def fail(self, why: str) -> None:
        """Record that the program on the node failed."""
        with self._lock:
            with suppress(FileNotFoundError):
                self.folder.finish(self._request.token, JobResult(failed=why))
            self._end("FAILED")

    def end(self, word: str) -> None:
        """Record that the job has ended without a result."""
        with self._lock:
            self._end(word)

    def _end(self, word: str) -> None:
        self.is_alive, self.word = False, word
        for file in self._printed.values():
            file.close()
        self._printed.clear()

    def _start(self, started: Started | None) -> None:
        if started is None or self.started is not None:
            return
        self.started, self.word = started, "RUNNING"
        self.folder.start(started)

    def _append(self, name: str, begin: int, data: bytes) -> None:
        """Append new output of the job to a file. The caller may rename the file while it grows."""
        if name not in PRINTED or getattr(self._request.job, name) is None:
            return
        if name not in self._printed:
            fd = os.open(self.folder.file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._printed[name] = open(fd, "wb", buffering=0)  # noqa: SIM115  closed by `_end`
        file = self._printed[name]
        if begin <= (here := file.tell()):
            file.write(data[here - begin :])
