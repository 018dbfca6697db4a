"""Slots share a machine without overlap, and every job of a slot ends once the run is stopped."""

import threading
import uuid
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.execution.executor import Attempt, Executor
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.slots import Slot, SlotSandbox, StoppedError, by_physical_core, in_slot, slots_of
from agent.execution.smoke_test import Smoke
from agent.execution.speed.probe import SpeedProbe
from agent.store.paths import RunPaths, TrialPaths
from agent.task.corpus import Corpus
from agent.task.init.host import HostResources
from agent.task.spec import LimitsSpec
from agent.task.task import Task
from sandbox.job import Execution, Job, Limits, Sandbox, StoppedBy
from tests.contracts.sandbox_contract import processes_with, wait_for

JOB = Job(("true",), "RUN/1/x", Limits(10.0, 0.5), Path("log"))
SLEEP = "__import__('os').execv(__import__('sys').executable, ['python', '-c', 'import time; time.sleep(600)', {!r}])"


def limits(cpus: float, memory_gb: float) -> LimitsSpec:
    return LimitsSpec(wall_seconds=60.0, memory_gb=memory_gb, cpus=cpus)


def machine(cpus: float, total_gb: float) -> HostResources:
    return HostResources(0.75 * total_gb, total_gb, cpus)


class Recorder:
    """A sandbox that remembers its jobs, and lets each caller stop or not."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.jobs: list[Job] = []
        self.asked: list[bool] = []
        self.is_closed = False
        self._meanwhile = meanwhile

    def run(self, job: Job) -> Execution:
        self.jobs.append(job)
        self._meanwhile()
        assert job.stop_when is not None
        self.asked.append(job.stop_when())
        return Execution(0, StoppedBy.ITSELF, 0.0, 0.0, None, None, log_truncated=False)

    def close(self) -> None:
        self.is_closed = True


# How a machine is divided


@pytest.mark.parametrize("gpus", [(), ("0", "2")])
def test_a_single_slot_has_all_gpus_and_is_not_pinned_and_need_not_fit(gpus: tuple[str, ...]) -> None:
    assert slots_of(1, gpus, limits(64.0, 512.0), machine(2.0, 23.5)) == (Slot(0, gpus),)


@pytest.mark.parametrize(
    ("n", "expected"),
    [(2, [("0", "2", "4"), ("1", "3")]), (5, [("0",), ("1",), ("2",), ("3",), ("4",)])],
)
def test_each_gpu_belongs_to_one_slot(n: int, expected: list[tuple[str, ...]]) -> None:
    slots = slots_of(n, ("0", "1", "2", "3", "4"), limits(1.0, 1.0), machine(8.0, 16.0))
    assert [slot.gpus for slot in slots] == expected
    assert [slot.number for slot in slots] == list(range(n))


@pytest.mark.parametrize(
    ("n", "cpus", "processors", "expected"),
    [
        (2, 2.0, [(0,), (1,), (2,), (3,)], [(0, 1), (2, 3)]),
        (2, 2.0, [(0, 4), (1, 5), (2, 6), (3, 7)], [(0, 1), (2, 3)]),  # one thread of each physical core is enough
        (2, 4.0, [(0, 4), (1, 5), (2, 6), (3, 7)], [(0, 1, 4, 5), (2, 3, 6, 7)]),
        (2, 3.0, [(0, 4), (1, 5), (2, 6), (3, 7)], [(0, 1, 4), (2, 3, 6)]),
        (4, 1.0, [(0, 2), (1, 3)], [(0,), (2,), (1,), (3,)]),  # too few physical cores: they are shared
        (2, 1.5, [(0,), (1,), (2,), (3,)], [(0, 1), (2, 3)]),
        (2, 1.5, [(0,), (1,), (2,)], [(), ()]),
        (4, 0.5, [(0,), (1,)], [(), (), (), ()]),
        (2, 0.5, [(5,), (7,)], [(5,), (7,)]),
    ],
)
def test_slots_have_different_processors_and_different_physical_cores_where_there_are_enough(
    n: int, cpus: float, processors: list[tuple[int, ...]], expected: list[tuple[int, ...]]
) -> None:
    n_processors = sum(map(len, processors))
    slots = slots_of(n, (), limits(cpus, 1.0), machine(n_processors, 16.0), processors)
    assert [slot.cores for slot in slots] == expected


@pytest.mark.parametrize(
    ("n", "gpus", "needs", "has", "message"),
    [
        (
            *(4, (), (2.0, 8.0), (2.0, 23.5)),
            "--workers 4 needs 4 x 2 = 8 processors and 4 x 8 = 32 GiB of memory ([limits] of task.toml); "
            "this machine has 2 and 23.5: use --workers 1, or lower cpus or memory_gb",
        ),
        (
            *(4, (), (0.5, 8.0), (8.0, 24.0)),
            "--workers 4 needs 4 x 0.5 = 2 processors and 4 x 8 = 32 GiB of memory ([limits] of task.toml); "
            "this machine has 8 and 24: use --workers 3, or lower cpus or memory_gb",
        ),
        (
            *(5, (), (0.1, 1.0), (0.3, 24.0)),
            "--workers 5 needs 5 x 0.1 = 0.5 processors and 5 x 1 = 5 GiB of memory ([limits] of task.toml); "
            "this machine has 0.3 and 24: use --workers 3, or lower cpus or memory_gb",
        ),
        (
            *(3, ("0", "2"), (1.0, 1.0), (8.0, 24.0)),
            "--workers 3 needs 3 GPUs, one for each trial; --gpus 0,2 names 2: use --workers 2, or name more GPUs",
        ),
        (
            *(3, ("0", "2"), (1.0, 20.0), (8.0, 24.0)),
            "--workers 3 needs 3 GPUs, one for each trial; --gpus 0,2 names 2: use --workers 1, or name more GPUs",
        ),
    ],
    ids=["processors and memory", "memory", "a share of a processor", "GPUs", "GPUs and memory"],
)
def test_what_does_not_fit_is_refused_with_the_largest_number_that_does(
    n: int, gpus: tuple[str, ...], needs: tuple[float, float], has: tuple[float, float], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        slots_of(n, gpus, limits(*needs), machine(*has))
    assert str(refused.value) == message


def test_processors_are_grouped_by_what_the_kernel_says(tmp_path: Path) -> None:
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        folder = tmp_path / f"cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")
    assert by_physical_core({3, 2, 1, 0}, tmp_path) == [(0, 2), (1, 3)]
    assert by_physical_core({1, 2, 3}, tmp_path) == [(1, 3), (2,)]
    assert by_physical_core({1, 0}, tmp_path / "not there") == [(0,), (1,)]


@pytest.mark.parametrize(
    ("slot", "device"),
    [
        (Slot(0), "cpu"),
        (Slot(0, cores=(3,)), "cpu 3"),
        (Slot(0, cores=(0, 1, 2, 5, 7, 8)), "cpu 0-2,5,7-8"),
        (Slot(0, ("0",), (0, 1)), "gpu 0"),
        (Slot(0, ("0", "2")), "gpu 0,2"),
    ],
)
def test_a_slot_names_its_device_for_people(slot: Slot, device: str) -> None:
    assert slot.device == device


# What a slot's jobs get


@pytest.mark.parametrize(
    ("slot", "on_cpu", "gpus"),
    [(Slot(1, ("3",), (2, 3)), False, ("3",)), (Slot(1, ("3",), (2, 3)), True, ()), (Slot(1, (), (2, 3)), False, ())],
)
def test_a_job_gets_the_gpus_and_processors_of_its_slot(slot: Slot, on_cpu: bool, gpus: tuple[str, ...]) -> None:
    inner = Recorder()
    box = SlotSandbox(inner)
    job = Job(JOB.argv, JOB.label, JOB.limits, JOB.log, on_cpu=on_cpu)
    in_slot(slot, threading.Event(), lambda: box.run(job))
    assert (inner.jobs[0].gpus, inner.jobs[0].cores, inner.jobs[0].on_cpu) == (gpus, (2, 3), not gpus)
    outside = replace(job, stop_when=lambda: False)
    box.run(outside)
    assert inner.jobs[1] == outside
    box.close()
    assert inner.is_closed


def test_each_thread_has_its_own_slot_and_hands_it_on_in_its_context() -> None:
    inner, stop = Recorder(), threading.Event()
    box = SlotSandbox(inner)

    def run_two() -> None:
        box.run(JOB)
        thread = threading.Thread(target=copy_context().run, args=(box.run, JOB))
        thread.start()
        thread.join()

    slots = [Slot(number, cores=(number,)) for number in range(3)]
    threads = [threading.Thread(target=in_slot, args=(slot, stop, run_two)) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.cores for job in inner.jobs) == [(0,), (0,), (1,), (1,), (2,), (2,)]


@pytest.mark.parametrize("of_its_own", [True, False])
def test_the_jobs_own_reason_to_stop_still_counts(of_its_own: bool) -> None:
    inner = Recorder()
    job = Job(JOB.argv, JOB.label, JOB.limits, JOB.log, stop_when=lambda: of_its_own)
    assert in_slot(Slot(0), threading.Event(), lambda: SlotSandbox(inner).run(job)).exit_code == 0
    assert inner.asked == [of_its_own]


# What a stop ends


def test_no_job_begins_after_a_stop() -> None:
    inner, stop = Recorder(), threading.Event()
    stop.set()
    with pytest.raises(StoppedError, match="RUN/1/x was stopped with its run"):
        in_slot(Slot(0), stop, lambda: SlotSandbox(inner).run(JOB))
    assert inner.jobs == []


def test_a_job_that_ends_while_the_run_is_stopped_has_no_result() -> None:
    stop = threading.Event()
    inner = Recorder(stop.set)
    with pytest.raises(StoppedError):
        in_slot(Slot(0), stop, lambda: SlotSandbox(inner).run(JOB))
    assert inner.asked == [True]


@pytest.mark.parametrize("question", [None, "claim", "audit"], ids=["training", "claim", "audit"])
def test_a_stop_ends_an_attempt_at_any_of_its_jobs(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, question: str | None, *, tmp_path: Path
) -> None:
    marker, stop = uuid.uuid4().hex, threading.Event()
    box = SlotSandbox(sandbox)
    sleep = SLEEP.format(marker)
    source = sleep if question is None else f"{bigram.source}\nif sys.argv[1:] == [{question!r}]: {sleep}\n"
    executor = Executor(bigram, corpus, box, AuditedScorer(bigram, corpus, box), {}, tmp_path / "compiled.tar", {})
    attempt = Attempt(source, TrialPaths(tmp_path / "1"), "r/1", 1, train_seed=0, baseline=None)
    raised: list[Exception] = []

    def run() -> None:
        try:
            in_slot(Slot(0), stop, lambda: executor.run(attempt))
        except StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: processes_with(marker) != [], while_alive=thread)
    stop.set()
    thread.join()
    assert (
        str(raised[0])
        == f"r/1/{ {None: 'train', 'claim': 'claim', 'audit': 'audit-0'}[question] } was stopped with its run"
    )
    assert processes_with(marker) == []


def test_a_stop_passes_through_the_rehearsal_and_the_probe(
    bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    stop = threading.Event()
    stop.set()
    box = SlotSandbox(sandbox)
    executor = Executor(bigram, corpus, box, AuditedScorer(bigram, corpus, box), {}, tmp_path / "compiled.tar", {})
    with pytest.raises(StoppedError):
        in_slot(Slot(0), stop, lambda: Smoke(executor, RunPaths(tmp_path / "r"), say=print)(bigram.source, 1))
    probe = SpeedProbe(bigram, box, tmp_path / "probe", label="r", on_gpu=False, passed_on={})
    with pytest.raises(StoppedError):
        in_slot(Slot(0), stop, probe.measure)
