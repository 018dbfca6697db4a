"""The Docker sandbox: each job runs in a new container of this machine's engine, which is removed afterwards."""

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import host_identity
from sandbox.container import image
from sandbox.container.engine import Engine
from sandbox.container.job_process import ContainerProcess
from sandbox.container.settings import Bind, binds_of, binds_of_constants, binds_of_names, output_binds, settings
from sandbox.errors import JobLostError, LauncherDiedError, SandboxUnavailableError
from sandbox.in_memory.runtime import Shared, unseparated
from sandbox.in_memory.staging import staged
from sandbox.interpreter import NAMED_PYTHON, interpreter
from sandbox.job import GIVEN, Execution, Job, StoppedBy
from sandbox.job_checks import HAS_LOGGED_IN, WITHOUT_ADDED, needs_copy, validate_job
from sandbox.job_log import JobLog
from sandbox.output_file import OutputFile
from sandbox.supervision import supervise

OWNER, JOB = "autocentaur.owner", "autocentaur.job"
"""Labels of our containers: the process that started the container, and the label of its job."""
COPIES = "autocentaur-copies."
"""Prefix of the names of our temporary folders."""

_N_STARTS = 5
"""runc's launcher has threads of its own; with `processes = 1` the limit kills it if it starts slowly."""
# The engine adds HOSTNAME, which env removes.
_LAUNCH = f'{HAS_LOGGED_IN}; exec env {WITHOUT_ADDED} -u HOSTNAME -- "$@"'


class DockerSandbox:
    """Runs each job in its own container; `docs/security.md` lists the guarantees.

    `wanted` specifies the image. `gpus` says whether jobs will use GPUs. `say` receives a line when an image is built.
    `accept_unenforced` names limits that need not be enforced if this engine cannot.

    Raises:
        SandboxUnavailableError: no usable engine, no image, or a limit that cannot be enforced.
    """

    def __init__(
        self,
        wanted: image.ImageSpec = image.SHIPPED_IMAGE,
        accept_unenforced: frozenset[str] = frozenset(),
        *,
        gpus: bool = False,
        say: image.Say = print,
    ) -> None:
        with Engine() as engine:
            self._address = engine.address
            info = engine.info()
            self._missing = missing(info)
            for limit in self._missing:
                name = limit.partition(":")[0]
                if name not in accept_unenforced:
                    raise SandboxUnavailableError(
                        f"this engine cannot enforce {limit}; accept that with --accept-unenforced {name}"
                    )
            self._unpinned = () if info.get("CPUSet") else ("cores: the engine reports no CPUSet",)
            sweep(engine)
            self._image = image.find_or_build(engine, wanted, gpus=gpus, say=say)
        self._python = interpreter(wanted.python) if wanted.python else None
        self._shared = Shared(self._python)
        self._runtime = self._shared.runtime
        self._constants = tempfile.TemporaryDirectory(prefix=f"{COPIES}{host_identity.process_id()}.")
        self._fixed_binds = binds_of_constants(Path(self._constants.name))
        if self._python is not None:
            self._fixed_binds += binds_of_names(self._python, Path(self._constants.name))
        name = f" ({self._image.name})" if self._image.name else ""
        self._identity = f"docker {info['ServerVersion']}, image {self._image.id}{name}"

    def run(self, job: Job) -> Execution:
        """Run `job` until it ends. When this returns or raises, its container and all its processes are gone.

        An exit status of 129 to 192 counts as death by signal 1 to 64, because Docker reports both alike.

        Raises:
            JobLostError: something outside stopped or removed the container, or the engine did not answer for a while.
            SandboxError: the engine failed. A failure of the job is part of the Execution instead.
        """
        validate_job(job)
        for _ in range(_N_STARTS - 1):
            with suppress(LauncherDiedError):
                return self._run(job)
        return self._run(job)

    def _run(self, job: Job) -> Execution:
        users = Users.choose()
        with ExitStack() as held:
            copy = Path("/")
            if job.apart:
                in_memory = held.enter_context(staged(self._runtime, job))
                job, copy = in_memory.job, in_memory.runtime
            output = held.enter_context(OutputFile(job.output, users.job, users.job_group)) if job.output else None
            log = held.enter_context(JobLog(job))
            binds = [*self._python_binds(copy), *self._fixed_binds, *held.enter_context(_readable(job, users.job))]
            if job.extra_output is not None:  # released when `held` closes: the container is gone then
                held.enter_context(OutputFile(job.extra_output, users.job, users.job_group))
            binds += output_binds(job)
            engine = held.enter_context(Engine(self._address))
            name = f"autocentaur-{re.sub(r'[^A-Za-z0-9]+', '-', job.label)}-{uuid.uuid4().hex[:12]}"
            labels = {OWNER: host_identity.process_id(), JOB: job.label}
            hidden = self._python.hidden if self._python and not job.apart else ()  # a copy does not contain them
            request = settings(
                job, self._image.id, f"{users.keeper}:{users.keeper}", binds, hidden=hidden, labels=labels
            )
            held.callback(engine.remove, name)
            engine.create(name, request)
            kept = held.enter_context(closing(engine.attach(name)))
            engine.start(name)
            process = ContainerProcess(engine, name, kept)
            held.callback(process.close)
            process.begin(self._command(job), f"{users.job}:{users.job_group}", self._environment(job), job.workdir)
            try:
                ending = supervise(process, job, log)
                if ending.stopped_by is StoppedBy.ITSELF:
                    ending = ending.with_status(process.exit_status(job.log))
            except JobLostError:
                engine.remove_at_last(name)
                raise
            engine.remove(name)
            process.drain_rest(log)
            log.close()
            size = output.take_back() if output is not None else None
            return Execution(
                exit_code=ending.exit_code,
                stopped_by=ending.stopped_by,
                wall_seconds=ending.wall_seconds,
                cpu_seconds=ending.usage.cpu_seconds if ending.usage else None,
                peak_memory_gb=ending.usage.peak_memory_bytes / 2**30 if ending.usage else None,
                output_bytes=size,
                log_truncated=log.truncated,
                signal=ending.signal,
                sandbox=self._identity,
                unenforced=(*self._missing, *(self._unpinned if job.cores else ()), *unseparated(job, self._runtime)),
                copied_gb=self._runtime.n_bytes / 2**30 if job.apart else 0.0,
            )

    def close(self) -> None:
        """Remove the copy in memory, if one was made, and the constant files. Safe to call twice."""
        self._shared.close()
        self._constants.cleanup()

    def _python_binds(self, copy: Path) -> list[Bind]:
        return binds_of(self._python, copy) if self._python else []

    def _command(self, job: Job) -> list[str]:
        return ["/bin/sh", "-c", _LAUNCH, "sh", *job.argv]

    def _environment(self, job: Job) -> Mapping[str, str]:
        path = self._image.path
        if self._python is not None:
            named = "" if self._python.has_name else f"{NAMED_PYTHON}:"
            path = f"{named}{self._python.executable.parent}:{path}"
        given = {"PATH": path, **GIVEN}
        if job.gpus:  # the job sees no other devices, so their numbers begin at 0
            given["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in range(len(job.gpus)))
        return given | dict(job.environment)


@dataclass(frozen=True)
class Users:
    """The users in a container. Their numbers are the host's, because the engine maps no users."""

    job: int
    job_group: int
    keeper: int

    @classmethod
    def choose(cls) -> "Users":
        """Return the users for a new job.

        A job that an ordinary user launches runs as that user, because no other could read its mounts.
        """
        keeper_user = host_identity.private_id()
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), keeper_user)
        job = host_identity.private_id()
        return cls(job, job, keeper_user)


