"""A bubblewrap process with its job, from the launch until the last process is dead."""

import os
import select
import signal
import socket
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from sandbox import seccomp
from sandbox.bubblewrap import launch
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job_log import JobLog, StandardStream
from sandbox.limits.affinity import pin
from sandbox.limits.controller import Control, Usage
from sandbox.limits.polling import TICK_MS

_TICK_SECONDS = TICK_MS / 1000  # between two looks at the job's usage
_START_SECONDS = 60.0  # a launch takes 0.05 s, but far longer on an overloaded machine
_DEATH_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16
_ABOUT_RIGHTS = ("permission", "permitted", "namespace", "setpriv")
_OTHERWISE = "Or use --sandbox docker."
CONTAINER_OPTIONS = "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
"""The options of `docker run` with which an ordinary user can start bubblewrap in a container."""


class Process:
    """A launched bubblewrap: it waits at the gate, then runs the job."""

    def __init__(self, popen: subprocess.Popen[bytes], gate: socket.socket, control: Control) -> None:
        self._popen = popen
        self._gate = gate
        self._control = control
        self._fd = os.pidfd_open(popen.pid)
        self._init_fd = -1  # process 1 of the job's pid namespace: when it dies, the kernel kills all others
        assert popen.stdout is not None
        assert popen.stderr is not None
        # Each stream is removed once it has been read to the end.
        self._printed = {popen.stdout.fileno(): StandardStream.STDOUT, popen.stderr.fileno(): StandardStream.STDERR}
        for fd in self._printed:
            os.set_blocking(fd, False)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def pass_gate(
        self,
        program: Path,
        who: launch.Identity,
        *,
        file_bytes: int,
        cores: Collection[int],
        environment: Mapping[str, str],
    ) -> None:
        """Wait until the job's process has dropped its rights, check that, set its limits and let it run.

        Args:
            program: bubblewrap, for messages.
            who: the user that the process must have become.
            file_bytes: the largest file that it may write.
            cores: the processors that it may run on; empty: any.
            environment: the job's variables, in addition to those of the sandbox.

        Raises:
            SandboxUnavailableError: bubblewrap did not start the job; the message has the remedy.
            UnsafeLaunchError: the process has rights on the host.
            SandboxError: the launch took too long, or something killed it.
        """
        self._gate.settimeout(_START_SECONDS)
        try:
            waiting = launch.receive(self._gate)
        except TimeoutError as error:
            raise SandboxError(f"bubblewrap did not start the job within {_START_SECONDS:.0f} s; try again") from error
        if waiting is None:
            self._wait_for_death()
            printed = b"".join(map(_read, self._printed)).decode("utf-8", "replace").strip()
            raise SandboxUnavailableError(explain_failed_launch(printed, program, root=os.geteuid() == 0))
        try:
            self._init_fd = os.pidfd_open(waiting.init)
            launch.check_unprivileged(waiting, who, filtered=seccomp.supported())
            if cores:
                pin(cores, waiting.init, waiting.pid)
            self._control.adopt(waiting.pid, waiting.init)
            launch.die_first(waiting.pid)
            launch.limit_init(waiting.init, file_bytes, self._control.rlimit_processes)
            launch.open_gate(self._gate, environment)
        except (FileNotFoundError, ProcessLookupError, ConnectionError) as error:
            raise SandboxError("something killed the job before it began; is this machine out of memory?") from error
        self._gate.close()

    def fds(self) -> tuple[int, ...]:
        """Return the job's outputs while they are open, and the descriptor that names bubblewrap's process."""
        return (self._fd, *self._printed)

    def look_seconds(self) -> float:
        """Return the time between two looks."""
        return _TICK_SECONDS

    def drain(self, log: JobLog) -> None:
        """Move one piece of what the job has printed in each stream to `log`."""
        for fd, stream in list(self._printed.items()):
            try:
                data = os.read(fd, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            log.write(data, stream)
            if not data:
                del self._printed[fd]

    def usage(self, *, fresh: bool = False) -> Usage:
        """Return what the job has used until now."""
        return self._control.read()

    def has_ended(self, *, fresh: bool = False) -> bool:
        """Return whether bubblewrap has ended, which is after every process of the job."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def finish(self, log: JobLog) -> tuple[int, float]:
        """Kill the job if it is alive, write the rest of its log, and return its exit status and CPU seconds.

        The CPU seconds are what the kernel counts for bubblewrap and its children.
        """
        if not self.has_ended():
            self._kill()
        self._wait_for_death()
        _, wait_status, usage = os.wait4(self._popen.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(wait_status)
        # All writers are dead: the pipes hold the rest of the output, and its end.
        while self._printed and _is_any_readable(self._printed, _DEATH_SECONDS):
            self.drain(log)
        return self._popen.returncode, usage.ru_utime + usage.ru_stime

    def end(self) -> None:
        """Kill the job if it is alive, and close all files."""
        if self._popen.returncode is None:
            self._kill()
            self._wait_for_death()
            self._popen.wait()
        self._gate.close()
        for printed in (self._popen.stdout, self._popen.stderr):
            assert printed is not None
            printed.close()
        for fd in (self._fd, self._init_fd):
            if fd >= 0:
                os.close(fd)

    def _wait_for_death(self) -> None:
        """Wait until all processes are dead. Our child is not reaped."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        dead = poll.poll(_DEATH_SECONDS * 1000)
        if not dead:
            raise SandboxError(
                f"processes of the job are alive {_DEATH_SECONDS:.0f} s after SIGKILL, stuck in the kernel; "
                "find them with ps, and restart the machine if they stay"
            )

    def _kill(self) -> None:
        # Process 1 of the namespace dies after all others in it, and bubblewrap outside dies after process 1. If
        # bubblewrap were killed instead, the job could still be dying when we return.
        with suppress(ProcessLookupError):  # it has just ended
            signal.pidfd_send_signal(self._init_fd if self._init_fd >= 0 else self._fd, signal.SIGKILL)


def _is_any_readable(fds: Collection[int], seconds: float) -> bool:
    """Return whether one of `fds` becomes readable, or ends, within `seconds`."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _read(fd: int) -> bytes:
    """Return what a pipe holds, without waiting."""
    try:
        return os.read(fd, _CHUNK_BYTES)
    except BlockingIOError:
        return b""


def explain_failed_launch(printed: str, program: Path, *, root: bool, kernel: Path = Path("/proc/sys")) -> str:
    """Return the message for users, with a remedy.

    Args:
        printed: what the launch has printed.
        program: bubblewrap.
        root: whether root launched it.
        kernel: the folder with the kernel's settings.
    """
    failure = f"bubblewrap did not start the job: {printed or 'it printed nothing'}."
    if "source path" in printed or not any(word in printed.lower() for word in _ABOUT_RIGHTS):
        return f"{failure} Check the mounts and the working folder of the task."
    if root:
        return (
            f"{failure} As root, it needs the rights to mount and to change its user, which many containers lack: "
            f"run as an ordinary user, or start the container with --privileged. {_OTHERWISE}"
        )
    if _setting(kernel / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            f"{failure} AppArmor forbids ordinary users to create namespaces here (Ubuntu 24.04 and later). "
            f"Allow it for this one program:\n\n{apparmor_command(program)}\n\n{_OTHERWISE}"
        )
    if _setting(kernel / "user/max_user_namespaces") == "0":
        return f"{failure} User namespaces are disabled: sudo sysctl user.max_user_namespaces=15000. {_OTHERWISE}"
    if _setting(kernel / "kernel/unprivileged_userns_clone") == "0":
        return f"{failure} Only root may create them: sudo sysctl kernel.unprivileged_userns_clone=1. {_OTHERWISE}"
    which = "The container that this program runs in hides parts of /proc"
    if "mount proc" not in printed:
        which = "This machine, or the container that this program runs in, may forbid user namespaces"
    return f"{failure} {which}: start a container with {CONTAINER_OPTIONS}. {_OTHERWISE}"


def apparmor_command(program: Path) -> str:
    """Return the shell command that installs an AppArmor profile for this bubblewrap alone."""
    return f"""sudo tee /etc/apparmor.d/autocentaur-bwrap <<'END'
abi <abi/4.0>,
include <tunables/global>
profile autocentaur-bwrap {program} flags=(unconfined) {{
  userns,
}}
END
sudo apparmor_parser -r /etc/apparmor.d/autocentaur-bwrap"""


def _setting(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip() if os.access(file, os.R_OK) else ""
