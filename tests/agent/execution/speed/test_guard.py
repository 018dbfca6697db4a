"""Trials on a machine whose speed changes: none is judged as if nothing had happened, and nobody is asked twice.

The machine is a sandbox whose jobs are sums: a training's loss falls with the logarithm of its budget times the speed
of the moment, a canary prints that speed.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from agent.analysis.recorded_trial import from_commit
from agent.edits.assignments import Assignments, read_constants
from agent.errors import MachineError
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.speed.probe import SpeedProbe
from agent.modes.proposer import Context
from agent.report import trial_table
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.journal import read_events, read_history
from agent.task.task import Task
from agent.trials.budget import Budget, Ledger
from agent.trials.events import AttemptVoided
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.repeat import Purpose
from agent.trials.trial import Origin, Proposal, Trial
from sandbox.job import Execution, GpuState, Job, StoppedBy

SLOPE = -0.5
AMOUNT = 10.0
TASK = """
[task]
name = "summed"
[metric]
name = "loss"
[score]
kind = "printed"
[budget]
unit = "seconds"
amount = 10.0
[limits]
wall_seconds = 60
memory_gb = 0.25
[machine]
canary = ["python", "canary.py"]
"""
SCRIPT = "GAIN = 0.0\n"
OpenRunWith = Callable[..., Run]


class Machine:
    """A sandbox at the speeds given for its jobs, one after the other; the last one stays. Full speed is 1000."""

    def __init__(self, *speeds: float, gpu: Mapping[int, GpuState] | None = None, name: str = "here") -> None:
        self._speeds: Iterator[float] = chain(speeds, repeat(speeds[-1] if speeds else 1000.0))
        self._gpu = gpu or {}
        self._name = name
        self.jobs: list[str] = []

    def run(self, job: Job) -> Execution:
        self.jobs.append(job.label)
        speed = next(self._speeds)
        if job.label.endswith("/canary"):
            job.log.write_text(f"speed: {speed}\n")
            seconds = 1.0
        else:
            script = next(mount.source for mount in job.mounts if mount.target == "/task") / "train.py"
            gain = float(read_constants(script.read_text(), ["GAIN"])["GAIN"])
            seconds = float(job.environment["TRAIN_BUDGET"])
            loss = 3.0 - gain + SLOPE * math.log(seconds / AMOUNT * speed / 1000)
            job.log.write_text(f"---\nloss: {loss!r}\n")
            assert job.output is not None
            job.output.write_bytes(b"a sum")
        gpu = self._gpu.get(len(self.jobs))
        return Execution(0, StoppedBy.ITSELF, seconds, 1.0, 0.1, 5, False, sandbox=self._name, gpu_state=gpu)

    def close(self) -> None:
        pass

    @property
    def short(self) -> str:
        """The jobs, a letter each: Canary, Training."""
        kinds = {"canary": "C", "train": "T"}
        return "".join(kinds[label.split("/")[-1]] for label in self.jobs)


class Gains:
    """Proposes scripts that are better by so much."""

    def __init__(self, *gains: float) -> None:
        self._gains = gains

    def propose(self, context: Context) -> Proposal:
        gain = self._gains[context.number - 1]
        return Proposal(Origin.LLM, f"GAIN {gain}", Assignments({"GAIN": gain}))


REFERENCE = (1000.0,) * 6  # three canaries, the baseline, two canaries


@pytest.fixture
def opened(open_run: OpenRunWith, tmp_path: Path) -> OpenRunWith:
    def opened_on(machine: Machine, *gains: float, more_toml: str = "", **more: object) -> Run:
        files = {"task.toml": (TASK + more_toml).encode(), "train.py": SCRIPT.encode()}
        task = Task(tmp_path / "task", files)
        canary = SpeedProbe(task, machine, tmp_path / "canary", label="r", on_gpu=False, passed_on={})
        more = {"rule": KeepRule("any"), "probe": canary, "scorer": PrintedScorer(task.metric), "corpus": None, **more}
        run = open_run(Gains(*gains), trials=len(gains) + 1, task=task, box=machine, **more)
        calls = run.observer.calls  # type: ignore[attr-defined]
        run.clock = replace(run.clock, sleep=lambda seconds: calls.append(("sleep", int(seconds))))
        return run

    return opened_on


def losses(run: Run) -> list[float | None]:
    return [trial.val_loss for trial in run.history.trials]


def shown(trial: Trial, run: Run) -> str:
    return trial_table.trial_line(trial, None, None, run.executor.task.metric, False)


def test_a_canary_stands_behind_one_trial_and_before_the_next(opened: OpenRunWith) -> None:
    machine = Machine()
    run = opened(machine, 0.1, 0.2)
    assert run_trials(run).ending is EndReason.DONE
    assert machine.short == "CCCTCC" + "TC" + "TC"
    assert losses(run) == [3.0, 2.9, 2.8]
    assert [trial.outcome.machine.ratio for trial in run.history.trials if trial.outcome and trial.outcome.machine] == [
        None, 1.0, 1.0,
    ]  # fmt: skip


def test_the_canary_is_run_anew_when_the_last_is_old(opened: OpenRunWith) -> None:
    machine = Machine()
    run = opened(machine, 0.1, 0.2)
    hours: Iterator[float] = iter(range(0, 10**9, 3600))
    assert run.executor.probe is not None
    run.executor.probe._monotonic = lambda: next(hours)
    run_trials(run)
    assert machine.short == "CCCTCC" + "CTC" + "CTC"


def test_a_slightly_slower_machine_changes_no_loss_and_is_recorded(opened: OpenRunWith) -> None:
    machine = Machine(*REFERENCE, 980.0)
    run = opened(machine, 0.1)
    run_trials(run)
    outcome = run.history.trials[1].outcome
    assert outcome is not None
    assert outcome.machine is not None
    assert outcome.machine.ratio == pytest.approx(math.sqrt(0.98))
    assert outcome.machine.raw_loss is None
    assert outcome.val_loss == pytest.approx(2.9 + SLOPE * math.log(0.98))
    assert run.history.repeats == []


def test_a_machine_at_half_speed_voids_the_trial_and_it_runs_again(opened: OpenRunWith) -> None:
    machine = Machine(*REFERENCE, 500, 500, 500, 500, 500, 1000)
    run = opened(machine, 0.3)
    assert run_trials(run).ending is EndReason.DONE
    # Trained for nothing; then canaries until the machine has its old speed; then the same proposal, the same number.
    assert machine.short == "CCCTCC" + "TC" + "CCCC" + "TC"
    trial = run.history.trials[1]
    assert (trial.val_loss, trial.kept, trial.proposal.title) == (2.7, True, "GAIN 0.3")
    assert [void.trained for void in trial.voids] == [True, False, False, False]
    assert "50.0% of its speed" in trial.voids[0].reason
    assert [call for call in run.observer.calls if call[0] == "sleep"] == [("sleep", s) for s in (10, 20, 40)]  # type: ignore[attr-defined]
    assert "[1 void]" in shown(trial, run)


def test_a_void_attempt_takes_time_by_the_clock_and_no_training_budget(opened: OpenRunWith) -> None:
    run = opened(Machine(*REFERENCE, 500, 500, 1000), 0.3)
    clock = iter(float(n) for n in range(10**6))
    run.clock = replace(run.clock, monotonic=lambda: next(clock))
    run_trials(run)
    trial, ledger = run.history.trials[1], Ledger.of(run.history.results)
    assert ledger.train_seconds == pytest.approx(2 * AMOUNT)
    assert trial.outcome is not None
    assert sum(void.seconds for void in trial.voids) > 0
    assert trial.outcome.total_seconds > sum(void.seconds for void in trial.voids)


def test_nothing_is_trained_while_the_machine_is_seen_to_be_slow(opened: OpenRunWith) -> None:
    machine = Machine(*REFERENCE, 1000, 1000, 500)
    run = opened(machine, 0.1, 0.2, more_toml="patience_seconds = 100.0\n")
    with pytest.raises(MachineError, match=r"50.0% of its speed at the baseline.*still after .*resume"):
        run_trials(run)
    # The second trial trains on the word of the canary behind the first, and is the last that does.
    assert machine.short.endswith("TC" + "TC" + "CCCCC")
    assert losses(run) == [3.0, 2.9]


def test_after_three_trainings_for_nothing_the_run_stops_and_resumes(opened: OpenRunWith) -> None:
    machine = Machine(*REFERENCE, *(500, 500, 1000) * 3)
    run = opened(machine, 0.3)
    with pytest.raises(MachineError, match=r"3 attempts in a row were void.*agent resume"):
        run_trials(run)
    (pending,) = read_history(run.paths.journal).in_flight.values()
    assert len(pending.voids) == 3
    again = opened(Machine(), 0.3)
    assert run_trials(again).ending is EndReason.DONE
    assert losses(again) == [3.0, 2.7]
    assert len(again.history.trials[1].voids) == 3


def test_a_run_resumed_after_a_void_attempt_runs_the_same_proposal(opened: OpenRunWith) -> None:
    class Killed(Machine):
        def run(self, job: Job) -> Execution:
            if len(self.jobs) == 10:  # the void attempt's second turn
                raise KeyboardInterrupt
            return super().run(job)

    with pytest.raises(KeyboardInterrupt):
        run_trials(opened(Killed(*REFERENCE, 500, 500, 1000), 0.3))
    machine = Machine()
    run = opened(machine)
    run.policy.budget = Budget(trials=2)
    run_trials(run)
    assert machine.short == "CTC"
    [void] = [e for e in read_events(run.paths.journal) if isinstance(e, AttemptVoided)]
    assert (void.trial, void.seed, void.void) == (1, None, run.history.trials[1].voids[0])
    assert losses(run) == [3.0, 2.7]


def test_a_confirmation_is_guarded_too(opened: OpenRunWith) -> None:
    rule = KeepRule(paired=False, sigma=0.01)
    machine = Machine(*REFERENCE, 1000, 1000, 500, 500, 1000)
    run = opened(machine, 0.3, rule=rule)
    run_trials(run)
    again = [(r.purpose, r.val_loss, [v.trained for v in r.voids]) for r in run.history.repeats]
    assert again == [
        (Purpose.BASELINE, 3.0, [True]),
        (Purpose.CONFIRM, 2.7, []),
    ]


def test_a_baseline_on_a_machine_that_changed_is_no_reference(opened: OpenRunWith) -> None:
    machine = Machine(1000, 1000, 1000, 500, 500, 500, 1000)
    run = opened(machine)
    run_trials(run)
    assert machine.short == "CCCTCC" + "CCCTCC"
    assert losses(run) == [3.0]
    assert "from 1000 to 500 around the baseline" in run.history.trials[0].voids[0].reason


def test_a_machine_without_any_steady_speed_is_named(opened: OpenRunWith) -> None:
    machine = Machine(*(1000, 500, 300) * 9)
    with pytest.raises(MachineError, match=r"from 500 to 1000 .*in steps or work, or with canary"):
        run_trials(opened(machine, 0.3))
    assert machine.short == "CCC" * 3


def test_a_hot_gpu_voids_and_what_the_baseline_had_too_does_not(opened: OpenRunWith) -> None:
    capped, hot = GpuState({"power_cap": 0.9}, 1700), GpuState({"hw_thermal": 0.5}, 900)
    run = opened(Machine(gpu={4: capped, 7: hot, 10: capped}), 0.3)
    run_trials(run)
    assert [void.reason for void in run.history.trials[1].voids] == [
        "the GPU was throttled (hw thermal) for 50% of training"
    ]
    outcome = run.history.trials[1].outcome
    assert outcome is not None
    assert outcome.machine is not None
    assert (outcome.machine.gpu, outcome.machine.sm_mhz) == ({"power_cap": 0.9}, 1700)


def test_another_program_on_the_gpu_voids_even_the_baseline(opened: OpenRunWith) -> None:
    run = opened(Machine(gpu={2: GpuState(others=(4711,))}))
    run_trials(run)
    assert [(v.trained, v.reason) for v in run.history.trials[0].voids] == [
        (False, "another program uses the GPU (process 4711)")
    ]


def test_a_crash_is_no_matter_of_speed(opened: OpenRunWith) -> None:
    class Crashing(Machine):
        def run(self, job: Job) -> Execution:
            done = super().run(job)
            if job.label == "r/0001/train":
                job.log.write_text("Traceback\n")
                return Execution(1, StoppedBy.ITSELF, 1.0, 1.0, 0.1, 0, False, sandbox="here")
            return done

    machine = Crashing()
    run = opened(machine, 0.3, 0.4)
    run_trials(run)
    assert machine.short == "CCCTCC" + "T" + "TC"
    assert losses(run) == [3.0, None, 2.6]


def test_a_canary_that_tells_no_speed_stops_the_run_with_the_remedy(opened: OpenRunWith) -> None:
    run = opened(Machine(float("nan")), 0.3)
    with pytest.raises(MachineError, match=r'printed none \(exit 0: speed: nan\).*\[machine\].*"off"'):
        run_trials(run)


def test_a_run_that_began_without_canaries_goes_on_without(opened: OpenRunWith) -> None:
    run_trials(opened(Machine(), probe=None))
    machine = Machine()
    run = opened(machine, 0.3)
    run_trials(run)
    assert machine.short == "T"


def test_the_commit_tells_how_many_attempts_were_void(opened: OpenRunWith) -> None:
    run = opened(Machine(*REFERENCE, 1000, 500, 1000, 980.0), 0.3)
    run_trials(run)
    recorded = from_commit(run.records.repo, run.records.repo.find("r/0001"))
    assert recorded.outcome.val_loss == recorded.outcome.raw_loss == run.history.trials[1].val_loss
    message = run.records.repo.message(recorded.commit)
    assert "Void-Attempts: 1\n" in message
    assert "Raw-Loss" not in message


def test_what_was_measured_survives_the_journal(opened: OpenRunWith) -> None:
    run = opened(Machine(*REFERENCE, 1000, 500, 1000, 980.0), 0.3)
    run_trials(run)
    read = read_history(run.paths.journal)
    assert read.trials == run.history.trials
    assert read.repeats == run.history.repeats
    lines = [json.loads(line) for line in run.paths.journal.read_text().splitlines()]
    [void] = [line for line in lines if line["event"] == "attempt_voided"]
    assert set(void["void"]) == {"reason", "trained", "seconds", "at"}
