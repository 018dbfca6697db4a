"""The keeper, the first process of a container: it counts what all processes use, and ends when this program dies.

The keeper runs as another user than the job, so the job cannot stop it, and it outlives the job, so its counts are
complete. It prints the counts for each line on its standard input. The engine closes that input when the program that
started the container dies for whatever reason; then the keeper ends, and the kernel kills the other processes.
"""

import re
from collections.abc import Mapping

from sandbox.limits.controller import Usage
from sandbox.limits.memory_peak import STAT_NAMES, MemoryPeak, droppable_bytes

_FILES = (  # of control groups version 1, then 2; the script reads those that exist
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
    """The keeper's answers, parsed as they arrive."""

    def __init__(self) -> None:
        self.n_answers = 0
        self.latest: Usage | None = None
        self._text = ""
        self._peak = MemoryPeak()

    def take(self, printed: bytes) -> None:
        """Parse a piece of the keeper's output, which may be cut anywhere."""
        self._text += printed.decode("ascii", "replace")
        while "\n.\n" in self._text:
            answer, _, self._text = self._text.partition("\n.\n")
            self.latest = self._usage(answer)
            self.n_answers += 1

    def _usage(self, answer: str) -> Usage | None:
        """Return the usage in an answer, None if one of the three counts is missing."""
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
