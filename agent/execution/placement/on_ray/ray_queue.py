"""The queue of a Ray cluster, as a run sees it. Ray itself is imported by another process, the driver."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.execution.placement.job_queue import JobNeeds, QueueBusyError, QueueState, QueueUnreachableError
from agent.extras import require_extra
from agent.task.cluster_table import ClusterSpec
from agent.text import one_line
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job import POLL_SECONDS

EXTRA = "ray"
_START_SECONDS = 120.0  # for the driver to connect
_ANSWER_SECONDS = 120.0
_SUBMIT_SECONDS = 3600.0  # which sends the files of the job
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "USER")
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A driver that cannot reach the controller ends, and its tasks with it: by default after a minute.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
}


class Ray:
    """A queue whose jobs are tasks of Ray, each run at most once. They end with this program."""

    shares_folder = False

    def __init__(self, spec: ClusterSpec, address: str | None = None) -> None:
        """`address`: HOST:PORT of the cluster's head; None: RAY_ADDRESS, or the cluster that this machine is part of.

        Raises:
            MissingRequirementError: Ray is not installed.
            SandboxUnavailableError: no cluster answers there, or it is one of another version.
        """
        require_extra(EXTRA, "--on ray")
        self.spec = spec
        self._address = address
        self._lock = threading.Lock()
        self._driver: _Driver | None = _Driver(address)
        if (refused := self._driver.refused) is not None:
            self._driver.close()
            raise SandboxUnavailableError(
                f"cannot connect to Ray at {address or 'the address of this machine'}: {refused}; start the run on a "
                "machine of the cluster (`ray start --address=HEAD:PORT`), and name its head: --on ray:HOST:PORT"
            )

    def check(self, needs: JobNeeds) -> None:
        """Return if a node has what such a job needs. Raises SandboxError, with the remedy, if not."""
        self._ask("check", wanted=self._wanted(needs))

    def submit(self, name: str, folder: Path, needs: JobNeeds, is_to_stop: Callable[[], bool]) -> None:
        """Submit the job of a folder, and send its files. Raises as `JobQueue.submit` does."""
        details = {"wanted": self._wanted(needs), "shared": self.spec.shared, "avoided": needs.avoided}
        self._ask("submit", _SUBMIT_SECONDS, is_to_stop, name=name, folder=str(folder), **details)

    def states(self) -> Mapping[str, QueueState]:
        """Return the state of each job of this program, by name. Raises QueueUnreachableError."""
        try:
            answer = self._ask("states")
        except QueueUnreachableError:
            raise
        except SandboxError as error:
            raise QueueUnreachableError(str(error)) from error
        return {name: QueueState(*state) for name, state in answer["states"].items()}

    def cancel(self, name: str) -> None:
        """End the job of that name; there may be none. Raises QueueUnreachableError."""
        self._ask("cancel", name=name)

    def close(self) -> None:
        """End the driver, and with it all of its tasks. Safe to call twice."""
        with self._lock:
            if self._driver is not None:
                self._driver.close()
            self._driver = None

    def _wanted(self, needs: JobNeeds) -> dict[str, float]:
        """Return the resources of a job, as Ray names them."""
        gpus = {"GPU": float(needs.gpus)} if needs.gpus else {}
        return {"CPU": float(needs.cpus), "memory": needs.memory_mb * 2.0**20, **gpus, **self.spec.resources}

    def _ask(
        self,
        what: str,
        seconds: float = _ANSWER_SECONDS,
        is_to_stop: Callable[[], bool] = lambda: False,
        **details: object,
    ) -> dict[str, Any]:
        """Return the driver's answer, for which it waits until `is_to_stop`. Starts another driver if one has ended.

        Raises:
            QueueUnreachableError: there is no answer; whether the request was carried out is unknown.
            QueueBusyError: no node can run the job at present.
            SandboxError: the request was refused.
        """
        with self._lock:
            if self._driver is None or not self._driver.is_running():
                if self._driver is not None:
                    self._driver.close()
                self._driver = _Driver(self._address)
            driver = self._driver
        if driver.refused is not None:
            raise QueueUnreachableError(driver.refused)
        answer = driver.ask(what, seconds, is_to_stop, details)
        if (why := answer.get("unreachable")) is not None:
            raise QueueUnreachableError(why)
        if (why := answer.get("busy")) is not None:
            raise QueueBusyError(why)
        if (why := answer.get("refused")) is not None:
            raise SandboxError(why)
        return answer


class _Driver:
    """A process that is connected to Ray. `refused`: why it could not connect; None: it is."""

    def __init__(self, address: str | None) -> None:
        variables = {n: v for n, v in os.environ.items() if n in _PASSED_ON or n.startswith("RAY_")}
        command = [sys.executable, "-I", "-m", "agent.execution.placement.on_ray.driver"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        self._process = subprocess.Popen(
            command if address is None else [*command, address],
            env={**variables, **_SETTINGS},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a Ctrl-C is for the run, which then ends its jobs
        )
        self._expected = {0}
        self._answers: dict[int, dict[str, Any]] = {}
        self._next = 1
        self._changed = threading.Condition()
        self._has_ended = False
        threading.Thread(target=self._read, name="ray-driver", daemon=True).start()
        try:
            self.refused = self._answer(0, _START_SECONDS, lambda: False).get("refused")
        except QueueUnreachableError as error:
            self.refused = str(error)
        if self.refused is not None:
            self.refused = one_line(self.refused)[:400]

    def is_running(self) -> bool:
        return not self._has_ended and self.refused is None

    def ask(
        self, what: str, seconds: float, is_to_stop: Callable[[], bool], details: Mapping[str, object]
    ) -> dict[str, Any]:
        """Return the answer. Raises QueueUnreachableError if none comes in time and before `is_to_stop`."""
        with self._changed:
            number, self._next = self._next, self._next + 1
            self._expected.add(number)
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps({"id": number, "do": what, **details}) + "\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                raise QueueUnreachableError("its driver has ended") from error
        return self._answer(number, seconds, is_to_stop)

    def close(self) -> None:
        """End the process: at the end of its input it does so by itself."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=15.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _answer(self, number: int, seconds: float, is_to_stop: Callable[[], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                self._changed.wait_for(lambda: number in self._answers or self._has_ended, timeout=POLL_SECONDS)
                if number in self._answers:
                    return self._answers.pop(number)
            if self._has_ended:
                raise QueueUnreachableError(f"its driver has ended: {self._end_of_stderr()}")
            if (is_given_up := is_to_stop()) or time.monotonic() > deadline:
                with self._changed:
                    self._expected.discard(number)
                    self._answers.pop(number, None)
                why = (
                    "the submission was given up" if is_given_up else f"its driver did not answer within {seconds:g} s"
                )
                raise QueueUnreachableError(why)

    def _end_of_stderr(self) -> str:
        try:
            size = self._stderr.seek(0, os.SEEK_END)
            self._stderr.seek(max(0, size - 300))
            return one_line(self._stderr.read().decode(errors="replace").strip())
        except ValueError:  # closed
            return ""

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._changed:
                if (number := answer.pop("id")) in self._expected:
                    self._expected.discard(number)
                    self._answers[number] = answer
                    self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()
