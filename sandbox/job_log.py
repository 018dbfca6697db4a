"""The log files of a job: bounded, and harmless to terminals, prompts and parsers."""

import codecs
from collections import deque
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType

from sandbox.characters import EMOJI_STYLE, is_hidden
from sandbox.errors import SandboxError
from sandbox.job import Job

_KEPT = "\n\t"


class _Inert(dict[int, str]):
    """Character → its replacement, a visible one for control and hidden characters. Filled on demand."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character == "\r":
            shown = "\n"
        elif character in EMOJI_STYLE:
            shown = ""
        elif character in _KEPT or not is_hidden(character):
            shown = character
        else:
            shown = chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
        self[code] = shown
        return shown


_INERT = _Inert()


class BoundedLog:
    """A log file of at most `cap_bytes`, plus one line if its middle was dropped.

    The first half is written at once, so that the log can be followed. Of the rest, the last half is kept in memory
    and appended by `close`.
    """

    def __init__(self, path: Path, cap_bytes: int) -> None:
        self.truncated = False
        self._path = path
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise SandboxError(f"cannot create the log {path}: {error.strerror}; name another") from error
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head_left = cap_bytes // 2
        self._tail: deque[bytes] = deque()
        self._tail_cap = cap_bytes - cap_bytes // 2
        self._tail_bytes = 0
        self._dropped = 0

    def __enter__(self) -> "BoundedLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Add output of the job, which may be cut anywhere."""
        text = self._decoder.decode(data, final=last).translate(_INERT).encode()
        if self._head_left:
            head = _whole(text[: self._head_left])
            self._put(head)
            self._head_left = self._head_left - len(head) if len(head) == len(text) else 0
            text = text[len(head) :]
        if text:
            self._tail.append(text)
            self._tail_bytes += len(text)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= self._tail_cap:
            gone = len(self._tail.popleft())
            self._tail_bytes -= gone
            self._dropped += gone

    def close(self) -> None:
        """Append the end of the output. Safe to call twice."""
        if self._file.closed:
            return
        self.write(b"", last=True)
        tail = b"".join(self._tail)
        if self._dropped or len(tail) > self._tail_cap:
            kept = _whole(tail[-self._tail_cap :])
            self._dropped += len(tail) - len(kept)
            tail = kept
            self.truncated = True
            self._put(f"\n[... {self._dropped} bytes of the log were dropped here ...]\n".encode())
        self._put(tail)
        self._file.close()

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise SandboxError(f"cannot write the log {self._path}: {error.strerror}; make room for it") from error


def _whole(text: bytes) -> bytes:
    """Return `text` without incomplete characters at its ends."""
    return text.decode("utf-8", "ignore").encode()


class StandardStream(Enum):
    """An output of a job; the values are the numbers of the file descriptors, also in Docker's protocol."""

    STDOUT = 1
    STDERR = 2


class JobLog:
    """The log of a job, and the file of each stream if the job has them.

    In the log a line of one stream never continues a line of the other one: a progress bar on stderr that was not
    ended would otherwise run into the next line of stdout.
    """

    def __init__(self, job: Job) -> None:
        cap_bytes = int(job.limits.log_mb * 2**20)
        with ExitStack() as opened:
            self._both = opened.enter_context(BoundedLog(job.log, cap_bytes))
            paths = {StandardStream.STDOUT: job.stdout, StandardStream.STDERR: job.stderr}
            self._own = {
                stream: opened.enter_context(BoundedLog(path, cap_bytes)) for stream, path in paths.items() if path
            }
            self._stack = opened.pop_all()
        self._last = StandardStream.STDOUT
        self._is_within_line = False

    def __enter__(self) -> "JobLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def truncated(self) -> bool:
        """Whether the middle of the log was dropped; known after `close`."""
        return self._both.truncated

    def write(self, data: bytes, stream: StandardStream = StandardStream.STDOUT) -> None:
        """Add output of the job, which may be cut anywhere."""
        if not data:
            return
        if stream is not self._last and self._is_within_line:
            self._both.write(b"\n")
        self._both.write(data)
        if stream in self._own:
            self._own[stream].write(data)
        self._last, self._is_within_line = stream, data[-1:] not in b"\r\n"

    def close(self) -> None:
        """Write the ends of the files. Safe to call twice."""
        self._stack.close()
