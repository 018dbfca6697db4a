"""Several trials at once, on a simulated clock: what must hold for any order in which they end, and after any kill or
full disk."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.edits.edit import Unchanged
from agent.errors import JournalError
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.slots import Slot
from agent.modes.numeric import NumericProposer
from agent.modes.proposer import Context, Proposer, seen_by
from agent.modes.searchers import build_searcher
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.git_repo import TrialRepo, trailers
from agent.store.journal import read_events, read_history
from agent.store.paths import RunsFolder
from agent.task.task import Task
from agent.trials.budget import Ledger
from agent.trials.events import TrialFinished, TrialStarted
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.repeat import Repeat
from agent.trials.trial import Origin, Proposal, Status, Trial
from tests.agent.run.hybrids import centaur_on
from tests.agent.run.simulated import (
    DyingJournal,
    Killed,
    SimulatedSandbox,
    SimulatedWorkers,
    Simulation,
    SlowProposer,
    events_of,
)
from tests.full_disk import fill

OpenRunWith = Callable[..., Run]
SEARCHERS = ("random", "cma-es", "local", "local-gp", "tpe")
MODES = (*SEARCHERS, "centaur on local-gp", "scripted")
N_TRIALS = 11
TWO_TIER = KeepRule(paired=True, sigma=0.01)


class Scripted:
    """Proposes values that its seed and the number of the trial decide, as a model would; some are refused."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def propose(self, context: Context) -> Proposal:
        chance = random.Random(f"{self._seed} {context.number}")
        if chance.random() < 0.2:
            return Proposal(Origin.LLM, "again", Unchanged(), refused=Status.DUPLICATE, reason="trial 0 again")
        values = {"SMOOTHING": chance.uniform(0.5, 20.0), "MIX": chance.random()}
        return Proposal(Origin.LLM, "other values", Assignments(values))


def proposer_of(mode: str, task: Task, seed: int) -> Proposer:
    if mode == "scripted":
        return Scripted(seed)
    if mode == "centaur on local-gp":
        return centaur_on("local-gp", task, seed)
    assert task.space is not None
    return NumericProposer(build_searcher(mode, task.space, task.defaults, seed))


class Simulated:
    """A run of one mode and seed on a simulated machine. Each `go` is a process of its own."""

    def __init__(
        self, open_run: OpenRunWith, task: Task, mode: str, seed: int, n_slots: int | None = None, **more: object
    ) -> None:
        """The seed decides the number of slots, the length of the queue and the keep rule, unless `more` does."""
        chance = random.Random(f"{mode} {seed}")
        self._open, self._task, self._mode, self._seed = open_run, task, mode, seed
        self._n_processes = 0
        self.varies_workers = False  # whether each process has another number of slots, and another queue
        self.n_slots, queue = chance.randint(1, 8), chance.randint(0, 3)
        self.n_slots = n_slots or self.n_slots
        rule = chance.choice([TWO_TIER, KeepRule("any")])
        self._more = {"queue": queue, "rule": rule, "slots": tuple(map(Slot, range(self.n_slots))), **more}

    def proposer(self) -> Proposer:
        return proposer_of(self._mode, self._task, self._seed)

    def opened(self) -> Run:
        self.simulation = Simulation()
        self.box = SimulatedSandbox(self.simulation, self._seed, self._n_processes)
        if self.varies_workers:
            chance = random.Random(f"{self._seed} {self._n_processes}")
            self.n_slots = chance.choice([1, 1, 2, 5])
            self._more |= {"queue": chance.randint(0, 1), "slots": tuple(map(Slot, range(self.n_slots)))}
        return self._open(
            SlowProposer(self.proposer(), self.simulation, self._seed),
            trials=N_TRIALS,
            box=self.box.restricted,
            scorer=PrintedScorer(self._task.metric),
            clock=self.simulation.clock,
            **self._more,
        )

    def go(self, kill_at: int | None = None, *, is_written: bool = True, n_lines: int | None = None) -> Run:
        """Run in a new process, to the end or until it is killed at an event, which raises Killed.

        `n_lines`: the disk has room for so many more lines of the journal.
        """
        run = self.opened()
        self._n_processes += 1
        if kill_at is not None:
            run.records.journal = DyingJournal(run.records.journal, kill_at, is_written=is_written)
        if n_lines is not None:
            left = iter(range(n_lines))
            fill(run.records.journal, lambda _line: next(left, None) is not None)
        end = run_trials(run, SimulatedWorkers(self.simulation))
        assert end.ending in (EndReason.DONE, EndReason.NOTHING_RAN), end
        return run


@pytest.fixture
def simulated(open_run: OpenRunWith, bigram: Task) -> Callable[..., Simulated]:
    def of(mode: str, seed: int, **more: object) -> Simulated:
        return Simulated(open_run, bigram, mode, seed, **more)

    return of


