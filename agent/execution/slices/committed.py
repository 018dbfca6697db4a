"""The answers of a slice on the disk: they stay valid, since each was given before its targets were shown.

Each round has a line: the SHA-256 of each model's answer, and the losses that the host computed from it. The line is on
the disk before any of the next round is shown, so a process that continues after a kill starts with the next round.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import JournalError
from agent.store.atomic_file import sync_folder


class Committed:
    """The file of answers to one slice."""

    def __init__(self, path: Path, models: Sequence[str]) -> None:
        """Read the rounds that all `models` have answered; a torn last line is cut off.

        Raises:
            JournalError: another line is not of these models. The answers of its round are lost, and models must not
                answer again once the targets were shown.
        """
        self._path = path
        self._models = models
        self._rounds: list[Mapping[str, NDArray[np.float64]]] = []
        if not path.exists():
            return
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        for line in content[:end].splitlines():
            try:
                found = json.loads(line)["losses"]
                self._rounds.append({model: np.asarray(found[model], np.float64) for model in models})
            except (ValueError, KeyError, TypeError) as error:
                raise JournalError(
                    f"{path} has changed since the run wrote it; restore it, or start a new run"
                ) from error
        os.truncate(path, end)

    @property
    def n_rounds(self) -> int:
        """The number of rounds that all models have answered."""
        return len(self._rounds)

    def append(self, hashes: Mapping[str, str], losses: Mapping[str, NDArray[np.float64]]) -> None:
        """Write one more round durably: by model, the hash of its answer and its losses, shape (N,).

        Raises:
            JournalError: the disk is full or failing; a part of the line that was written is removed.
        """
        line = {"answers": dict(hashes), "losses": {model: losses[model].tolist() for model in self._models}}
        try:
            self._write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise JournalError(
                f"cannot write to {self._path}: {error.strerror}; make room and continue with `agent resume`"
            ) from error
        self._rounds.append(losses)

    def _write(self, line: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        end = os.fstat(fd).st_size
        try:
            data = memoryview(line)
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
            if not end:
                sync_folder(self._path.parent)  # else the file itself may be gone after a power cut
        except OSError:
            os.ftruncate(fd, end)  # shrinking works on a full disk
            raise
        finally:
            os.close(fd)

    def losses(self) -> dict[str, NDArray[np.float64]]:
        """Return the losses of each model, nats, shape (N, rounds so far)."""
        return {model: np.stack([found[model] for found in self._rounds], axis=1) for model in self._models}
