"""The peak of what cannot be dropped, from looks at a group's counters."""

import pytest

from sandbox.limits.memory_peak import MemoryPeak, droppable_bytes


@pytest.mark.parametrize(
    ("stat", "droppable"),
    [
        ({"cache": 100, "shmem": 30, "rss": 5}, 70),  # version 1
        ({"file": 100, "shmem": 30, "slab_reclaimable": 7, "anon": 5}, 77),  # version 2
        ({"cache": 10, "shmem": 30}, 0),  # counters of different moments
    ],
)
def test_files_of_disks_can_be_dropped_and_shared_memory_cannot(stat: dict[str, int], droppable: int) -> None:
    assert droppable_bytes(stat) == droppable


def test_cold_files_are_not_counted_while_they_are_read() -> None:
    peak = MemoryPeak()
    for files in (0, 400, 900, 1000):
        peak.look(used=50 + files, droppable=files, highest=50 + files)
    assert peak.look(used=1000, droppable=1000, highest=1050) == 50


def test_a_peak_between_two_looks_is_counted() -> None:
    peak = MemoryPeak()
    peak.look(used=100, droppable=60, highest=100)
    assert peak.look(used=120, droppable=70, highest=500) == 430


def test_an_old_peak_counts_once_and_files_that_come_later_take_nothing_off() -> None:
    peak = MemoryPeak()
    peak.look(used=500, droppable=0, highest=500)
    assert peak.look(used=450, droppable=400, highest=500) == 500
    assert peak.look(used=0, droppable=0, highest=500) == 500


def test_without_the_kernels_peak_the_highest_look_counts() -> None:
    peak = MemoryPeak()
    assert [peak.look(used, 10, None) for used in (30, 90, 20)] == [20, 80, 80]
