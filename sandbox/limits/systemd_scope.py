"""Control groups for an ordinary user by the user's systemd: a transient scope for each job.

This follows systemd-run(1) and systemd.resource-control(5) of version 252. It was developed on a machine without a
running systemd, where only the commands and the keeper could be tested.
"""

import errno
import itertools
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.job import Limits
from sandbox.limits import cgroup
from sandbox.limits.controller import Control, Controller, Usage, Wrapping
from sandbox.limits.memory_peak import MemoryPeak

_OURS = 3  # processes in the scope beside the job's: two of bubblewrap, and the keeper
_PROBE = 'cd "/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)" && cat memory.max pids.max cpu.max'
_PROBE_LIMITS = Limits(wall_seconds=1.0, memory_gb=0.0625, processes=13, cpus=0.5)
_PROBE_ANSWER = "67108864\n16\n50000 100000\n"
_serial = itertools.count()

# A scope disappears with its last process, and so do its counters. The keeper lives until we close its pipe.
_KEEPER = 'cat <"/proc/self/fd/$1" >/dev/null 2>&1 & shift && exec /usr/bin/env -i "$@"'


def find() -> Controller | None:
    """Return the controller, None unless the user's systemd creates a scope with the requested limits."""
    program = shutil.which("systemd-run")
    if program is None or os.geteuid() == 0 or "XDG_RUNTIME_DIR" not in os.environ:
        return None
    try:
        printed = subprocess.run(
            [program, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10
        ).stdout
        scopes = SystemdScopes(program, int(printed.split()[1].partition(".")[0].partition("~")[0]))
        command = [*scopes.command("probe", _PROBE_LIMITS), "/bin/sh", "-c", _PROBE]
        answer = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # no user manager answers
    return scopes if answer == _PROBE_ANSWER else None


class SystemdScopes:
    """Creates transient scopes by the user's systemd."""

    how = "cgroup v2 by systemd-run --user --scope"
    inexact: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refused_calls: tuple[str, ...] = ()

    def __init__(self, program: str, version: int) -> None:
        self.program = program
        self.version = version

    def command(self, label: str, limits: Limits) -> tuple[str, ...]:
        """Return the words that start a command in a scope with `limits`. They exec the command and do not fork."""
        properties = [
            f"MemoryMax={int(limits.memory_gb * 2**30)}",
            "MemorySwapMax=0",
            f"TasksMax={limits.processes + _OURS}",
            f"CPUQuota={limits.cpus * 100:.0f}%",
        ]
        if self.version >= 253:  # since then, scopes would kill our own processes with the job's by default
            properties.append("OOMPolicy=continue")
        unit = f"--unit=autocentaur-{os.getpid()}-{next(_serial)}.scope"
        options = [option for value in properties for option in ("--property", value)]
        return (
            *(self.program, "--user", "--scope", "--quiet", "--collect", unit, f"--description=sandbox {label}"),
            *(*options, "--"),
        )

    def hold(self, label: str, limits: Limits) -> Control:
        manager = {
            name: os.environ[name] for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS") if name in os.environ
        }
        return KeptScope(self.command(label, limits), manager, limits)

    def sweep(self) -> None:
        """Do nothing: scopes end with their processes."""


class KeptScope:
    """A scope with a keeper, which makes it outlive the job until the counters are read."""

    rlimit_processes: int | None = None

    def __init__(self, command: tuple[str, ...], manager: dict[str, str], limits: Limits) -> None:
        self._limits = limits
        self._folder = Path()
        self._peak = MemoryPeak()
        self._usage = Usage(0.0, 0, over_memory=False)
        self._keeper, self._end_of_keeper = os.pipe()
        prefix = (*command, "/bin/sh", "-c", _KEEPER, "sh", str(self._keeper))
        self.wrapping = Wrapping(prefix, manager, (self._keeper,))

    def adopt(self, pid: int, init: int) -> None:
        member = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").rpartition("0::")[2].strip()
        self._folder = cgroup.ROOT / member.lstrip("/")
        wanted = str(int(self._limits.memory_gb * 2**30))
        found = (
            (self._folder / "memory.max").read_text(encoding="utf-8").strip() if member.endswith(".scope") else "none"
        )
        if found != wanted:
            raise SandboxError(f"systemd put the job in {member} with memory.max {found}, not {wanted}; try again")

    def read(self) -> Usage:
        try:
            self._usage = cgroup.read_v2(self._folder, self._peak)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
            # The scope is gone with its keeper: systemd-oomd kills whole scopes when memory is short.
            self._usage = replace(self._usage, over_memory=True)
        return self._usage

    def close(self) -> None:
        os.close(self._keeper)
        os.close(self._end_of_keeper)
