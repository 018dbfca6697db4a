"""What happens on a node is brought into the folder of its job, in order and once, until the folder is given up."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.execution.placement.on_ray.mirror import Mirror
from sandbox.job import Execution, Job, Limits, StoppedBy
from sandbox.node.job_folder import InnerSandbox, JobFolder, JobRequest, JobResult, Started
from sandbox.node.sent_job import Progress, SentResult
from tests.contracts.sandbox_contract import wait_until

STARTED = Started("n1", "", 1.0)
EXECUTION = Execution(0, StoppedBy.ITSELF, 1.0, 0.5, 0.1, 3, False)


@pytest.fixture
def request_(tmp_path: Path) -> JobRequest:
    limits = Limits(wall_seconds=60.0, memory_gb=1.0, output_mb=80.0)
    job = Job(("true",), "RUN/1/train", limits, tmp_path / "log", tmp_path / "artifact")
    return JobRequest.of(job, InnerSandbox(), needs_gpu=False)


@pytest.fixture
def folder(request_: JobRequest, tmp_path: Path) -> JobFolder:
    folder = JobFolder(tmp_path / "job")
    folder.create(request_)
    return folder


@pytest.fixture
def mirror(folder: JobFolder, request_: JobRequest) -> Mirror:
    return Mirror(folder, request_)


def test_what_is_printed_is_appended_once_also_after_the_caller_has_moved_the_file(
    mirror: Mirror, folder: JobFolder, request_: JobRequest, tmp_path: Path
) -> None:
    mirror.arrive("id-1")
    mirror.take(Progress("job", STARTED))
    assert (mirror.state, mirror.node, mirror.node_id, folder.started()) == ("RUNNING", "n1", "id-1", STARTED)
    assert not folder.has_begun()
    mirror.take(Progress("job", None, {"log": (0, b"one\n")}, has_begun=True))
    assert folder.has_begun()
    folder.file("log").replace(tmp_path / "log")
    mirror.take(Progress("job", None, {"log": (0, b"one\ntwo\n")}))  # the last report was not confirmed
    mirror.take(Progress("job", None, {"log": (12, b"four\n")}))  # one was lost: the result has it
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    assert folder.result(request_.token) is None
    result = SentResult(JobResult(execution=EXECUTION), STARTED, {"log": b"one\ntwo\nthree\nfour\n"}, {"output": 3})
    mirror.finish(result, iter([memoryview(b"abc"), memoryview(b""), memoryview(b"")]))
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree\nfour\n"
    assert folder.file("output").read_bytes() == b"abc"
    assert folder.result(request_.token) == JobResult(execution=EXECUTION)
    assert (mirror.is_alive, mirror.state) == (False, "COMPLETED")


def test_files_that_the_caller_does_not_want_are_left_out(mirror: Mirror, folder: JobFolder) -> None:
    mirror.take(Progress("job", STARTED, {"stdout": (0, b"x"), "../../evil": (0, b"x")}))
    assert sorted(path.name for path in folder.path.iterdir()) == ["job.json", "started.json"]


def test_a_folder_that_was_given_up_stays_away(mirror: Mirror, folder: JobFolder) -> None:
    shutil.rmtree(folder.path)
    mirror.take(Progress("job", STARTED, {"log": (0, b"late")}))
    mirror.finish(SentResult(JobResult(execution=EXECUTION), STARTED, {"log": b"late"}, {}), iter(()))
    assert not folder.path.exists()
    assert not mirror.is_alive


def test_a_job_that_ends_without_a_result_has_none(mirror: Mirror, folder: JobFolder, request_: JobRequest) -> None:
    mirror.end("NodeDiedError")
    assert (mirror.is_alive, mirror.state, folder.result(request_.token)) == (False, "NodeDiedError", None)


def test_a_program_that_fails_on_the_node_is_no_lost_job(
    mirror: Mirror, folder: JobFolder, request_: JobRequest
) -> None:
    mirror.fail("n2", "ModuleNotFoundError: no sandbox")
    assert mirror.node == "n2"  # which gets no job for a while
    assert folder.result(request_.token) == JobResult(failed="ModuleNotFoundError: no sandbox")


def test_progress_that_comes_after_the_result_changes_nothing(mirror: Mirror, folder: JobFolder) -> None:
    mirror.finish(SentResult(JobResult(execution=EXECUTION), STARTED, {"log": b"one\ntwo\n"}, {}), iter(()))
    mirror.take(Progress("job", None, {"log": (0, b"one\n")}))
    assert folder.file("log").read_bytes() == b"one\ntwo\n"


def test_a_result_that_comes_slowly_holds_up_no_progress(mirror: Mirror, folder: JobFolder) -> None:
    late, came = threading.Event(), threading.Event()

    def pieces() -> Iterator[memoryview]:
        late.wait()
        for _ in range(3):
            yield memoryview(b"x")

    result = SentResult(JobResult(execution=EXECUTION), STARTED, {}, {"output": 3})
    receiving = threading.Thread(target=mirror.finish, args=(result, pieces()))
    receiving.start()
    wait_until(lambda: folder.file("output").exists())
    taking = threading.Thread(target=lambda: (mirror.take(Progress("job", None)), came.set()))
    taking.start()
    is_free = came.wait(30.0)
    late.set()
    receiving.join()
    taking.join()
    assert is_free
    assert folder.file("output").read_bytes() == b"xxx"
