"""Trials that use more CPU seconds than their budget pays for: they run once more, and then decide nothing.

The machine is a sandbox whose jobs are sums: a script says by constants how much it trains, and how much of it in which
attempt; a training uses 2 CPU seconds to start and 8 for its budget, at the machine's full speed.
"""

import math
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import WholeFile
from agent.errors import MachineError
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.speed.cpu_meter import CpuMeter, cpu_meter_of
from agent.execution.speed.probe_workload import on_cpu
from agent.modes.proposer import Context
from agent.report import trial_table
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.journal import read_events, read_history
from agent.task.corpus import prepare_corpus
from agent.task.task import Task
from agent.trials.budget import Budget, Ledger
from agent.trials.events import AttemptVoided
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, KeepRule
from agent.trials.machine_speed import ComputeUse
from agent.trials.repeat import Purpose
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Status
from sandbox.job import Execution, Job, Sandbox, StoppedBy
from tests.kill_anywhere.killed_runs import ROOT

STARTUP, TRAINING, NOMINAL = 2.0, 8.0, 5.0
TASK = """
[task]
name = "summed"
[metric]
name = "loss"
[score]
kind = "printed"
[budget]
unit = "steps"
amount = 100
nominal_seconds = 5.0
counted_by = "script"
max_cpu_ratio = 1.5
[limits]
wall_seconds = 60
memory_gb = 0.25
"""
# FACTOR: budgets that it uses under the first training seed; OTHER_FACTOR: under any other.
SCRIPT = "GAIN = 0.0\nFACTOR = 1.0\nOTHER_FACTOR = 1.0\n"
OpenRunWith = Callable[..., Run]


class Machine:
    """A sandbox whose CPU is as fast as given for its jobs, one after the other; the last speed stays."""

    def __init__(self, *speeds: float, startup: float = STARTUP, noise: dict[int, float] | None = None) -> None:
        self._speeds: Iterator[float] = chain(speeds, repeat(speeds[-1] if speeds else 1.0))
        self._startup = startup
        self._noise = noise or {}  # by number of the job, from 1: CPU seconds times this
        self.jobs: list[str] = []

    def run(self, job: Job) -> Execution:
        self.jobs.append(job.label.split("/")[-1])
        speed = next(self._speeds)
        cpu_seconds: float | None = 1.0
        if self.jobs[-1] == "canary":
            job.log.write_text(f"speed: {1000 * speed}\n")
        else:
            script = next(mount.source for mount in job.mounts if mount.target == "/task") / "train.py"
            constants = read_constants(script.read_text(), ["GAIN", "FACTOR", "OTHER_FACTOR"])
            factor = float(constants["FACTOR" if job.environment["TRAIN_SEED"] == "0" else "OTHER_FACTOR"])
            used = factor * TRAINING * float(job.environment["TRAIN_BUDGET"]) / 100
            cpu_seconds = (self._startup + used) / speed * self._noise.get(len(self.jobs), 1.0)
            job.log.write_text(f"---\nloss: {30.0 - float(constants['GAIN']) - math.log(factor)!r}\n")
            assert job.output is not None
            job.output.write_bytes(b"a sum")
        return Execution(0, StoppedBy.ITSELF, 1.0, cpu_seconds, 0.1, 5, False, sandbox="here")

    def close(self) -> None:
        pass

    @property
    def short(self) -> str:
        """The jobs, a letter each: Canary, Training, Start-up."""
        return "".join({"canary": "C", "train": "T", "startup": "S"}[job] for job in self.jobs)


class Scripts:
    """Proposes scripts with these constants."""

    def __init__(self, *scripts: dict[str, float]) -> None:
        self._scripts = scripts
        self.contexts: list[Context] = []

    def propose(self, context: Context) -> Proposal:
        self.contexts.append(context)
        return Proposal(Origin.LLM, f"script {context.number}", Assignments(self._scripts[context.number - 1]))