def check_journal(run: Run) -> None:
    """Check that each trial has one start and one end, in an order that can be, and that the journal tells the rest."""
    events = list(read_events(run.paths.journal))
    started = [event.number for event in events if isinstance(event, TrialStarted)]
    ended = [event.number for event in events if isinstance(event, TrialFinished)]
    assert started == list(range(N_TRIALS))
    assert sorted(ended) == started
    history = read_history(run.paths.journal)
    assert history == run.history
    assert not history.in_flight
    assert [trial.number for trial in history.trials] == started
    assert history.by_finish == [result for result in history.finished if isinstance(result, Trial)]
    assert sorted(history.by_finish, key=lambda trial: trial.number) == history.trials
    keeper = KeepPolicy(run.policy.keeper.rule, history.results)
    for each in (keeper, run.keeper):
        assert (each.incumbent, each.champion) == (history.position.incumbent, history.position.champion)
    assert keeper.to_beat(0) == run.keeper.to_beat(0)


def check_proposals(run: Run, proposer: Callable[[], Proposer]) -> None:
    """Check that a new proposer proposes each trial again from the journal alone, and the same next one."""
    for number in range(1, N_TRIALS + 1):
        trial = run.history.trial(number) if number < N_TRIALS else None
        again = proposer().propose(context_at(run, number, trial))
        if trial is not None:
            assert again == trial.proposal
        else:
            old = run.proposer._inner.propose(context_at(run, number, None))  # type: ignore[attr-defined]
            assert again == old


def context_at(run: Run, number: int, trial: Trial | None) -> Context:
    """Return the context in which a trial was proposed; None: the next one."""
    history = run.history
    trials, pending = seen_by(history, number, None if trial is None else trial.n_seen)
    parent = history.incumbent if trial is None else history.trial(trial.parent or 0)
    assert parent is not None
    source = run.records.repo.read(f"r/{parent.number:04d}")["train.py"].decode()
    return Context(
        number, source, run.executor.task.source, parent, tuple(trials), run.space, "", pending=tuple(pending)
    )


def check_git(run: Run, tmp_path: Path) -> None:
    """Check that the branch is linear, that trailers name the edited trial, and that git follows from the journal."""
    repo, history = run.records.repo, run.history
    tags = repo.tags("r")
    assert sorted(tags) == list(range(N_TRIALS))
    assert history.incumbent is not None
    assert repo.branch("r") == tags[history.incumbent.number]
    for trial in history.trials:
        onto = history.commit_parent(trial)
        assert repo.parents(f"r/{trial.number:04d}") == ([] if onto is None else [tags[onto]])
        edited = trailers(repo.message(f"r/{trial.number:04d}")).get("Edited")
        assert edited == (None if trial.parent == onto else f"r/{trial.parent:04d}")
    runs = RunsFolder(next(tmp_path / f"again-{n}" for n in count() if not (tmp_path / f"again-{n}").exists()))
    runs.prepare()
    runs.run("r").root.mkdir()
    replace(run.records, paths=runs.run("r"), repo=TrialRepo(runs.repo), sources={}).rebuild()
    assert TrialRepo(runs.repo).tags("r") == tags
    assert runs.run("r").results_tsv.read_text() == run.paths.results_tsv.read_text()


def jobs_of(result: Trial | Repeat) -> str:
    if isinstance(result, Trial):
        return f"r/{result.number:04d}/train"
    return f"r/{result.trial:04d}/seed-{result.seed}/train"


def check_ledger(run: Run) -> None:
    """Check that the journal's times are those of the attempts that count and of lost ones, with kills or without."""
    ledger = Ledger.of(run.history.results)
    assert ledger.trials == N_TRIALS
    for result in run.history.results:
        outcome = result.outcome
        assert outcome is not None
        assert outcome.slot_seconds == outcome.wall_seconds + sum(lost.seconds for lost in result.lost)
        assert [lost.attempt for lost in result.lost] == list(range(1, len(result.lost) + 1))
        assert outcome.elapsed_seconds >= 0
    charged = sum(result.outcome.train_seconds for result in run.history.results if result.outcome is not None)
    assert ledger.train_seconds == charged


def check_times(simulated: Simulated, run: Run) -> None:
    """Check the times of an unbroken run against those of its jobs."""
    ledger, jobs = Ledger.of(run.history.results), simulated.box.ran
    assert ledger.device_seconds == sum(job.seconds for job in jobs)
    assert ledger.lost_seconds == sum(job.seconds for job in jobs if job.is_lost)
    assert ledger.wall_seconds == simulated.simulation.now
    for result in run.history.results:
        own = [job for job in jobs if job.label == jobs_of(result)]
        assert [lost.seconds for lost in result.lost] == [job.seconds for job in own if job.is_lost]
        if own:
            assert result.outcome is not None
            assert result.outcome.place is not None
            assert {job.slot for job in own} == {result.outcome.place.slot}


