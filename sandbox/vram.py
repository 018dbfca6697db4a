"""The most memory that a device had in use while something ran on it."""

import threading
from collections.abc import Callable
from types import TracebackType

SAMPLE_SECONDS = 0.1  # PyTorch gives memory back only at its end, so little is missed in between


class VramWatch:
    """Samples `used_bytes` from `with` to the end of it; what was in use before is not counted.

    That is sound only while nobody else uses the device: it is leased.
    """

    def __init__(self, used_bytes: Callable[[], int | None] | None) -> None:
        """`used_bytes` None, or its answer None: the device cannot be asked."""
        self._used_bytes = used_bytes or (lambda: None)
        self._seen: list[int | None] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="vram", daemon=True)

    def __enter__(self) -> "VramWatch":
        self._seen.append(self._used_bytes())
        if self._seen[0] is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def peak_gb(self) -> float | None:
        """The most that came to be in use, GiB; None where it cannot be known."""
        seen = [used for used in self._seen if used is not None]
        if not seen or len(seen) < len(self._seen):
            return None
        return (max(seen) - seen[0]) / 2**30

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            used, peak = self._used_bytes(), self._seen[-1]
            if used is None or peak is None:
                self._seen.append(None)
                return
            if used > peak:
                self._seen.append(used)
