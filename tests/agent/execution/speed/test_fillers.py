"""Under budgets of seconds, every job of a trial shares the machine with as many jobs as any other."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.errors import MachineError
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.slots import Slot, SlotSandbox
from agent.execution.speed.probe import OCCUPIED_SECONDS, SpeedProbe
from agent.modes.proposer import Context
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.task.task import Task
from agent.trials.trial import Origin, Proposal
from sandbox.job import Execution, Job, StoppedBy
from tests.agent.execution.speed.test_guard import TASK

OpenRunWith = Callable[..., Run]
N_SLOTS = 3
PATIENCE = 300.0  # seconds; only a failing test waits for so long


class Shared:
    """A sandbox in which each job ends only after it has run at the same time as N_SLOTS - 1 others."""

    def __init__(self, filler_status: int = 0) -> None:
        self._changed = threading.Condition()
        self._n_running = 0
        self._filler_status = filler_status
        self.n_alone = 0  # jobs that had no such company
        self.n_fillers = 0

    def run(self, job: Job) -> Execution:
        is_filler = job.environment.get("CANARY_SECONDS") == f"{OCCUPIED_SECONDS:g}"
        with self._changed:
            self._n_running += 1
            self._changed.notify_all()
            is_patient = self._filler_status == 0 and not is_filler
            if is_patient and not self._changed.wait_for(lambda: self._n_running == N_SLOTS, PATIENCE):
                self.n_alone += 1
        if is_filler and self._filler_status == 0:
            assert job.stop_when is not None
            while not job.stop_when():
                threading.Event().wait(0.001)
        with self._changed:
            self._n_running -= 1
            self.n_fillers += is_filler
        job.log.write_text("speed: 1000.0\n" if job.label.endswith("/canary") else "---\nloss: 3.0\n")
        if job.output is not None:
            job.output.write_bytes(b"a model")
        status = self._filler_status if is_filler else 0
        return Execution(status, StoppedBy.ITSELF, 1.0, 1.0, 0.1, 5, False, sandbox="here")

    def close(self) -> None:
        pass


class Gains:
    def propose(self, context: Context) -> Proposal:
        return Proposal(Origin.LLM, f"idea {context.number}", Assignments({"GAIN": float(context.number)}))


@pytest.fixture
def opened(open_run: OpenRunWith, tmp_path: Path) -> Callable[[Shared], Run]:
    def opened_on(machine: Shared) -> Run:
        task, box = (
            Task(tmp_path / "task", {"task.toml": TASK.encode(), "train.py": b"GAIN = 0.0\n"}),
            SlotSandbox(machine),
        )
        probe = SpeedProbe(task, box, tmp_path / "canary", label="r", on_gpu=False, passed_on={})
        run = open_run(
            Gains(), trials=5, task=task, box=box, probe=probe, scorer=PrintedScorer(task.metric), corpus=None
        )
        run.slots = tuple(Slot(number) for number in range(N_SLOTS))
        return run

    return opened_on


def test_idle_slots_run_canaries_so_that_no_job_of_a_trial_runs_beside_fewer(opened: Callable[[Shared], Run]) -> None:
    machine = Shared()
    n_threads = threading.active_count()
    run = opened(machine)
    assert run_trials(run).ending is EndReason.DONE
    assert len(run.history.trials) == 5
    assert machine.n_alone == 0
    assert machine.n_fillers >= N_SLOTS - 1  # beside the baseline, and at the end
    assert all(len(trial.voids) == 0 for trial in run.history.trials)
    assert threading.active_count() == n_threads


def test_a_canary_that_fails_in_an_idle_slot_stops_the_run(opened: Callable[[Shared], Run]) -> None:
    machine = Shared(filler_status=1)
    with pytest.raises(MachineError, match="the canary"):
        run_trials(opened(machine))
