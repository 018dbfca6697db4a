"""The folder of a job: all of a request and of a result arrives, and only the first start counts."""

import os
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from sandbox.job import Execution, GpuState, Job, Limits, Mount, StoppedBy
from sandbox.node.__main__ import given_gpus
from sandbox.node.job_folder import InnerSandbox, JobFolder, JobRequest, JobResult, Started

JOB = Job(
    argv=("python", "-c", "pass"),
    label="RUN/0007/train",
    limits=Limits(1.5, 2.0, 3.0, 4, 5.0, 6.0, 7.0, 8.0),
    log=Path("/a/log"),
    output=Path("/a/output"),
    extra_output=Path("/a/extra"),
    mounts=(Mount(Path("/a/ünï"), "/data", grows=True),),
    environment={"A": "b\nc"},
    workdir="/task",
    gpus=("0",),
    cores=(1, 2),
    on_cpu=True,
    together="RUN/rounds",
    apart=True,
    imports=("numpy",),
    compiles=True,
    pidfds=True,
    stdout=Path("/a/stdout"),
    stderr=Path("/a/stderr"),
    stop_when=lambda: False,
)
EXECUTION = Execution(
    exit_code=3,
    stopped_by=StoppedBy.ITSELF,
    wall_seconds=1.25,
    cpu_seconds=0.5,
    peak_memory_gb=0.1,
    output_bytes=7,
    log_truncated=True,
    signal=9,
    sandbox="bubblewrap 0.11, node n1",
    unenforced=("cpus: no",),
    peak_vram_gb=1.0,
    gpu_state=GpuState({"power": 0.5}, 1200, (1, 2)),
    copied_gb=0.2,
)


def test_every_field_of_a_job_and_of_an_execution_is_tested() -> None:
    for value in (JOB, EXECUTION, JOB.mounts[0], EXECUTION.gpu_state):
        for field in fields(value):  # type: ignore[arg-type]
            assert getattr(value, field.name) != field.default, field.name


def test_a_request_arrives_whole_without_what_only_the_caller_can_call(tmp_path: Path) -> None:
    request = JobRequest.of(JOB, InnerSandbox("/usr/bin/python3", ("cpus",)), needs_gpu=True)
    folder = JobFolder(tmp_path / "job")
    folder.create(request)
    assert folder.request() == request
    assert request.job.stop_when is None
    assert (tmp_path / "job").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "job/job.json").stat().st_mode & 0o777 == 0o600
    assert folder.request() is not None
    assert request.is_same_work(JobRequest.of(JOB, InnerSandbox("/usr/bin/python3", ("cpus",)), needs_gpu=True))
    assert not request.is_same_work(JobRequest.of(JOB, InnerSandbox(), needs_gpu=True))


@pytest.mark.parametrize("result", [JobResult(EXECUTION), JobResult(failed="it broke"), JobResult(lost="SIGTERM")])
def test_a_result_arrives_whole_and_only_under_its_token(tmp_path: Path, result: JobResult) -> None:
    folder = JobFolder(tmp_path)
    assert folder.result("a") is None
    folder.finish("a", result)
    assert folder.result("a") == result
    assert folder.result("b") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"token": "a", "execution": {}}', '{"token": "a", "more": 1}'])
def test_what_is_not_a_result_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "execution.json").write_text(text)
    (tmp_path / "started.json").write_text(text)
    (tmp_path / "job.json").write_text(text)
    folder = JobFolder(tmp_path)
    assert folder.result("a") is None
    assert folder.started() is None
    assert folder.request() is None


@pytest.mark.parametrize("kind", ["FIFO", "link", "folder", "device"])
def test_what_is_not_a_plain_file_is_not_read(tmp_path: Path, kind: str) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create(request := JobRequest.of(JOB, InnerSandbox(), needs_gpu=False))
    folder.start(Started("n1", "", 1.0))
    folder.finish(request.token, JobResult(lost="SIGTERM"))
    for name in ("job.json", "started.json", "execution.json"):
        path, other = folder.path / name, tmp_path / name
        path.rename(other)
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to(other)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to("/dev/zero")
    assert (folder.request(), folder.started(), folder.result(request.token)) == (None, None, None)


def test_a_job_has_begun_once_the_node_says_so(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    assert not folder.has_begun()
    folder.begin()
    assert folder.has_begun()
    JobFolder(tmp_path / "missing").begin()
    assert not JobFolder(tmp_path / "missing").has_begun()


def test_only_the_first_start_counts(tmp_path: Path) -> None:
    folder, first = JobFolder(tmp_path), Started("n1", "0", 1.0)
    assert folder.start(first)
    assert not folder.start(Started("n2", "1", 2.0))
    assert folder.started() == first
    assert [path.name for path in tmp_path.iterdir()] == ["started.json"]


def test_a_job_is_to_end_when_asked_to_or_when_its_folder_is_gone(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    folder.create(JobRequest.of(JOB, InnerSandbox(), needs_gpu=False))
    assert not folder.is_stop_requested()
    folder.request_stop()
    assert folder.is_stop_requested()
    shutil.rmtree(folder.path)
    assert folder.is_stop_requested()
    assert not JobFolder(tmp_path / ("x" * 300)).is_stop_requested()  # the file system refuses to answer


def test_numbers_of_gpus_are_those_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_GPUS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert given_gpus() == ("0",)
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    assert given_gpus() == ("3",)