@pytest.fixture
def opened(open_run: OpenRunWith, tmp_path: Path) -> OpenRunWith:
    def opened_on(machine: Machine, *scripts: dict[str, float], toml: str = TASK, **more: object) -> Run:
        task = Task(tmp_path / "task", {"task.toml": toml.encode(), "train.py": SCRIPT.encode()})
        meter = cpu_meter_of(task, None, machine, tmp_path / "meter", label="r", passed_on={})
        more = {"rule": KeepRule("any"), "cpu_meter": meter, **more}
        more = {"corpus": None, "scorer": PrintedScorer(task.metric), **more}
        return open_run(Scripts(*scripts), trials=len(scripts) + 1, task=task, box=machine, **more)

    return opened_on


def outcome_of(run: Run, number: int) -> Outcome:
    outcome = run.history.trials[number].outcome
    assert outcome is not None
    return outcome


def ratio_of(run: Run, number: int) -> float | None:
    use = outcome_of(run, number).compute
    assert use is not None
    return use.ratio


def test_start_up_is_measured_once_and_is_no_training(opened: OpenRunWith) -> None:
    machine = Machine()
    run = opened(machine, {"GAIN": 0.1}, {"FACTOR": 1.4})
    run_trials(run)
    assert machine.short == "CTCS" + "TC" + "TC"  # a probe behind one trial is that before the next
    assert outcome_of(run, 0).compute == ComputeUse((1000.0, 1000.0), startup_seconds=2.08)  # with one of 100 steps
    assert ratio_of(run, 1) == pytest.approx(1.0)
    assert ratio_of(run, 2) == pytest.approx(1.4, rel=0.01)
    assert [trial.kept for trial in run.history.trials] == [True, True, True]
    assert outcome_of(run, 2).flags == ()


def test_a_trial_over_its_budget_runs_once_more_and_then_decides_nothing(opened: OpenRunWith) -> None:
    machine = Machine()
    run = opened(machine, {"FACTOR": 2.5}, {"GAIN": 0.1})
    run_trials(run)
    assert machine.short == "CTCS" + "TCTC" + "TC"
    trial, outcome = run.history.trials[1], outcome_of(run, 1)
    assert (outcome.status, outcome.val_loss) == (Status.OK, pytest.approx(30.0 - math.log(2.5)))
    assert (outcome.kept, trial.standing) == (False, KeepState.REVERTED)
    assert outcome.flags[0].startswith("over budget: used 2.52 times the CPU seconds that its budget pays for (allowed")
    assert [void.cpu_ratio for void in trial.voids] == [ratio_of(run, 1)]
    assert run.history.trials[2].parent == 0
    assert run.history.incumbent is run.history.trials[2]
    line = trial_table.trial_line(trial, None, None, run.records.task.metric, False)
    assert "over budget    " in line
    assert "[over budget: used 2.52" in line


def test_it_is_charged_for_both_attempts(opened: OpenRunWith) -> None:
    run = opened(Machine(), {"FACTOR": 2.5})
    run_trials(run)
    ratio = ratio_of(run, 1)
    assert ratio is not None
    assert outcome_of(run, 1).train_seconds == pytest.approx(2 * ratio * NOMINAL, abs=0.01)
    assert Ledger.of(run.history.results).train_seconds == pytest.approx(NOMINAL + 2 * ratio * NOMINAL, abs=0.01)


def test_its_proposer_sees_a_failure_with_the_reason(opened: OpenRunWith) -> None:
    run = opened(Machine(), {"FACTOR": 2.5}, {"GAIN": 0.1})
    run_trials(run)
    assert isinstance(run.proposer, Scripts)
    found = run.proposer.contexts[1].trials[1].outcome
    assert found is not None
    assert (found.status, found.val_loss) == (Status.TIMED_OUT, None)
    assert found.reason.startswith("over budget: used 2.52 times")


def test_an_attempt_that_is_over_by_noise_alone_costs_nothing(opened: OpenRunWith) -> None:
    run = opened(Machine(noise={5: 1.6}), {"GAIN": 0.1})
    run_trials(run)
    assert [void.cpu_ratio for void in run.history.trials[1].voids] == [pytest.approx(1.75, rel=0.02)]
    assert ratio_of(run, 1) == pytest.approx(1.0)
    outcome = outcome_of(run, 1)
    assert (outcome.kept, outcome.flags, outcome.train_seconds) == (True, (), NOMINAL)


