"""The peak memory of a job, without cached files: the part that the kernel could not have dropped.

The kernel charges a group for the pages of each file that the group is the first to read, so that after a boot the
same job seems to need several times as much. It can drop these pages at any time, and does so at the limit. The rest
is anonymous and shared memory, files of a tmpfs, and the kernel's own data about the job.
"""

from collections.abc import Mapping

STAT_NAMES = ("cache", "file", "shmem", "slab_reclaimable")
"""The lines of memory.stat that are used: the first and third of version 1, the last three of version 2."""


def droppable_bytes(stat: Mapping[str, int]) -> int:
    """Return how much the kernel could drop according to memory.stat: cached files and directory entries."""
    cached = stat.get("file", stat.get("cache", 0))
    return max(0, cached - stat.get("shmem", 0)) + stat.get("slab_reclaimable", 0)


class MemoryPeak:
    """The peak over successive samples of a group.

    A peak between two samples shows only in the kernel's own counter, which includes cached files. What was droppable
    at either sample is subtracted from it, so that short peaks count and cached files do not.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._highest = 0
        self._droppable = 0

    def look(self, used: int, droppable: int, highest: int | None) -> int:
        """Add a sample and return the peak, all in bytes.

        Args:
            used: the current charge of the group.
            droppable: the part of `used` that the kernel could drop.
            highest: the highest charge ever; None if the kernel does not count it.
        """
        self.bytes = max(self.bytes, used - droppable)
        if highest is not None and highest > self._highest:
            self.bytes = max(self.bytes, highest - max(droppable, self._droppable))
            self._highest = highest
        self._droppable = droppable
        return self.bytes
