"""A queue whose only node is this machine: each job is a process here. What it says can be withheld, or be wrong."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.execution.placement.job_queue import JobNeeds, QueueState, QueueUnreachableError
from sandbox.errors import SandboxError


class LocalQueue:
    """Starts each job at once."""

    shares_folder = True

    def __init__(self) -> None:
        self.answers = True  # whether it can be reached
        self.forgets = False  # whether it does not know the jobs that it has started
        self.refuses = 0  # so many submissions are accepted, but not confirmed
        self.n_started = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def check(self, needs: JobNeeds) -> None:
        """Accept everything."""

    def submit(self, name: str, folder: Path, needs: JobNeeds, is_to_stop: Callable[[], bool]) -> None:
        self._reached()
        if "local" in needs.avoided:
            raise SandboxError("Requested node configuration is not available")
        self.n_started += 1
        command = [sys.executable, "-I", "-m", "sandbox.node", str(folder)]
        variables = {"PATH": os.environ["PATH"], "SLURMD_NODENAME": "local"}
        self._processes[name] = subprocess.Popen(command, env=variables, start_new_session=True)
        if self.refuses:
            self.refuses -= 1
            raise QueueUnreachableError("no confirmation came")

    def states(self) -> Mapping[str, QueueState]:
        self._reached()
        if self.forgets:
            return {}
        states = {name: process.poll() is None for name, process in self._processes.items()}
        return {name: QueueState(alive, "RUNNING" if alive else "ENDED", "local") for name, alive in states.items()}

    def cancel(self, name: str) -> None:
        self._reached()
        self.end(signal.SIGTERM, name)

    def close(self) -> None:
        """Hold nothing."""

    def end(self, number: int, *names: str) -> None:
        """Send a signal to jobs, or to all: SIGKILL is what a failure of their node does."""
        for name in names or tuple(self._processes):
            process = self._processes.get(name)
            if process is not None and process.poll() is None:
                os.killpg(process.pid, number)

    def _reached(self) -> None:
        if not self.answers:
            raise QueueUnreachableError("nobody answers")