def check_unbroken(machine: Simulated, tmp_path: Path) -> None:
    run = machine.go()
    assert machine.box.most_busy <= machine.n_slots
    check_journal(run)
    check_proposals(run, machine.proposer)
    check_git(run, tmp_path)
    check_ledger(run)
    check_times(machine, run)


def killed_and_resumed(machine: Simulated, tmp_path: Path, chance: random.Random) -> Run:
    """Kill a run within each few events, until it ends; each journal must continue the one before it."""
    most = chance.choice([1, 3, 8])
    journals: list[list[dict[str, object]]] = []
    for n in count():
        try:
            run = machine.go(chance.randrange(most), is_written=chance.random() < 0.5 or most == 1)
        except Killed:
            journals.append(events_of(run_journal(tmp_path)))
            assert n < 100
        else:
            break
    assert journals
    for before, after in pairwise(journals):
        assert after[: len(before)] == before
    return run


def check_killed(machine: Simulated, tmp_path: Path, chance: random.Random) -> None:
    """Check a run that is killed and resumed again and again."""
    run = killed_and_resumed(machine, tmp_path, chance)
    check_journal(run)
    check_proposals(run, machine.proposer)
    check_git(run, tmp_path)
    check_ledger(run)


def run_journal(tmp_path: Path) -> Path:
    return RunsFolder(tmp_path / "runs").run("r").journal


@pytest.mark.parametrize("mode", MODES)
def test_each_trial_ends_once_and_all_follows_from_the_journal(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str
) -> None:
    check_unbroken(simulated(mode, seed=0), tmp_path)


@pytest.mark.parametrize("mode", MODES)
def test_killed_at_any_event_it_proposes_nothing_twice_and_each_trial_ends_once(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str
) -> None:
    check_killed(simulated(mode, seed=0), tmp_path, random.Random(mode))


@pytest.mark.parametrize("mode", ["local", "scripted"])
def test_the_same_holds_if_each_process_has_another_number_of_workers(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str
) -> None:
    machine = simulated(mode, seed=0)
    machine.varies_workers = True
    check_killed(machine, tmp_path, random.Random(mode))


def check_full_disk(machine: Simulated, tmp_path: Path, chance: random.Random) -> None:
    """Let a run meet a full disk within each few events, until it ends."""
    journals: list[list[dict[str, object]]] = []
    most_busy, run = 0, None
    while run is None:
        try:
            run = machine.go(n_lines=chance.randrange(5))
        except JournalError:
            assert machine.box.busy == {}
            assert machine.box.n_begun == len(machine.box.ran)  # none was stopped
            most_busy = max(most_busy, machine.box.most_busy)
            journals.append(events_of(run_journal(tmp_path)))
    assert most_busy == machine.n_slots
    for before, after in pairwise(journals):
        assert after[: len(before)] == before
    check_journal(run)
    check_proposals(run, machine.proposer)
    check_git(run, tmp_path)
    check_ledger(run)


@pytest.mark.parametrize("mode", ["local", "scripted"])
def test_on_a_full_disk_all_in_flight_ends_and_the_resumed_run_goes_on(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str
) -> None:
    check_full_disk(simulated(mode, seed=0, n_slots=3), tmp_path, random.Random(mode))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 41))
@pytest.mark.parametrize("mode", MODES)
def test_the_same_holds_for_many_full_disks(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str, seed: int
) -> None:
    check_full_disk(simulated(mode, seed, n_slots=3), tmp_path, random.Random(f"{mode} {seed}"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 41))
@pytest.mark.parametrize("mode", MODES)
def test_the_same_holds_for_many_orders(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str, seed: int
) -> None:
    check_unbroken(simulated(mode, seed), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 41))
@pytest.mark.parametrize("mode", MODES)
def test_the_same_holds_for_many_kills(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str, seed: int
) -> None:
    machine = simulated(mode, seed)
    machine.varies_workers = seed % 2 == 0
    check_killed(machine, tmp_path, random.Random(f"{mode} {seed}"))


@pytest.mark.parametrize("mode", ["random", "scripted"])
def test_with_one_slot_and_no_queue_each_trial_and_repeat_ends_before_the_next_starts(
    simulated: Callable[..., Simulated], tmp_path: Path, mode: str
) -> None:
    machine = simulated(mode, 0, n_slots=1, queue=0, rule=TWO_TIER)
    run = machine.go()
    check_times(machine, run)
    events = [event["event"] for event in events_of(run.paths.journal) if event["event"] != "attempt_lost"]
    assert events[::2] == [event.replace("_finished", "_started") for event in events[1::2]]
    assert set(events[::2]) == {"trial_started", "repeat_started"}
