"""What a device had in use beyond what it had before; nothing is made up where it cannot be asked."""

import threading
from pathlib import Path

from sandbox.gpu import nvml
from sandbox.gpu.monitor import VramWatch

GB = 2**30


class Counter:
    """Says the given numbers one after the other, and then the last one again and again."""

    def __init__(self, *says: int | None) -> None:
        self._says = list(says)
        self.is_spent = threading.Event()

    def __call__(self) -> int | None:
        if len(self._says) > 1:
            return self._says.pop(0)
        self.is_spent.set()
        return self._says[0]


def test_the_peak_is_what_came_to_be_in_use_since_the_beginning() -> None:
    counter = Counter(GB, 2 * GB, 7 * GB, 3 * GB, GB)
    with VramWatch(counter) as watch:
        assert counter.is_spent.wait(600)
    assert watch.peak_gb == 6.0


def test_a_job_that_ends_at_once_used_nothing() -> None:
    with VramWatch(lambda: GB) as watch:
        pass
    assert watch.peak_gb == 0.0


def test_a_driver_that_stops_to_answer_leaves_the_peak_unknown() -> None:
    counter = Counter(GB, 7 * GB, None)
    with VramWatch(counter) as watch:
        assert counter.is_spent.wait(600)
    assert watch.peak_gb is None


def test_without_a_driver_the_peak_is_unknown() -> None:
    if Path("/dev/nvidiactl").exists():
        return
    assert nvml.uuid_of("0") is None
    with VramWatch(nvml.memory_reader("0")) as watch:
        pass
    assert watch.peak_gb is None
