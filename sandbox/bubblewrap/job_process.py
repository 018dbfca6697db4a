"""One launched bubblewrap from its start to the death of its last process: the gate, the limits, the log, the kill."""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox import seccomp
from sandbox.bubblewrap import launch
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job import QUESTION_SECONDS, Job, StoppedBy
from sandbox.job_log import BoundedLog
from sandbox.limits.controller import Control
from sandbox.limits.polling import TICK_MS

_TICK_SECONDS = TICK_MS / 1000  # between two looks at what the job has used
_LOOK_SHARE = 0.1  # of one processor that looking may take, on a machine with very many processes
_START_SECONDS = 60.0  # a launch takes 0.05 s; this is for a machine that is busy beyond reason
_DEATH_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16
_ABOUT_RIGHTS = ("permission", "permitted", "namespace", "setpriv")
_OTHERWISE = "Or use --sandbox docker."


@dataclass(frozen=True)
class Ending:
    """How a job ended, as the host saw it."""

    stopped_by: StoppedBy
    exit_code: int | None
    signal: int | None
    wall_seconds: float
    cpu_seconds: float  # as bubblewrap's parent was told


class Process:
    """A launched bubblewrap: first at the gate, then the job."""

    def __init__(self, popen: subprocess.Popen[bytes], gate: socket.socket) -> None:
        self._popen = popen
        self._gate = gate
        self._fd = os.pidfd_open(popen.pid)
        self._init_fd = -1  # names process 1 of the job's pid namespace: with it, the kernel kills all of them
        assert popen.stdout is not None
        self._printed = popen.stdout.fileno()
        os.set_blocking(self._printed, False)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def pass_gate(
        self,
        program: Path,
        who: launch.Identity,
        control: Control,
        *,
        file_bytes: int,
        environment: Mapping[str, str],
    ) -> None:
        """Wait until the job's process has given up its rights, check that, put it under its limits, and let it run.

        `file_bytes` is the largest file that it may write, `environment` what it is given beside our own variables.
        """
        self._gate.settimeout(_START_SECONDS)
        try:
            waiting = launch.receive(self._gate)
        except TimeoutError as error:
            raise SandboxError(f"bubblewrap did not start the job within {_START_SECONDS:.0f} s; try again") from error
        if waiting is None:
            self._wait_for_death()
            said = os.read(self._printed, _CHUNK_BYTES).decode("utf-8", "replace").strip()
            raise SandboxUnavailableError(of_refused_launch(said, program, root=os.geteuid() == 0))
        try:
            self._init_fd = os.pidfd_open(waiting.init)
            launch.refuse_rights(waiting, who, filtered=seccomp.supported())
            control.adopt(waiting.pid, waiting.init)
            launch.die_first(waiting.pid)
            launch.limit_init(waiting.init, file_bytes, control.rlimit_processes)
            launch.open_gate(self._gate, environment)
        except (FileNotFoundError, ProcessLookupError, ConnectionError) as error:
            raise SandboxError("something killed the job before it began; is this machine out of memory?") from error
        self._gate.close()

    def follow(self, job: Job, log: BoundedLog, control: Control) -> Ending:
        """Return how the job ended: by itself, by a limit or by its caller; its log is written meanwhile."""
        started = time.monotonic()
        deadline = started + job.limits.wall_seconds
        stopped_by = StoppedBy.ITSELF
        with selectors.DefaultSelector() as selector:
            selector.register(self._printed, selectors.EVENT_READ)
            selector.register(self._fd, selectors.EVENT_READ)
            next_look = started + _TICK_SECONDS
            next_question = started + QUESTION_SECONDS
            while True:
                ready = {key.fd for key, _ in selector.select(max(0.0, min(deadline, next_look) - time.monotonic()))}
                if self._printed in ready and not self._drain(log):
                    selector.unregister(self._printed)
                if self._fd in ready:
                    break
                now = time.monotonic()
                if now >= next_look:
                    used = control.read()
                    looked = time.monotonic() - now
                    next_look = now + max(_TICK_SECONDS, looked / _LOOK_SHARE)
                    if used.over_memory:
                        stopped_by = StoppedBy.MEMORY
                    elif job.limits.cpu_seconds is not None and used.cpu_seconds > job.limits.cpu_seconds:
                        stopped_by = StoppedBy.CPU_LIMIT
                if job.stop_when is not None and now >= next_question:
                    next_question = now + QUESTION_SECONDS
                    if stopped_by is StoppedBy.ITSELF and job.stop_when():
                        stopped_by = StoppedBy.CALLER
                if now >= deadline:
                    stopped_by = StoppedBy.WALL_LIMIT
                if stopped_by is not StoppedBy.ITSELF:
                    break
        ended = time.monotonic()
        if stopped_by is not StoppedBy.ITSELF:
            self._kill()
            self._wait_for_death()
        _, wait_status, usage = os.wait4(self._popen.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(wait_status)
        while self._drain(log):  # every writer is dead: what is left is in the pipe
            pass
        return _ending(stopped_by, self._popen.returncode, ended - started, usage.ru_utime + usage.ru_stime)

    def end(self) -> None:
        """Leave no process and no open file."""
        if self._popen.returncode is None:
            self._kill()
            self._wait_for_death()
            self._popen.wait()
        self._gate.close()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        for fd in (self._fd, self._init_fd):
            if fd >= 0:
                os.close(fd)

    def _drain(self, log: BoundedLog) -> bool:
        """Pass on what was printed; return False at the end of it."""
        try:
            data = os.read(self._printed, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        log.write(data)
        return bool(data)

    def _wait_for_death(self) -> None:
        """Wait until no process is left, short of reaping the one that is our child."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._fd, selectors.EVENT_READ)
            dead = selector.select(_DEATH_SECONDS)
        if not dead:
            raise SandboxError(
                f"processes of the job are alive {_DEATH_SECONDS:.0f} s after SIGKILL, stuck in the kernel; "
                "find them with ps, and restart the machine if they stay"
            )

    def _kill(self) -> None:
        # Process 1 first: bubblewrap outside ends after it, and it after every other process of its namespace. The
        # other way round, the job would still be dying when we return.
        with suppress(ProcessLookupError):  # it has just ended
            signal.pidfd_send_signal(self._init_fd if self._init_fd >= 0 else self._fd, signal.SIGKILL)


def _ending(stopped_by: StoppedBy, code: int, wall_seconds: float, cpu_seconds: float) -> Ending:
    if stopped_by is not StoppedBy.ITSELF:
        return Ending(stopped_by, None, None, wall_seconds, cpu_seconds)
    number = -code if code < 0 else code - 128
    if 1 <= number <= signal.NSIG - 1:
        return Ending(StoppedBy.SIGNAL, None, number, wall_seconds, cpu_seconds)
    return Ending(stopped_by, code, None, wall_seconds, cpu_seconds)


def of_refused_launch(said: str, program: Path, *, root: bool, kernel: Path = Path("/proc/sys")) -> str:
    """Return a message for users. `said` is what the launch printed, `kernel` where the kernel's settings are."""
    told = f"bubblewrap did not start the job: {said or 'it said nothing'}."
    if "source path" in said or not any(word in said.lower() for word in _ABOUT_RIGHTS):
        return f"{told} Check the mounts and the working folder of the task."
    if root:
        return (
            f"{told} As root it needs the rights to mount and to become another user, which many containers lack: "
            f"run as an ordinary user, or the container with --privileged. {_OTHERWISE}"
        )
    if _setting(kernel / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            f"{told} AppArmor lets ordinary users make no namespaces here (Ubuntu 24.04 and later). "
            f"Allow it for this one program:\n\n{apparmor_command(program)}\n\n{_OTHERWISE}"
        )
    if _setting(kernel / "user/max_user_namespaces") == "0":
        return f"{told} User namespaces are switched off: sudo sysctl user.max_user_namespaces=15000. {_OTHERWISE}"
    if _setting(kernel / "kernel/unprivileged_userns_clone") == "0":
        return f"{told} User namespaces are root's alone: sudo sysctl kernel.unprivileged_userns_clone=1. {_OTHERWISE}"
    return f"{told} This machine, or the container around us, may forbid user namespaces. {_OTHERWISE}"


def apparmor_command(program: Path) -> str:
    """Return the shell command that installs an AppArmor profile for our own bubblewrap."""
    return f"""sudo tee /etc/apparmor.d/autocentaur-bwrap <<'END'
abi <abi/4.0>,
include <tunables/global>
profile autocentaur-bwrap {program} flags=(unconfined) {{
  userns,
}}
END
sudo apparmor_parser -r /etc/apparmor.d/autocentaur-bwrap"""


def _setting(file: Path) -> str:
    return file.read_text().strip() if os.access(file, os.R_OK) else ""