def test_a_machine_at_half_speed_is_no_use_of_the_budget(opened: OpenRunWith) -> None:
    run = opened(Machine(1.0, 1.0, 1.0, 1.0, 0.5), {"GAIN": 0.1}, {"GAIN": 0.2})
    run_trials(run)
    assert outcome_of(run, 2).cpu_seconds == pytest.approx(2 * (STARTUP + TRAINING))
    assert ratio_of(run, 2) == pytest.approx(1.0)


def test_a_run_killed_in_the_second_attempt_has_only_that_left(opened: OpenRunWith) -> None:
    class Killed(Machine):
        def run(self, job: Job) -> Execution:
            if len(self.jobs) == 6:  # the second attempt
                raise KeyboardInterrupt
            return super().run(job)

    with pytest.raises(KeyboardInterrupt):
        run_trials(opened(Killed(), {"FACTOR": 2.5}))
    machine = Machine()
    run = opened(machine)
    run.policy.budget = Budget(trials=2)
    run_trials(run)
    assert machine.short == "CTC"
    [void] = [event for event in read_events(run.paths.journal) if isinstance(event, AttemptVoided)]
    assert (void.trial, void.seed, void.void.cpu_ratio) == (1, None, ratio_of(run, 1))
    assert outcome_of(run, 1).flags
    assert outcome_of(run, 1) == outcome_of_history(run)


def outcome_of_history(run: Run) -> Outcome | None:
    """Return what the journal on the disk says of trial 1."""
    return read_history(run.paths.journal).trials[1].outcome


def test_a_trial_that_is_over_budget_when_it_is_to_be_confirmed_is_rolled_back(opened: OpenRunWith) -> None:
    run = opened(Machine(), {"GAIN": 0.5, "OTHER_FACTOR": 2.5}, rule=KeepRule(paired=False, sigma=0.01))
    run_trials(run)
    assert run.history.trials[1].standing is KeepState.ROLLED_BACK
    [test] = [found for found in run.history.repeats if found.purpose is Purpose.CONFIRM]
    assert test.verdict is not None
    assert test.verdict.reason.startswith("over budget: used 2.52 times")
    assert test.val_loss is None
    assert "rolled back" in trial_table.repeat_line(test, run.records.task.metric, False)
    assert run.history.incumbent is run.history.champion is run.history.trials[0]


def test_a_final_run_over_its_budget_is_no_part_of_the_result(opened: OpenRunWith) -> None:
    class Late(Machine):
        """Uses more in the runs that are published."""

        def run(self, job: Job) -> Execution:
            done = super().run(job)
            is_final = int(job.environment.get("TRAIN_SEED", "0")) == HELD_OUT_SEED
            return Execution(0, StoppedBy.ITSELF, 1.0, 30.0, 0.1, 5, False, sandbox="here") if is_final else done

    run = opened(Late(), {"GAIN": 0.5}, rule=KeepRule(paired=False, sigma=0.01), final_runs=2)
    run_trials(run)
    finals = [found.val_loss for found in run.history.repeats if found.purpose is Purpose.FINAL]
    assert finals == [None, 29.5]
    last = next(found for found in run.history.repeats if found.seed == HELD_OUT_SEED)
    assert "over budget  " in trial_table.repeat_line(last, run.records.task.metric, False)
    assert run.keeper.losses(1).get(HELD_OUT_SEED) is None


def test_where_the_baseline_is_nearly_all_start_up_nothing_is_compared_and_flagged(opened: OpenRunWith) -> None:
    machine = Machine(startup=200.0)
    run = opened(machine, {"FACTOR": 3.0})
    run_trials(run)
    assert "start-up: the CPU seconds of trials are not compared with it" in outcome_of(run, 0).flags[0]
    assert outcome_of(run, 1).kept
    assert outcome_of(run, 1).flags == ()


