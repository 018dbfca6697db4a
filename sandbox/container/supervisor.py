"""The first process of a container: it holds it, counts what all its processes use, and ends it when we are gone.

It runs as another user than the job, who therefore cannot stop it, and outlives it, so that the counts are complete.
For every line on its standard input it prints the counts. The engine closes that input when the program that started
the container is dead, however it died: then the keeper ends, and the kernel kills every process with it.
"""

import re

from sandbox.limits.controller import Reading

_FILES = (  # of version 1, then 2; which are there is seen when it runs
    "cpuacct/cpuacct.usage",
    "memory/memory.max_usage_in_bytes",
    "memory/memory.oom_control",
    "cpu.stat",
    "memory.peak",
    "memory.current",
    "memory.events",
)
_SCRIPT = """
while read -r _; do
  for file in "$@"; do
    if [ -r "$file" ]; then while read -r line; do echo "$file $line"; done <"$file"; fi
  done
  echo .
done
"""
COMMAND = ["/bin/sh", "-c", "cd /sys/fs/cgroup &&" + _SCRIPT, "keeper", *_FILES]
ASK = b"count\n"


class Counts:
    """What the keeper has printed, taken in piece by piece."""

    def __init__(self) -> None:
        self.n_answers = 0
        self.latest: Reading | None = None
        self._text = ""
        self._peak_bytes = 0

    def take(self, printed: bytes) -> None:
        """Take in a piece of what was printed; it may be cut anywhere."""
        self._text += printed.decode("ascii", "replace")
        while "\n.\n" in self._text:
            answer, _, self._text = self._text.partition("\n.\n")
            self.latest = self._reading(answer)
            self.n_answers += 1

    def _reading(self, answer: str) -> Reading | None:
        """Return what an answer says, None if it has not all three counts."""
        lines = (line.rpartition(" ") for line in answer.splitlines())
        found = {name: int(value) for name, _, value in lines if re.fullmatch(r"\d+", value)}
        nanoseconds = found.get("cpuacct/cpuacct.usage", found.get("cpu.stat usage_usec", -1) * 1000)
        # Before Linux 5.19, version 2 has no peak: then it is the highest use that was seen.
        memory = [found[name] for name in _PEAKS if name in found]
        killed = [found[name] for name in _KILLS if name in found]
        if nanoseconds < 0 or not memory or not killed:
            return None
        self._peak_bytes = max(self._peak_bytes, *memory)
        return Reading(nanoseconds / 1e9, self._peak_bytes, over_memory=killed[0] > 0)


_PEAKS = ("memory/memory.max_usage_in_bytes", "memory.peak", "memory.current")
_KILLS = ("memory/memory.oom_control oom_kill", "memory.events oom_kill")
