"""What a job prints, on its way to a file: bounded, and harmless to terminals, prompts and parsers."""

import codecs
import unicodedata
from collections import deque
from pathlib import Path
from types import TracebackType

from sandbox.errors import SandboxError

_KEPT = "\n\t"


def _inert() -> dict[int, str]:
    """Return what stands for each control character: its picture where Unicode has one."""
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
    table[ord("\r")] = "\n"
    table[0x7F] = "\u2421"
    table.update(dict.fromkeys(range(0x80, 0xA0), "\ufffd"))
    # Line and paragraph separators, and the marks that make text read in another order than it is stored.
    marks = [*range(0x2028, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
    table.update(dict.fromkeys(marks, "\ufffd"))
    assert all(unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp") for code in table)
    return table


_INERT = _inert()


class BoundedLog:
    """A log file of at most `cap_bytes`, plus one line where its middle was dropped.

    The first half is written as it comes, so that it can be followed; of the rest the last half is kept and appended
    by `close`.
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
        """Take what the job printed, cut anywhere."""
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
        """Append what was kept of the end. Safe to call twice."""
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
    """Return `text` without the parts of characters that were cut at its ends."""
    return text.decode("utf-8", "ignore").encode()
