"""The most memory that a job has used and that the kernel could not have dropped: what it counts, less cached files.

The kernel charges a group with the pages of every file that is read first in it, so that after a boot the same job
seems to take several times as much. It could drop them at any time, and does so at the limit. What stays is anonymous
and shared memory, files of a tmpfs, and what the kernel holds for the job's processes and files.
"""

from collections.abc import Mapping

STAT_NAMES = ("cache", "file", "shmem", "slab_reclaimable")
"""Lines of memory.stat that are needed; version 1 has the first and the third, version 2 the last three."""


def droppable_bytes(stat: Mapping[str, int]) -> int:
    """Return what the kernel could drop of a group, by its memory.stat: cached files of disks, and their names."""
    cached = stat.get("file", stat.get("cache", 0))
    return max(0, cached - stat.get("shmem", 0)) + stat.get("slab_reclaimable", 0)


class MemoryPeak:
    """The peak, from looks at a group one after the other.

    Between two looks the kernel's own counter tells of a higher use. When it does, at least that use less what is
    droppable at either look was there, so that a short peak is seen, and cold files are not taken for one.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._highest = 0
        self._droppable = 0

    def look(self, used: int, droppable: int, highest: int | None) -> int:
        """Take in one look, all in bytes, and return the peak.

        Args:
            used: what the group is charged with now.
            droppable: what of it could be dropped.
            highest: the most it was ever charged with; None where the kernel does not count that.
        """
        self.bytes = max(self.bytes, used - droppable)
        if highest is not None and highest > self._highest:
            self.bytes = max(self.bytes, highest - max(droppable, self._droppable))
            self._highest = highest
        self._droppable = droppable
        return self.bytes
