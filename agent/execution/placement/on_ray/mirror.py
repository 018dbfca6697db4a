"""The local folder of one job, kept equal to the one on its node, which shares no file system with this machine."""

import os
import threading
import time
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
        self.state = "PENDING"
        self.is_alive = True
        self._request = request
        self._printed: dict[str, BinaryIO] = {}
        self._has_result = False  # whether it has come, or comes at present
        self._lock = threading.Lock()

    @property
    def node(self) -> str:
        """The node of the job; empty: none yet, as far as is known."""
        return "" if self.started is None else self.started.node

    def arrive(self, node_id: str) -> None:
        """Record which node the job is on."""
        self.node_id = self.node_id or node_id

    def take(self, progress: Progress) -> None:
        """Write what is new about the job into its folder, unless it has ended or the folder was removed."""
        with self._lock, suppress(OSError):
            if self._has_result or not self.is_alive:
                return  # the result has all of it
            self._start(progress.started)
            if progress.has_begun:
                self.folder.begin()
            for name, (begin, data) in progress.printed.items():
                self._append(name, begin, data)

    def finish(self, sent: SentResult, pieces: Iterator[memoryview]) -> None:
        """Write all files and the result of the job into its folder. Raises OSError."""
        with self._lock:
            self._has_result = True  # from here on, only this thread writes; pieces may be slow to come
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
        self.end("COMPLETED")

    def fail(self, node: str, why: str) -> None:
        """Record that the program on a node failed. Raises OSError."""
        with self._lock, suppress(FileNotFoundError):
            self._start(Started(node, "", time.time()) if node else None)
            self.folder.finish(self._request.token, JobResult(failed=why))
        self.end("FAILED")

    def end(self, state: str) -> None:
        """Record that the job has ended, without a result unless there is one."""
        with self._lock:
            self.is_alive, self.state = False, state
            for file in self._printed.values():
                file.close()
            self._printed.clear()

    def _start(self, started: Started | None) -> None:
        if started is None or self.started is not None:
            return
        self.started, self.state = started, "RUNNING"
        self.folder.start(started)

    def _append(self, name: str, begin: int, data: bytes) -> None:
        """Append new output of the job to a file. The caller may rename the file while it grows."""
        if name not in PRINTED or getattr(self._request.job, name) is None:
            return
        if name not in self._printed:
            fd = os.open(self.folder.file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._printed[name] = open(fd, "wb", buffering=0)  # noqa: SIM115  closed by `end`
        file = self._printed[name]
        if begin <= (here := file.tell()):
            file.write(data[here - begin :])
