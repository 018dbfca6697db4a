"""Several trials at once, and something fails: what is in flight ends, or runs again when the run is resumed."""

import threading

import pytest

from agent.errors import ModelError
from agent.store.journal import read_history
from sandbox.errors import JobLostError, SandboxError
from tests.agent.run.given_machine import MachineWith, Values
from tests.agent.run.simulated import Given, SimulatedWorkers, Simulation


def test_a_proposer_that_fails_stops_the_run_once_the_trials_in_flight_have_ended(machine: MachineWith) -> None:
    jobs = {"0001": Given(5, 0.8), "0002": Given(9, 0.7)}
    made = machine(jobs, 2, trials=5, proposer=Values(fails_at=3))
    with pytest.raises(ModelError, match="the endpoint is gone"):
        made.go()
    history = read_history(made.run.paths.journal)
    assert [trial.kept for trial in history.trials] == [True, True, True]
    assert not history.in_flight
    made.run.records.journal.close()

    resumed = machine(jobs, 2, trials=4)
    resumed.go()
    assert resumed.labels == ["0003"]
    assert resumed.run.history.trials[3].parent == 2


@pytest.mark.parametrize("error", [SandboxError("it broke"), JobLostError("it was lost")])
def test_a_sandbox_that_fails_in_one_slot_stops_the_run_once_the_others_have_ended(
    machine: MachineWith, error: SandboxError
) -> None:
    jobs = {"0001": Given(1, error=error), "0002": Given(9, 0.7)}
    made = machine(jobs, 2, trials=3)
    with pytest.raises(SandboxError, match=str(error)):
        made.go()
    n_lost = 3 if isinstance(error, JobLostError) else 0
    history = read_history(made.run.paths.journal)
    assert [trial.number for trial in history.by_finish] == [0, 2]
    assert [lost.attempt for lost in history.in_flight[1].lost] == list(range(1, n_lost + 1))
    assert made.labels == ["0000", *["0001"] * max(1, n_lost), "0002"]
    made.run.records.journal.close()

    resumed = machine({"0001": Given(1, 0.6)}, 2, trials=3)
    resumed.go()
    assert resumed.labels == ["0001"]
    one = resumed.run.history.trials[1]
    assert one.outcome is not None
    assert (one.kept, one.outcome.slot_seconds, len(one.lost)) == (True, 1 + n_lost, n_lost)


def test_a_trial_lost_on_node_after_node_stops_the_run_with_their_names(machine: MachineWith) -> None:
    jobs = {"0001": Given(1, error=JobLostError("it gave no result", "n2")), "0002": Given(9, 0.7)}
    made = machine(jobs, 2, trials=3)
    with pytest.raises(
        JobLostError, match=r"trial 1 was lost 3 times in a row, on n2; at last: it gave no result; look"
    ):
        made.go()
    assert [trial.number for trial in read_history(made.run.paths.journal).by_finish] == [0, 2]


class Interrupted(SimulatedWorkers):
    """Workers whose deciding thread is interrupted when it waits for the n-th time."""

    def __init__(self, simulation: Simulation, nth: int) -> None:
        super().__init__(simulation)
        self._left = nth

    def wait(self, at_most: float | None = None) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
        super().wait(at_most)


@pytest.mark.parametrize("nth", [1, 5, 7, 8, 10])
def test_an_interrupt_stops_all_jobs_and_resuming_runs_their_trials(machine: MachineWith, nth: int) -> None:
    made = machine({}, 3, trials=6)
    before = set(threading.enumerate())
    made.workers = Interrupted(made.simulation, nth)
    with pytest.raises(KeyboardInterrupt):
        made.go()
    assert made.box.busy == {}
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "worker"]
    history = read_history(made.run.paths.journal)
    proposed = {number: trial.proposal for number, trial in history.in_flight.items()}
    assert proposed
    done = {trial.number for trial in history.trials}
    made.run.records.journal.close()

    resumed = machine({}, 3, trials=6)
    resumed.go()
    assert sorted(resumed.labels) == [f"{n:04d}" for n in range(6) if n not in done]
    assert [trial.number for trial in resumed.run.history.trials] == list(range(6))
    assert {number: resumed.run.history.trials[number].proposal for number in proposed} == proposed