def test_a_trial_whose_cpu_seconds_nobody_knows_is_flagged(opened: OpenRunWith) -> None:
    class Uncounted(Machine):
        def run(self, job: Job) -> Execution:
            done = super().run(job)
            return replace(done, cpu_seconds=None) if job.label.startswith("r/0001") else done

    run = opened(Uncounted(), {"GAIN": 0.1})
    run_trials(run)
    assert outcome_of(run, 1).flags == ("its CPU seconds are not known, and not compared with the baseline's",)
    assert outcome_of(run, 1).kept


def test_a_task_that_allows_no_multiple_is_not_checked(opened: OpenRunWith) -> None:
    machine = Machine()
    run = opened(machine, {"FACTOR": 3.0}, toml=TASK.replace("max_cpu_ratio = 1.5\n", ""))
    run_trials(run)
    assert machine.short == "TT"
    assert outcome_of(run, 1).kept
    assert "only capped, at 4 times" in run.records.task.budget.check


def test_a_run_that_began_without_a_check_goes_on_without(opened: OpenRunWith) -> None:
    run_trials(opened(Machine(), toml=TASK.replace("max_cpu_ratio = 1.5\n", "")))
    machine = Machine()
    run = opened(machine, {"FACTOR": 3.0})
    run_trials(run)
    assert machine.short == "T"
    assert outcome_of(run, 1).kept


def test_a_probe_that_prints_no_speed_stops_the_run_with_the_remedy(opened: OpenRunWith) -> None:
    with pytest.raises(MachineError, match=r"printed none \(exit 0: speed: nan\).*`max_cpu_ratio`"):
        run_trials(opened(Machine(float("nan"))))


def test_the_meter_measures_by_cpu_time(opened: OpenRunWith, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    class Asked(Machine):
        def run(self, job: Job) -> Execution:
            asked.append(job.argv)
            return super().run(job)

    run = opened(Asked())
    assert isinstance(run.executor.cpu_meter, CpuMeter)
    assert run.executor.cpu_meter.speed() == 1000
    assert asked[0][2:] == ("0.5", "cpu-time")


def test_a_script_that_does_twenty_times_its_steps_is_found_out_in_a_real_sandbox(
    open_run: OpenRunWith, cache: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    folder = Path(shutil.copytree(ROOT / "tests" / "tasks" / "bigram_plain", tmp_path / "task"))
    text = (folder / "task.toml").read_text()
    # Steps enough that training, not the start of Python, is what is measured; no load makes 1 of 4, or 4 of 20.
    text = text.replace("amount = 4\n", "amount = 2000\nmax_cpu_ratio = 4.0\n")
    (folder / "task.toml").write_text(text)
    task = Task.load(folder)
    honest = task.source.replace("SMOOTHING = 20.0", "SMOOTHING = 19.0")
    dishonest = task.source.replace("in range(steps)", "in range(20 * steps)")

    class Two:
        def propose(self, context: Context) -> Proposal:
            return Proposal(Origin.LLM, "edit", WholeFile((honest, dishonest)[context.number - 1]))

    corpus = prepare_corpus(task, cache)
    meter = cpu_meter_of(task, corpus, sandbox, tmp_path / "meter", label="r", passed_on={})
    run = open_run(Two(), task=task, corpus=corpus, trials=3, rule=KeepRule("any"), cpu_meter=meter)
    run_trials(run)
    print([trial.outcome for trial in run.history.trials])
    assert outcome_of(run, 0).flags == outcome_of(run, 1).flags == ()
    assert outcome_of(run, 2).is_over_budget
    assert outcome_of(run, 2).flags[0].startswith("over budget: used ")
    assert not outcome_of(run, 2).kept
    assert len(run.history.trials[2].voids) == 1


def test_the_probe_by_cpu_time_allocates_nothing() -> None:
    """Page faults of fresh memory were a fifth of its CPU time, and what they cost depends on the process."""
    work = on_cpu(in_place=True)
    work()
    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < 10_000  # bytes; one of its matrices has 147,456
    finally:
        tracemalloc.stop()
