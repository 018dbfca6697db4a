"""Measurements of a GPU during a job: peak memory, reasons for throttling, other programs."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from types import TracebackType

from sandbox.job import GpuState

THROTTLE_SAMPLE_SECONDS = 0.2
VRAM_SAMPLE_SECONDS = 0.1  # PyTorch releases memory only at its end, so little is missed


class VramWatch:
    """A context manager that samples `used_bytes`. Memory that was in use at its start does not count.

    The result is correct only if nobody else uses the device, which a lease ensures.
    """

    def __init__(self, used_bytes: Callable[[], int | None] | None) -> None:
        """`used_bytes` is None, or returns None, if the driver does not answer."""
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
        """The peak of the memory in use, GiB; None if it is not known."""
        seen = [used for used in self._seen if used is not None]
        if not seen or len(seen) < len(self._seen):
            return None
        return (max(seen) - seen[0]) / 2**30

    def _sample(self) -> None:
        while not self._over.wait(VRAM_SAMPLE_SECONDS):
            used, peak = self._used_bytes(), self._seen[-1]
            if used is None or peak is None:
                self._seen.append(None)
                return
            if used > peak:
                self._seen.append(used)


@dataclass(frozen=True)
class Sample:
    """One sample of a device."""

    reasons: frozenset[str] = frozenset()  # why its clock is below its maximum; see sandbox.gpu.nvml
    sm_mhz: int | None = None  # clock of its processors, MHz
    pids: frozenset[int] = frozenset()  # of programs that compute on it


class ThrottleWatch:
    """A context manager that samples a leased device. It must end after the last process of the job.

    A program counts as another's if it used the device before the job, or is alive after it. A program that starts and
    ends during the job cannot be distinguished from the job's own.
    """

    def __init__(
        self, look: Callable[[], Sample | None] | None, *, is_alive: Callable[[int], bool] | None = None
    ) -> None:
        """`look` is None, or returns None, if the driver does not answer."""
        self._look = look or (lambda: None)
        self._is_alive = is_alive or _is_alive
        self._seen: list[Sample] = []
        self._before: frozenset[int] = frozenset()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="throttle", daemon=True)
        self.state: GpuState | None = None  # set at the end; None if it is not known

    def __enter__(self) -> "ThrottleWatch":
        first = self._look()
        if first is not None:
            self._before = first.pids  # not a sample: an idle device has a low clock
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            self.state = self._summary()

    def _summary(self) -> GpuState:
        counts = Counter(reason for sample in self._seen for reason in sample.reasons)
        clocks = [sample.sm_mhz for sample in self._seen if sample.sm_mhz is not None]
        during = frozenset(pid for sample in self._seen for pid in sample.pids)
        others = self._before | {pid for pid in during if self._is_alive(pid)}
        return GpuState(
            throttled={reason: round(n / len(self._seen), 3) for reason, n in sorted(counts.items())},
            sm_mhz=round(median(clocks)) if clocks else None,
            others=tuple(sorted(others)),
        )

    def _sample(self) -> None:
        while not self._over.wait(THROTTLE_SAMPLE_SECONDS):
            sample = self._look()
            if sample is not None:
                self._seen.append(sample)


def _is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
