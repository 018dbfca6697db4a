"""The folder of one attempt of a job, on a file system that the nodes share: the request, and what the node answers.

    job.json        the job and its sandbox; written before the job is submitted
    started.json    where and when it started; exists before anything of the job runs, and is never replaced
    begun           exists once the job itself runs: before that, the node makes the copy that it may run from
    stop            asks the node to end the job
    log, output …   what the job writes, until it is moved to where the caller wants it
    execution.json  how it ended: renamed into place as the node's last act

Whoever finds execution.json knows how the job ended, whatever the cluster says about it. An attempt never shares its
folder with another one, because one whose node was given up may still be running.
"""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from sandbox.job import Execution, GpuState, Job, Limits, Mount, StoppedBy

PRINTED = ("log", "stdout", "stderr")
"""Files of a job that it does not open itself: the sandbox writes them."""
WRITTEN = ("output", "extra_output")
"""Files of a job that it writes itself."""
_MOST_BYTES = 2**22


@dataclass(frozen=True)
class InnerSandbox:
    """The bubblewrap sandbox that a node opens for a job."""

    python: str | None = None  # interpreter of the jobs; None: the one that runs this program on the node
    accept_unenforced: tuple[str, ...] = ()  # limits that the node need not enforce


@dataclass(frozen=True)
class JobRequest:
    """What a node is to run. The files of the job are where the caller wants them, not in the folder."""

    token: str  # which the answer repeats
    job: Job
    sandbox: InnerSandbox
    needs_gpu: bool = False

    @classmethod
    def of(cls, job: Job, sandbox: InnerSandbox, *, needs_gpu: bool) -> "JobRequest":
        """Return a request with a new token. `stop_when` stays with the caller."""
        return cls(secrets.token_hex(16), replace(job, stop_when=None), sandbox, needs_gpu)

    def is_same_work(self, other: "JobRequest") -> bool:
        """Return whether both ask for the same, apart from their tokens."""
        return replace(self, token=other.token) == other


@dataclass(frozen=True)
class Started:
    """Where a job runs."""

    node: str
    device: str  # the GPUs that the cluster gave to it, as nvidia-smi names them; empty: none
    at: float  # by the node's clock, seconds since 1970


@dataclass(frozen=True)
class JobResult:
    """How a job ended. Exactly one of the three is set."""

    execution: Execution | None = None
    failed: str | None = None  # the sandbox failed on the node, with the remedy
    lost: str | None = None  # the cluster ended the job, or the node failed


class JobFolder:
    """The files of one attempt. Each is written in one step: a reader on another machine sees all of it or nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def node_log(self) -> Path:
        """What the program on the node printed: nothing, unless it failed."""
        return self.path / "node.log"

    def file(self, name: str) -> Path:
        """Return the path at which the node creates the job's file of that name, one of PRINTED or WRITTEN."""
        return self.path / name

    def create(self, request: JobRequest) -> None:
        """Make the folder, which only this user can enter, with its request. Raises FileExistsError, OSError."""
        self.path.mkdir(mode=0o700)
        self._write("job.json", _request_as_json(request))

    def request(self) -> JobRequest | None:
        """Return the request; None if the folder has none, or one that this version does not know."""
        with suppress(KeyError, TypeError, ValueError):
            document = self._read("job.json")
            return None if document is None else _request_of(document)
        return None

    def start(self, started: Started) -> bool:
        """Record that the job starts; return False if it has been started before, so that it must not run again."""
        temporary = self._written_aside("started.json", asdict(started))
        try:
            os.link(temporary, self.path / "started.json")
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def started(self) -> Started | None:
        """Return where the job runs or ran; None if no node has started it, as far as is known."""
        with suppress(KeyError, TypeError, ValueError):
            document = self._read("started.json")
            return None if document is None else Started(**document)
        return None

    def begin(self) -> None:
        """Record that the job itself runs. Where that fails, the caller only waits longer for a node that hangs."""
        with suppress(OSError):
            (self.path / "begun").touch()

    def has_begun(self) -> bool:
        """Return whether the job itself runs or ran, as far as is known."""
        try:
            (self.path / "begun").stat()
        except OSError:
            return False
        return True

    def request_stop(self) -> None:
        """Ask the node to end the job; if no node has started it, none will run it any more."""
        with suppress(FileNotFoundError):
            (self.path / "stop").touch()

    def is_stop_requested(self) -> bool:
        """Return whether the job is to end: it was asked to, or its folder was removed, since nobody waits for it.

        False if the file system does not answer.
        """
        for name, if_there in (("stop", True), ("job.json", False)):
            try:
                (self.path / name).stat()
            except FileNotFoundError:
                if not if_there:
                    return True
            except OSError:
                return False
            else:
                if if_there:
                    return True
        return False

    def finish(self, token: str, result: JobResult) -> None:
        """Record how the job ended: the node's last act."""
        self._write("execution.json", {"token": token, **_without_none(asdict(result))})

    def result(self, token: str) -> JobResult | None:
        """Return how the job with that token ended; None if that is not known yet."""
        with suppress(KeyError, TypeError, ValueError):
            document = self._read("execution.json")
            if document is None or document.pop("token") != token:
                return None
            execution = document.pop("execution", None)
            return JobResult(execution=None if execution is None else _execution_of(execution), **document)
        return None

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        self._written_aside(name, document).replace(self.path / name)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _written_aside(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a document beside its place, wait until it is on the disk, and return its path."""
        temporary = self.path / f".{name}.{secrets.token_hex(4)}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def _read(self, name: str) -> dict[str, Any] | None:
        """Return a document; None if no plain file is there. Raises ValueError if it is no JSON object."""
        try:
            fd = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):  # a FIFO, a device
                    return None
                document = json.loads(file.read(_MOST_BYTES))
        except OSError:  # a link, or a fault of a network file system, where it is read again
            return None
        if not isinstance(document, dict):
            raise ValueError(name)
        return document


def _without_none(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _request_as_json(request: JobRequest) -> dict[str, Any]:
    job: dict[str, Any] = {field.name: getattr(request.job, field.name) for field in fields(Job)}
    del job["stop_when"]
    job |= {name: str(job[name]) for name in (*PRINTED, *WRITTEN) if job[name] is not None}
    job["limits"] = asdict(request.job.limits)
    job["mounts"] = [{**asdict(mount), "source": str(mount.source)} for mount in request.job.mounts]
    job["environment"] = dict(request.job.environment)
    return {
        "token": request.token,
        "job": job,
        "sandbox": asdict(request.sandbox),
        "needs_gpu": request.needs_gpu,
    }


def _request_of(document: Mapping[str, Any]) -> JobRequest:
    job = dict(document["job"])
    job |= {name: Path(job[name]) for name in (*PRINTED, *WRITTEN) if job[name] is not None}
    job |= {name: tuple(value) for name, value in job.items() if isinstance(value, list)}
    job["limits"] = Limits(**job["limits"])
    job["mounts"] = tuple(Mount(**{**mount, "source": Path(mount["source"])}) for mount in job["mounts"])
    inner = dict(document["sandbox"])
    sandbox = InnerSandbox(inner["python"], tuple(inner["accept_unenforced"]))
    return JobRequest(document["token"], Job(**job), sandbox, document["needs_gpu"])


def _execution_of(document: Mapping[str, Any]) -> Execution:
    values = dict(document)
    values["stopped_by"] = StoppedBy(values["stopped_by"])
    values["unenforced"] = tuple(values["unenforced"])
    if (state := values["gpu_state"]) is not None:
        values["gpu_state"] = GpuState(**{**state, "others": tuple(state["others"])})
    return Execution(**values)
