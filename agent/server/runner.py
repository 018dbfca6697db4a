"""A runner: the process in the background that runs submissions. It outlives the client that started it."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.errors import AgentError
from agent.files import read_bytes
from agent.run.steering.user_input import is_pause_requested
from agent.store.paths import RunPaths
from agent.store.run_lock import holder
from agent.text import last_line, one_line

CONSENT_VARIABLE = "AUTOCENTAUR_TRUST"
"""Environment variable with which a user agrees to what the task of one command does outside of the sandbox."""
MOST_LOG_BYTES = 2**23
"""Size in bytes at which the next runner overwrites the log."""
MOST_FAILURES = 2
"""No more runners are started after this many in a row ended with an error."""


class RunnerError(AgentError):
    """No runner can work on the run; submissions stay in the inbox."""


class Runner:
    """Starts the runners of one run."""

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
        """Start a runner unless a process works on the run, or a runner is starting.

        Several clients may do so at once: the run's lock admits one runner, and the others end.

        Raises:
            RunnerError: a person has paused the run; or the last runners failed, and the message has the last line of
                their log.
        """
        if self._is_failing():
            log = self._paths.runner_log
            why = one_line(last_log_line(log)).removeprefix("error: ")
            raise RunnerError(f"the run cannot continue: {why} (see {log}); no submission is lost")
        if holder(self._paths) is None and self._process is None:
            if is_pause_requested(self._paths):
                run_id = self._paths.run_id
                raise RunnerError(
                    f"a person has paused {run_id}; `agent resume {run_id}` continues it, and no submission is lost"
                )
            self._process = self._started()

    def _is_failing(self) -> bool:
        """Count a runner that has ended with an error; return whether too many did."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            self._process = None
            is_other_at_work = holder(self._paths) is not None
            self._n_failed = 0 if code == 0 or is_other_at_work else self._n_failed + 1
        return self._n_failed >= MOST_FAILURES

    def _started(self) -> "subprocess.Popen[bytes]":
        """Start a process in a session of its own, whose output goes to `runner.log` of the run."""
        paths = self._paths
        exists = paths.run_json.exists()
        arguments = ["resume", paths.run_id, "--for-client", "--runs", str(paths.root.parent)]
        # The user has agreed in the client's command.
        variables = {**self._variables, CONSENT_VARIABLE: "1"}
        return start_in_background(paths, arguments if exists else self._start, variables)


def start_in_background(
    paths: RunPaths, arguments: Sequence[str], variables: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start `agent ARGUMENTS` in a session of its own, whose output goes to `runner.log` of the run."""
    log = paths.runner_log
    log.parent.mkdir(parents=True, exist_ok=True)
    mode = "ab" if not log.exists() or log.stat().st_size < MOST_LOG_BYTES else "wb"
    with log.open(mode) as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "agent", *arguments],  # -P: no package of our name in this folder
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=dict(variables),
        )


def last_log_line(log: Path) -> str:
    """Return the last line of a runner's log."""
    try:
        return last_line(read_bytes(log, 2 * MOST_LOG_BYTES)[-4000:].decode(errors="replace"))
    except FileNotFoundError:
        return "it printed nothing"
