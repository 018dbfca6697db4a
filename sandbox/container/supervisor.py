"""The first process of a container: it holds it, counts what all its processes use, and ends it when we are gone.

It runs as another user than the job, who therefore cannot stop it, and outlives it, so that the counts are complete.
For every line on its standard input it prints the counts. The engine closes that input when the program that started
the container is dead, however it died: then the keeper ends, and the kernel kills every process with it.
"""

import re
from collections.abc import Mapping

from sandbox.limits.controller import Usage
from sandbox.limits.memory_peak import STAT_NAMES, MemoryPeak, droppable_bytes

_FILES = (  # of version 1, then 2; which are there is seen when it runs
    "cpuacct/cpuacct.usage",
    "memory/memory.usage_in_bytes",
    "memory/memory.max_usage_in_bytes",
    "memory/memory.stat",
    "memory/memory.oom_control",
    "cpu.stat",
    "memory.current",
    "memory.peak",
    "memory.stat",
    "memory.events",
)
_SCRIPT = f"""
while read -r _; do
  for file in "$@"; do
    if [ -r "$file" ]; then
      while read -r line; do
        case "${{file##*/}} $line" in
          {"|".join(f'"memory.stat {name} "*' for name in STAT_NAMES)}) echo "$file $line" ;;
          "memory.stat "*) ;;
          *) echo "$file $line" ;;
        esac
      done <"$file"
    fi
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
        self.latest: Usage | None = None
        self._text = ""
        self._peak = MemoryPeak()

    def take(self, printed: bytes) -> None:
        """Take in a piece of what was printed; it may be cut anywhere."""
        self._text += printed.decode("ascii", "replace")
        while "\n.\n" in self._text:
            answer, _, self._text = self._text.partition("\n.\n")
            self.latest = self._usage(answer)
            self.n_answers += 1

    def _usage(self, answer: str) -> Usage | None:
        """Return what an answer says, None if it has not all three counts."""
        lines = (line.rpartition(" ") for line in answer.splitlines())
        found = {name: int(value) for name, _, value in lines if re.fullmatch(r"\d+", value)}
        nanoseconds = found.get("cpuacct/cpuacct.usage", found.get("cpu.stat usage_usec", -1) * 1000)
        used = _first(found, "memory/memory.usage_in_bytes", "memory.current")
        highest = _first(
            found, "memory/memory.max_usage_in_bytes", "memory.peak"
        )  # Linux before 5.19: not in version 2
        killed = _first(found, "memory/memory.oom_control oom_kill", "memory.events oom_kill")
        if nanoseconds < 0 or used is None or killed is None:
            return None
        stat = {name.rpartition(" ")[2]: value for name, value in found.items() if "memory.stat " in name}
        peak_bytes = self._peak.look(used, droppable_bytes(stat), highest)
        return Usage(nanoseconds / 1e9, peak_bytes, over_memory=killed > 0)


def _first(found: Mapping[str, int], *names: str) -> int | None:
    return next((found[name] for name in names if name in found), None)
