"""One GPU for each job, and a clear word before the first where there is none."""

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.gpu.leasing import GpuLeasingSandbox, Leases
from sandbox.job import Execution, Job, Limits, StoppedBy


class Recorder:
    """A sandbox of a machine with the GPUs `has`, which remembers who held which one when."""

    def __init__(self, *has: str) -> None:
        self.has = has
        self.held: set[str] = set()
        self.ran: list[tuple[str, ...]] = []
        self.closed = False

    def run(self, job: Job) -> Execution:
        if not set(job.gpus) <= set(self.has):
            raise SandboxError(f"there is no GPU {job.gpus}; check --gpus")
        assert not self.held & set(job.gpus), "two jobs on one GPU"
        self.held |= set(job.gpus)
        time.sleep(0.02)
        self.held -= set(job.gpus)
        self.ran.append(job.gpus)
        return Execution(0, StoppedBy.ITSELF, 0.0, 0.0, None, None, log_truncated=False, sandbox="here")

    def close(self) -> None:
        self.closed = True


JOB = Job(("true",), "RUN/1/x", Limits(10.0, 0.5), Path("log"))


def test_each_job_has_a_gpu_to_itself_and_says_which(tmp_path: Path) -> None:
    inside = Recorder("0", "2")
    sandbox = GpuLeasingSandbox(inside, ("0", "2"), Leases(tmp_path))
    lines: list[str] = []
    threads = [threading.Thread(target=lambda: lines.append(sandbox.run(JOB).sandbox)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(lines) == {"here, gpu 0", "here, gpu 2"}
    assert len(lines) == 6


def test_jobs_that_wait_for_each_other_share_a_gpu_and_give_it_back(tmp_path: Path) -> None:
    class Meeting(Recorder):
        all_here = threading.Barrier(3, timeout=20)

        def run(self, job: Job) -> Execution:
            if job.together:
                self.all_here.wait()
            return Execution(0, StoppedBy.ITSELF, 0.0, 0.0, None, None, log_truncated=False, sandbox=str(job.gpus))

    leases = Leases(tmp_path)
    sandbox = GpuLeasingSandbox(Meeting("0", "2"), ("0", "2"), leases)
    job = dataclasses.replace(JOB, together="RUN/1/rounds")
    for _ in range(2):
        lines: list[str] = []
        threads = [threading.Thread(target=lambda: lines.append(sandbox.run(job).sandbox)) for _ in range(3)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lines == ["('0',), gpu 0"] * 3
    with leases.one_of(("0",), "a trial") as device:
        assert device == "0"


def test_a_job_that_names_gpus_gets_one_of_these_and_waits_for_no_other(tmp_path: Path) -> None:
    inside, leases = Recorder("0", "1", "2"), Leases(tmp_path)
    sandbox = GpuLeasingSandbox(inside, ("0", "1", "2"), leases)
    inside.ran.clear()
    with leases.one_of(("0",), "another run"):
        for gpus in (("2",), ("2",), ("1", "0"), ("1",), ()):
            sandbox.run(dataclasses.replace(JOB, gpus=gpus))
    sandbox.run(dataclasses.replace(JOB, gpus=("2", "0")))
    assert inside.ran == [("2",), ("2",), ("1",), ("1",), ("1",), ("0",)]


def test_a_job_waits_for_its_own_gpu_although_others_are_free(tmp_path: Path) -> None:
    is_waiting, leases = threading.Event(), Leases(tmp_path)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        is_waiting.set()

    sandbox = GpuLeasingSandbox(Recorder("0", "1"), ("0", "1"), Leases(tmp_path, say))
    ends: list[str] = []
    job = dataclasses.replace(JOB, gpus=("1",))
    thread = threading.Thread(target=lambda: ends.append(sandbox.run(job).sandbox))
    with leases.one_of(("1",), "another run"):
        thread.start()
        assert is_waiting.wait(600)
        assert sandbox.run(JOB).sandbox == "here, gpu 0"
        assert ends == []
    thread.join()
    assert ends == ["here, gpu 1"]
    assert [line.partition(" (")[0] for line in lines] == ["waiting for a GPU; in use: 1"]


def test_jobs_that_wait_for_each_other_share_one_gpu_of_those_that_they_name(tmp_path: Path) -> None:
    all_here = threading.Barrier(4, timeout=600)

    class Meeting(Recorder):
        def run(self, job: Job) -> Execution:
            if job.together:
                all_here.wait()
            return Execution(0, StoppedBy.ITSELF, 0.0, 0.0, None, None, log_truncated=False, sandbox=str(job.gpus))

    sandbox = GpuLeasingSandbox(Meeting("0", "1"), ("0", "1"), Leases(tmp_path))
    lines: list[str] = []

    def run(gpu: str) -> None:
        lines.append(sandbox.run(dataclasses.replace(JOB, gpus=(gpu,), together="rounds")).sandbox)

    threads = [threading.Thread(target=run, args=(gpu,)) for gpu in "0101"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lines) == ["('0',), gpu 0"] * 2 + ["('1',), gpu 1"] * 2


def test_a_gpu_that_the_sandbox_does_not_have_is_refused(tmp_path: Path) -> None:
    inside = Recorder("0", "1")
    sandbox = GpuLeasingSandbox(inside, ("0",), Leases(tmp_path))
    with pytest.raises(SandboxError, match="RUN/1/x needs GPU 1, which --gpus does not name"):
        sandbox.run(dataclasses.replace(JOB, gpus=("0", "1")))
    assert inside.ran == [("0",)]  # the empty job at the start


def test_a_gpu_that_is_not_there_is_reported_before_any_trial(tmp_path: Path) -> None:
    inside = Recorder("0")
    with pytest.raises(SandboxUnavailableError, match="no job can use GPU 7: there is no GPU"):
        GpuLeasingSandbox(inside, ("0", "7"), Leases(tmp_path))
    assert inside.closed


def test_a_job_that_wants_no_gpu_gets_none_and_waits_for_none(tmp_path: Path) -> None:
    inside, leases = Recorder("0"), Leases(tmp_path)
    sandbox = GpuLeasingSandbox(inside, ("0",), leases)
    with leases.one_of(("0",), "a trial"):
        execution = sandbox.run(dataclasses.replace(JOB, on_cpu=True))
    assert (inside.ran[-1], execution.sandbox, execution.peak_vram_gb) == ((), "here", None)


def test_a_job_that_fails_gives_its_gpu_back(tmp_path: Path) -> None:
    inside = Recorder("0")
    sandbox = GpuLeasingSandbox(inside, ("0",), Leases(tmp_path))
    inside.has = ()
    with pytest.raises(SandboxError):
        sandbox.run(JOB)
    inside.has = ("0",)
    assert sandbox.run(JOB).exit_code == 0


@pytest.mark.parametrize("together", ["", "RUN/1/rounds"])
def test_the_caller_stops_a_job_that_waits_for_a_gpu_and_no_other(tmp_path: Path, together: str) -> None:
    is_waiting, stop = threading.Event(), threading.Event()
    leases = Leases(tmp_path / "locks", lambda _line: is_waiting.set())
    sandbox = GpuLeasingSandbox(Recorder("0"), ("0",), leases)
    ends: dict[str, Execution] = {}

    def run(name: str, stop_when: Callable[[], bool] | None) -> threading.Thread:
        folder = tmp_path / name
        folder.mkdir()
        own = {
            "log": folder / "log",
            "output": folder / "output",
            "stop_when": stop_when,
            "together": together and name,
        }
        job = dataclasses.replace(JOB, **own)  # type: ignore[arg-type]
        thread = threading.Thread(target=lambda: ends.update({name: sandbox.run(job)}))
        thread.start()
        return thread

    with leases.one_of(("0",), "a trial"):
        stopped = run("stopped", stop.is_set)
        other = run("other", lambda: False)
        assert is_waiting.wait(600)
        stop.set()
        stopped.join()
        assert (ends["stopped"].stopped_by, ends["stopped"].output_bytes) == (StoppedBy.CALLER, 0)
        assert [(tmp_path / "stopped" / name).read_bytes() for name in ("log", "output")] == [b"", b""]
        assert other.is_alive()
    other.join()
    assert ends["other"].exit_code == 0
    with leases.one_of(("0",), "the next trial") as device:
        assert device == "0"
