"""Proposals that wait for a person: what was approved runs, what was refused or forgotten costs no training."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.edits.assignments import Assignments
from agent.modes.proposer import Context
from agent.run.ending import MAX_IDLE_PROPOSALS, EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.run.steering.approvals import APPROVAL, Approvals
from agent.run.steering.user_input import PAUSE
from agent.store.inbox.inbox import Inbox
from agent.store.journal import read_history
from agent.store.paths import RunPaths, RunsFolder
from agent.trials.budget import Ledger
from agent.trials.steering import Approval
from agent.trials.trial import Origin, Proposal, Status
from tests.agent.run.given_machine import Machine, MachineWith
from tests.agent.run.simulated import DyingJournal, Given, Killed, SimulatedWorkers, Simulation, events_of

Decisions = Mapping[int, tuple[float, bool]]
"""By trial: the time after which a person decides about it, in seconds, and whether they approve it."""
ALL = dict.fromkeys(range(1, 50), (0.0, True))


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunsFolder(tmp_path / "runs").run("r")


class Attended(SimulatedWorkers):
    """Workers of a run that a person looks at whenever it waits."""

    def __init__(self, simulation: Simulation, run: Run, decisions: Decisions) -> None:
        super().__init__(simulation)
        self._clock, self._run, self._decisions = simulation, run, decisions
        self._seen: dict[int, float] = {}  # when each trial was first seen to wait
        self.together: set[tuple[int, ...]] = set()  # trials that waited at the same time

    def wait(self, at_most: float | None = None) -> None:
        waiting = [trial.number for trial in self._run.history.in_flight.values() if trial.waits_for_approval]
        self.together.add(tuple(waiting))
        for number in waiting:
            since = self._seen.setdefault(number, self._clock.now)
            seconds, is_approved = self._decisions.get(number, (float("inf"), False))
            if self._clock.now - since >= seconds:
                send(self._run.paths, number, is_approved=is_approved)
        super().wait(at_most)


def send(paths: RunPaths, number: int, /, **fields: Any) -> None:
    Inbox(paths.inbox).put(APPROVAL, **{"number": number, "is_approved": True, "reason": "too\nwide", **fields})


def attended(machine: MachineWith, paths: RunPaths, decisions: Decisions, n_slots: int, **more: Any) -> Machine:
    limit = more.pop("limit", None)
    made = machine(more.pop("jobs", {}), n_slots, approvals=Approvals(paths, limit), **more)
    made.workers = Attended(made.simulation, made.run, decisions)
    return made


@pytest.mark.parametrize("n_slots", [1, 3])
def test_what_is_approved_runs_and_what_is_refused_ends_without_a_training(
    machine: MachineWith, paths: RunPaths, n_slots: int
) -> None:
    made = attended(machine, paths, {**ALL, 2: (7.0, False)}, n_slots, trials=4)
    made.go()
    assert sorted(made.labels) == ["0000", "0001", "0003"]
    history = read_history(paths.journal)
    assert [trial.needs_approval for trial in history.trials] == [False, True, True, True]
    zero, one, two, _ = history.trials
    assert (zero.approval, one.approval and one.approval.is_approved) == (None, True)
    assert two.approval is not None
    assert (two.approval.is_approved, two.approval.by, two.approval.reason) == (False, "person", "too wide")
    assert two.outcome is not None
    assert (two.status, two.outcome.reason) == (Status.REFUSED, "a person refused it: too wide")
    assert Ledger.of([two]).train_seconds == Ledger.of([two]).device_seconds == 0
    of_two = [event["event"] for event in events_of(paths.journal) if event.get("number") == 2]
    assert of_two == ["trial_started", "trial_approval", "trial_finished"]
    calls = made.run.observer.calls  # type: ignore[attr-defined]
    assert [number for what, number in calls if what == "waits"] == [1, 2, 3]
    assert not list(Inbox(paths.inbox).messages(APPROVAL))
    assert sorted(made.run.records.repo.tags("r")) == [0, 1, 2, 3]


def test_a_proposal_that_waits_holds_no_slot_and_others_pass_it(machine: MachineWith, paths: RunPaths) -> None:
    made = attended(machine, paths, {**ALL, 1: (8.0, True)}, 1, trials=4, queue=1)
    made.go()
    assert made.labels == ["0000", "0002", "0003", "0001"]
    assert (1, 2) in made.workers.together  # type: ignore[attr-defined]
    assert max(map(len, made.workers.together)) == 2  # type: ignore[attr-defined]


def test_trials_run_while_the_next_proposal_waits(machine: MachineWith, paths: RunPaths) -> None:
    jobs = {"0001": Given(40), "0002": Given(5)}
    made = attended(machine, paths, {**ALL, 3: (10.0, False)}, 3, trials=4, jobs=jobs)
    made.go()
    assert made.labels == ["0000", "0002", "0001"]
    assert [trial.number for trial in made.run.history.by_finish] == [0, 2, 3, 1]


def test_what_nobody_approves_in_time_is_refused_and_twenty_in_a_row_end_the_run(
    machine: MachineWith, paths: RunPaths
) -> None:
    made = attended(machine, paths, {}, 1, trials=50, limit=120.0)
    end = run_trials(made.run, made.workers)
    assert end.ending is EndReason.STUCK
    assert end.reason.endswith("never ran, the last because: nobody approved it within 2 min")
    assert made.labels == ["0000"]
    trials = made.run.history.trials
    assert len(trials) == 1 + MAX_IDLE_PROPOSALS
    assert {trial.approval.by for trial in trials if trial.approval} == {"time limit"}
    assert made.simulation.now == pytest.approx(10 + MAX_IDLE_PROPOSALS * 120, rel=0.01)
    assert Ledger.of(made.run.history.results).wall_seconds == 10
    made.run.records.journal.close()

    # Who resumes the run is there again.
    resumed = attended(machine, paths, ALL, 1, trials=23, limit=120.0)
    assert run_trials(resumed.run, resumed.workers).ending is EndReason.DONE
    assert resumed.labels == ["0021", "0022"]


def test_a_persons_refusals_count_too(machine: MachineWith, paths: RunPaths) -> None:
    made = attended(machine, paths, dict.fromkeys(range(1, 50), (1.0, False)), 3, trials=50)
    end = run_trials(made.run, made.workers)
    assert end.ending is EndReason.STUCK
    assert "the last because: a person refused it: too wide" in end.reason


class Slow:
    """Needs 3 s of simulated time for each proposal."""

    def __init__(self) -> None:
        self.simulation: Simulation | None = None

    def propose(self, context: Context) -> Proposal:
        assert self.simulation is not None
        self.simulation.sleep(f"proposal {context.number}", 3)
        return Proposal(Origin.LLM, "another", Assignments({"SMOOTHING": 20.0 + context.number}))


def test_waiting_for_a_person_costs_no_wall_time_but_proposing_does(machine: MachineWith, paths: RunPaths) -> None:
    slow, jobs = Slow(), {"0001": Given(5), "0002": Given(5)}
    made = attended(machine, paths, dict.fromkeys((1, 2), (100.0, True)), 2, trials=3, proposer=slow, jobs=jobs)
    slow.simulation = made.simulation
    made.go()
    outcomes = [trial.outcome for trial in made.run.history.trials if trial.outcome is not None]
    # Trial 2 was proposed while trial 1 ran.
    assert [outcome.elapsed_seconds for outcome in outcomes] == [10, 3 + 5, 5]
    assert made.simulation.now > 200
    assert [outcome.place.queued_seconds for outcome in outcomes if outcome.place is not None] == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("n_slots", [1, 3])
@pytest.mark.parametrize("is_written", [False, True])
def test_a_run_that_is_killed_at_any_event_waits_again_or_goes_on_as_decided(
    machine: MachineWith, paths: RunPaths, n_slots: int, is_written: bool
) -> None:
    decisions = {1: (3.0, True), 2: (4.0, False), 3: (0.0, True), 4: (0.0, False)}
    expected = [Status.OK, Status.OK, Status.REFUSED, Status.OK, Status.REFUSED]
    n_killed = 0
    for n_events in range(50):
        made = attended(machine, paths, decisions, n_slots, trials=5)
        made.run.records.journal = DyingJournal(made.run.records.journal, n_events, is_written=is_written)
        try:
            run_trials(made.run, made.workers)
            break
        except Killed:
            n_killed += 1
        made.run.records.journal.close()
        before = paths.journal.read_bytes()
        resumed = attended(machine, paths, decisions, n_slots, trials=5)
        run_trials(resumed.run, resumed.workers)
        assert paths.journal.read_bytes().startswith(before)
        history = read_history(paths.journal)
        assert [trial.status for trial in history.trials] == expected
        assert [trial.approval and trial.approval.is_approved for trial in history.trials[1:]] == [
            is_approved for _, is_approved in decisions.values()
        ]
        assert not list(Inbox(paths.inbox).messages(APPROVAL))
        resumed.run.records.journal.close()
        shutil.rmtree(paths.root.parent)
    assert n_killed > 10


def test_a_decision_that_was_sent_while_no_process_ran_counts(machine: MachineWith, paths: RunPaths) -> None:
    made = attended(machine, paths, {1: (0.0, True)}, 1, trials=3, limit=50.0)
    made.run.records.journal = DyingJournal(made.run.records.journal, 6, is_written=False)  # the decision about trial 2
    with pytest.raises(Killed):
        run_trials(made.run, made.workers)
    made.run.records.journal.close()
    assert read_history(paths.journal).in_flight[2].waits_for_approval
    send(paths, 2)
    resumed = attended(machine, paths, {}, 1, trials=3, limit=50.0)
    resumed.go()
    assert resumed.labels == ["0002"]


def test_only_the_first_valid_decision_about_a_trial_that_waits_counts(paths: RunPaths) -> None:
    paths.root.mkdir(parents=True)
    paths.journal.touch()
    approvals, inbox = Approvals(paths, None), Inbox(paths.inbox)
    send(paths, 3, is_approved="yes")
    send(paths, 3, number=True)
    send(paths, 3, reason=None)
    send(paths, 5)  # does not wait
    assert approvals.decisions({3: 0.0, 4: 0.0}, "now") == {}
    send(paths, 3, is_approved=False, reason="\x1b[2J" + "a" * 600)
    send(paths, 3, is_approved=True)
    inbox.put("submission", title="another kind")
    refused = Approval(is_approved=False, by="person", reason=("[2J" + "a" * 600)[:500], at="now")
    assert approvals.decisions({3: 0.0, 4: 0.0}, "now") == {3: refused}
    approvals.keep_only([4])
    assert not list(inbox.messages(APPROVAL))
    assert [message.kind for message in inbox.messages("submission")] == ["submission"]


def test_the_time_limit_is_counted_from_when_the_trial_began_to_wait(paths: RunPaths) -> None:
    paths.root.mkdir(parents=True)
    paths.journal.touch()
    approvals = Approvals(paths, 60.0)
    assert approvals.decisions({3: 59.9}, "now") == {}
    reason = "nobody approved it within 60 s"
    assert approvals.decisions({3: 60.0}, "now") == {3: Approval(False, "time limit", reason, "now")}
    send(paths, 3)
    assert approvals.decisions({3: 61.0}, "now")[3].is_approved  # it came before the limit was noticed


class Pausing(Attended):
    """Workers of a run that a person pauses when trial 2 waits."""

    def wait(self, at_most: float | None = None) -> None:
        if 2 in self._seen and not list(Inbox(self._run.paths.inbox).messages(PAUSE)):
            Inbox(self._run.paths.inbox).put(PAUSE)
        super().wait(at_most)


def test_a_run_can_be_paused_while_a_proposal_waits_which_waits_again_after_that(
    machine: MachineWith, paths: RunPaths
) -> None:
    made = attended(machine, paths, {1: (0.0, True)}, 1, trials=3)
    made.workers = Pausing(made.simulation, made.run, {1: (0.0, True)})
    assert run_trials(made.run, made.workers).ending is EndReason.PAUSED
    assert made.run.history.in_flight[2].waits_for_approval
    made.run.records.journal.close()
    Inbox(paths.inbox).remove([message.id for message in Inbox(paths.inbox).messages(PAUSE)])  # as a resume does
    resumed = attended(machine, paths, ALL, 1, trials=3)
    resumed.go()
    assert resumed.labels == ["0002"]
