"""Processes in the background that run what is submitted. They outlive the client that started them."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.errors import AgentError
from agent.files import read_bytes
from agent.run.steering.people import is_asked_to_pause
from agent.store.paths import RunPaths
from agent.store.run_lock import holder
from agent.text import last_line, one_line

MOST_LOG_BYTES = 2**23
"""Size of a runner's log, in bytes, at which it is started anew."""
MOST_FAILURES = 2
"""After this many runners in a row that ended with an error, no more are started."""


class RunnerError(AgentError):
    """The process in the background failed; what was submitted is still in the inbox."""


class Runner:
    """Keeps a runner at work on one run while there is something to do."""

    def __init__(self, paths: RunPaths, start: Sequence[str], variables: Mapping[str, str]) -> None:
        """Start no process yet.

        Args:
            start: arguments of `agent` that start the run, if it does not exist.
            variables: the environment variables of the process.
        """
        self._paths = paths
        self._start = tuple(start)
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None
        self._n_failed = 0

    def ensure(self) -> None:
        """Start a runner unless one is at work on the run, or is just starting.

        Several clients may do so at once: the run's lock lets one runner work, and the others end.

        Raises:
            RunnerError: a person has paused the run; or the last runners failed, and the message has the end of their
                log.
        """
        if self._is_failing():
            log = self._paths.runner_log
            raise RunnerError(f"the run cannot go on: {one_line(_end_of(log))} (see {log}); nothing submitted is lost")
        if holder(self._paths) is None and self._process is None:
            if is_asked_to_pause(self._paths):
                run_id = self._paths.run_id
                raise RunnerError(
                    f"a person has paused {run_id}; `agent resume {run_id}` continues it, and nothing submitted is lost"
                )
            self._process = self._started()

    def _is_failing(self) -> bool:
        """Take note of a process that has ended; return whether too many failed."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            self._process = None
            is_other_at_work = holder(self._paths) is not None
            self._n_failed = 0 if code == 0 or is_other_at_work else self._n_failed + 1
        return self._n_failed >= MOST_FAILURES

    def _started(self) -> "subprocess.Popen[bytes]":
        """Start a process of its own session, whose output goes to the run's log."""
        paths = self._paths
        exists = paths.run_json.exists()
        arguments = ["resume", paths.run_id, "--runs", str(paths.root.parent)] if exists else list(self._start)
        log = paths.runner_log
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "ab" if not log.exists() or log.stat().st_size < MOST_LOG_BYTES else "wb"
        with log.open(mode) as output:
            return subprocess.Popen(
                [sys.executable, "-m", "agent", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**self._variables, "AUTOCENTAUR_TRUST": "1"},  # the client's command has asked the user
            )


def _end_of(log: Path) -> str:
    try:
        return last_line(read_bytes(log, 2 * MOST_LOG_BYTES)[-4000:].decode(errors="replace"))
    except FileNotFoundError:
        return "it printed nothing"