def missing(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the limits that an engine with this `info` cannot enforce, each with the reason.

    Raises:
        SandboxUnavailableError: it does not filter system calls, or it maps users.
    """
    security = " ".join(info.get("SecurityOptions") or ())
    if "name=seccomp" not in security:
        raise SandboxUnavailableError(
            "this Docker engine does not filter system calls (seccomp); use --sandbox bubblewrap"
        )
    if "name=rootless" in security or "name=userns" in security:
        raise SandboxUnavailableError(
            "this Docker engine maps users (rootless or userns-remap), and the job could not write its output; "
            "use the system's engine, or --sandbox bubblewrap"
        )
    switches = {"memory": ("MemoryLimit", "SwapLimit"), "processes": ("PidsLimit",), "cpus": ("CpuCfsQuota",)}
    return tuple(
        f"{limit}: the engine reports no {switch}"
        for limit, names in switches.items()
        for switch in names
        if not info.get(switch) and not (switch == "SwapLimit" and not _has_swap())
    )


def sweep(engine: Engine) -> None:
    """Remove the containers and files of processes that are dead."""
    for container, started_by in engine.labelled(OWNER).items():
        if host_identity.is_dead(started_by):
            engine.remove(container)
    for folder in host_identity.folders_of_dead_processes(COPIES):
        with suppress(FileNotFoundError):  # another process removes it too
            shutil.rmtree(folder)


@contextmanager
def _readable(job: Job, uid: int) -> Iterator[list[Bind]]:
    """Yield the binds of the job's mounts, with a temporary copy of each source that user `uid` may not read."""
    binds = []
    with ExitStack() as held:
        for mount in job.mounts:
            source = mount.source
            if needs_copy(mount, uid):
                prefix = f"{COPIES}{host_identity.process_id()}."
                folder = held.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
                source = Path(folder) / "copy"
                shutil.copyfile(mount.source, source)
                source.chmod(0o444)  # in a folder that only we can enter
            binds.append(Bind(source, mount.target))
        yield binds


def _has_swap() -> bool:
    return len(Path("/proc/swaps").read_text(encoding="utf-8").splitlines()) > 1
