"""Up to eight trials in flight on a simulated clock, killed and resumed: numbers follow from the journal, and no script
runs twice."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.errors import ModelError
from agent.modes.centaur_code.proposer import CentaurCodeProposer
from agent.modes.proposer import Context
from agent.run.open_run import Run
from agent.task.task import Task
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.trial import Proposal, Status
from tests.agent.run.hybrids import Structures, centaur_code
from tests.agent.run.simulated import events_of
from tests.agent.run.test_parallel import (
    OpenRunWith,
    Simulated,
    check_git,
    check_journal,
    check_ledger,
    context_at,
    killed_and_resumed,
    run_journal,
)


class SimulatedCentaur(Simulated):
    """A run of mode centaur-code on a simulated machine."""

    def proposer(self) -> CentaurCodeProposer:
        return centaur_code(self._seed)


@dataclass
class AsJournaled:
    """A rule of turns that returns what the journal has."""

    journaled: TurnChoice

    def turn(self, _context: Context) -> TurnChoice:
        return self.journaled


def check_numbers(run: Run, seed: int) -> None:
    """Check that a new proposer finds the numbers of each tuning trial again, given its turn and the journal."""
    for trial in run.history.trials[1:]:
        turn = trial.proposal.turn
        assert turn is not None
        if turn.kind is TurnKind.NUMBERS:
            again = centaur_code(seed)
            again._rule = AsJournaled(turn)  # type: ignore[assignment]
            assert again.propose(context_at(run, trial.number, trial)) == trial.proposal
            assert turn.tunes is not None
            assert turn.tunes < trial.number
            assert run.history.trial(turn.tunes).proposal.refused is None


def check_scripts(run: Run) -> None:
    """Check that no two trials ran the same script."""
    ran = [trial.proposal.fingerprint for trial in run.history.trials[1:] if trial.proposal.refused is None]
    assert "" not in ran
    assert len(set(ran)) == len(ran)


def check(run: Run, seed: int, tmp_path: Path) -> None:
    check_journal(run)
    check_numbers(run, seed)
    check_scripts(run)
    check_git(run, tmp_path)
    check_ledger(run)


@pytest.fixture
def simulated(open_run: OpenRunWith, bigram: Task) -> Callable[..., SimulatedCentaur]:
    return lambda seed, **more: SimulatedCentaur(open_run, bigram, "centaur-code", seed, **more)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_numbers_follow_from_the_journal_and_no_script_runs_twice(
    simulated: Callable[..., SimulatedCentaur], tmp_path: Path, seed: int
) -> None:
    machine = simulated(seed, n_slots=8)
    run = machine.go()
    assert machine.box.most_busy > 3
    check(run, seed, tmp_path)
    kinds = [trial.proposal.turn.kind for trial in run.history.trials if trial.proposal.turn is not None]
    assert set(kinds) == set(TurnKind)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_holds_for_a_run_that_is_killed_and_resumed(
    simulated: Callable[..., SimulatedCentaur], tmp_path: Path, seed: int
) -> None:
    machine = simulated(seed, n_slots=8)
    check(killed_and_resumed(machine, tmp_path, random.Random(seed)), seed, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 43))
def test_the_same_holds_for_many_kills(simulated: Callable[..., SimulatedCentaur], tmp_path: Path, seed: int) -> None:
    machine = simulated(seed)
    machine.varies_workers = seed % 2 == 0
    check(killed_and_resumed(machine, tmp_path, random.Random(seed)), seed, tmp_path)


class RefusedCentaur(SimulatedCentaur):
    """A run in which the model only repeats earlier scripts."""

    def proposer(self) -> CentaurCodeProposer:
        return centaur_code(self._seed, Structures(self._seed, refused=1.0))


@pytest.mark.parametrize("n_slots", [1, 8])
def test_a_model_that_only_repeats_scripts_crashes_no_run(
    open_run: OpenRunWith, bigram: Task, tmp_path: Path, n_slots: int
) -> None:
    run = RefusedCentaur(open_run, bigram, "centaur-code", 0, n_slots=n_slots).go()
    check(run, 0, tmp_path)
    structures = [
        trial for trial in run.history.trials[1:] if trial.proposal.turn and trial.proposal.turn.tunes is None
    ]
    assert {trial.status for trial in structures} == {Status.DUPLICATE}


class DownStructures(Structures):
    """A model whose endpoint fails for good, from its second request on."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, refused=0.0)
        self.is_down = False

    def propose(self, context: Context) -> Proposal:
        if self.is_down:
            raise ModelError("the endpoint is gone")
        self.is_down = True
        return super().propose(context)


class DownCentaur(SimulatedCentaur):
    """A run whose first process loses the endpoint after one structure."""

    def proposer(self) -> CentaurCodeProposer:
        return centaur_code(self._seed, DownStructures(self._seed) if not self._n_processes else None)


@pytest.mark.parametrize("n_slots", [1, 8])
def test_where_the_endpoint_goes_down_all_in_flight_ends_and_the_resumed_run_proposes_the_rest(
    open_run: OpenRunWith, bigram: Task, tmp_path: Path, n_slots: int
) -> None:
    machine = DownCentaur(open_run, bigram, "centaur-code", 1, n_slots=n_slots)
    with pytest.raises(ModelError, match="the endpoint is gone"):
        machine.go()
    before = events_of(run_journal(tmp_path))
    started = [event for event in before if event["event"] == "trial_started"]
    assert len(started) == len([event for event in before if event["event"] == "trial_finished"]) >= 2
    run = machine.go()
    assert events_of(run_journal(tmp_path))[: len(before)] == before
    check(run, 1, tmp_path)
