"""What a GPU did during a job: peak memory, reasons for throttling, other programs."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from types import TracebackType

from sandbox.job import GpuState

THROTTLE_SAMPLE_SECONDS = 0.2
VRAM_SAMPLE_SECONDS = 0.1  # PyTorch gives memory back only at its end, so little is missed in between


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
        while not self._over.wait(VRAM_SAMPLE_SECONDS):
            used, peak = self._used_bytes(), self._seen[-1]
            if used is None or peak is None:
                self._seen.append(None)
                return
            if used > peak:
                self._seen.append(used)


@dataclass(frozen=True)
class Sample:
    """One look at a device."""

    reasons: frozenset[str] = frozenset()  # why its clock is lower than it could be; see sandbox.gpu.nvml
    sm_mhz: int | None = None  # clock of its processors
    pids: frozenset[int] = frozenset()  # of the programs that compute on it


class ThrottleWatch:
    """Looks at a leased device from `with` to the end of it, which is after the last process of the job has gone.

    Another's program is one that was on the device before the job, or one that is alive after it. A program that
    comes and goes within the job cannot be told from the job's own.
    """

    def __init__(
        self, look: Callable[[], Sample | None] | None, *, is_alive: Callable[[int], bool] | None = None
    ) -> None:
        """`look` None, or its answer None: the device cannot be asked."""
        self._look = look or (lambda: None)
        self._is_alive = is_alive or _is_alive
        self._seen: list[Sample] = []
        self._before: frozenset[int] = frozenset()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="throttle", daemon=True)
        self.state: GpuState | None = None  # once the watch is over; None where it cannot be known

    def __enter__(self) -> "ThrottleWatch":
        first = self._look()
        if first is not None:
            self._before = first.pids  # a device at rest is no sample: its clock is low because nothing asks for more
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
            held_back={reason: round(n / len(self._seen), 3) for reason, n in sorted(counts.items())},
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
