"""A job in a container whose keeper the kernel kills, and what it printed last."""

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.container.engine import Stream
from sandbox.container.job_process import ContainerProcess
from sandbox.errors import JobLostError
from sandbox.job import Job, Limits, StoppedBy
from sandbox.job_log import JobLog
from sandbox.supervision import supervise

COUNTS = b"cpu.stat usage_usec 1500000\nmemory.current 4096\nmemory.peak 4096\nmemory.events oom_kill 0\n.\n"


def framed(printed: bytes) -> bytes:
    return struct.pack(">BxxxI", 1, len(printed)) + printed


class Connection:
    """An engine's connection to a process of a container, and its other end."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        with ours:
            self.stream = Stream(SimpleNamespace(fileno=ours.fileno, _response=SimpleNamespace(close=lambda: None)))

    def close(self) -> None:
        self.theirs.close()
        self.stream.close()


class Engine:
    """Answers for one container whose job runs and runs."""

    def __init__(self, job: Connection, *, oom_killed: bool) -> None:
        self._job = job
        self._oom_killed = oom_killed

    def execute(self, *_: object) -> tuple[str, Stream]:
        return "the job", self._job.stream

    def executed(self, process: str) -> Mapping[str, Any]:
        return {"Running": True}

    def state(self, name: str) -> Mapping[str, Any]:
        return {"OOMKilled": self._oom_killed}


@pytest.fixture
def keeper() -> Iterator[Connection]:
    connection = Connection()
    yield connection
    connection.close()


@pytest.fixture
def job() -> Iterator[Connection]:
    connection = Connection()
    yield connection
    connection.close()


def begun(keeper: Connection, job: Connection, *, oom_killed: bool = False) -> ContainerProcess:
    keeper.theirs.sendall(framed(COUNTS))
    process = ContainerProcess(Engine(job, oom_killed=oom_killed), "name", keeper.stream)  # type: ignore[arg-type]
    process.begin(["true"], "1:1", {}, "/")
    return process


def a_job(folder: Path) -> Job:
    return Job(("true",), "RUN/1/x", Limits(600.0, 1.0), folder / "log")


def test_a_job_whose_keeper_was_killed_for_memory_was_out_of_memory(
    keeper: Connection, job: Connection, tmp_path: Path
) -> None:
    process = begun(keeper, job, oom_killed=True)
    keeper.theirs.close()
    with JobLog(Job(("true",), "RUN/1", Limits(1.0, 1.0), tmp_path / "log")) as log:
        ending = supervise(process, a_job(tmp_path), log)
    assert ending.stopped_by is StoppedBy.MEMORY
    assert ending.usage is not None
    assert ending.usage.cpu_seconds == 1.5  # the last that the keeper had counted


def test_a_job_whose_keeper_ends_for_another_reason_is_lost(
    keeper: Connection, job: Connection, tmp_path: Path
) -> None:
    process = begun(keeper, job)
    keeper.theirs.close()
    with (
        JobLog(Job(("true",), "RUN/1", Limits(1.0, 1.0), tmp_path / "log")) as log,
        pytest.raises(JobLostError, match="something outside"),
    ):
        supervise(process, a_job(tmp_path), log)


def test_the_last_words_of_a_job_are_kept_however_they_arrive(
    keeper: Connection, job: Connection, tmp_path: Path
) -> None:
    process = begun(keeper, job)
    message = framed(b"x" * 999)

    def send() -> None:
        for byte in message:
            job.theirs.sendall(bytes([byte]))
        job.theirs.close()

    thread = threading.Thread(target=send)
    thread.start()
    with JobLog(Job(("true",), "RUN/1", Limits(1.0, 1.0), tmp_path / "log")) as log:
        process.drain_rest(log)
    thread.join()
    assert (tmp_path / "log").read_bytes() == b"x" * 999
