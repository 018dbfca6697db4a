"""Several trials at once: one case a test, with losses and durations that the test gives, on a simulated clock."""

import pytest

from agent.edits.edit import Params
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.scoring.scorer import Artifact
from agent.modes.numeric import NumericProposer
from agent.store.git import command as git_command
from agent.store.git.command import run_git
from agent.store.git_repo import trailers
from agent.task.task import Task
from agent.trials.budget import Budget
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import KeepState, Score, Status
from sandbox.errors import JobLostError
from tests.agent.run.given_machine import MachineWith
from tests.agent.run.simulated import Given

TWO_TIER = KeepRule(paired=True, sigma=0.05)  # a lead of 0.175 is tested


def test_a_trial_is_judged_against_the_incumbent_of_the_moment_at_which_it_ends(machine: MachineWith) -> None:
    made = machine({"0001": Given(5, 0.8), "0002": Given(9, 0.9)}, 2, trials=3)
    made.go()
    run = made.run
    one, two = run.history.trials[1:]
    assert (one.parent, one.kept, two.parent, two.kept) == (0, True, 0, False)
    assert run.history.incumbent_before(2) == one
    repo = run.records.repo
    assert repo.parents("r/0002") == [repo.find("r/0001")]
    assert trailers(repo.message("r/0002"))["Edited"] == "r/0000"
    assert "Edited" not in trailers(repo.message("r/0001"))
    assert repo.branch("r") == repo.find("r/0001")


def test_a_trial_that_ends_first_is_judged_first(machine: MachineWith) -> None:
    made = machine({"0001": Given(9, 0.8), "0002": Given(5, 0.9)}, 2, trials=3)
    made.go()
    assert [trial.number for trial in made.run.history.by_finish] == [0, 2, 1]
    assert [trial.kept for trial in made.run.history.trials] == [True, True, True]
    assert made.run.records.repo.parents("r/0001") == [made.run.records.repo.find("r/0002")]


def test_a_repeat_runs_beside_trials_and_decides_about_the_trial_that_it_was_begun_for(machine: MachineWith) -> None:
    jobs = {
        "0001": Given(1, 0.8),
        "0002": Given(3),
        "0000/seed-1": Given(5, 1.0),
        "0001/seed-1": Given(40, 0.81),
        "0003": Given(7, 0.5),  # becomes the incumbent while trial 1 is repeated
        "0004": Given(100),
        "0003/seed-1": Given(1, 0.51),
    }
    made = machine(jobs, 2, trials=5, rule=TWO_TIER)
    made.go()
    assert made.labels == ["0000", "0001", "0002", "0000/seed-1", "0003", "0001/seed-1", "0003/seed-1", "0004"]
    history = made.run.history
    assert [repeat.verdict.standing for repeat in history.repeats if repeat.verdict] == [KeepState.REPEATED] * 2
    of_one = history.repeats[1]
    assert (of_one.trial, history.results.index(of_one)) == (1, 5)
    assert [trial.standing for trial in history.trials[:4]] == [
        *(KeepState.CONFIRMED, KeepState.REPEATED, KeepState.REVERTED, KeepState.REPEATED)
    ]


class Audits:
    """The scorer of printed losses, which remembers the bar that each trial was audited at.

    The second job for trial 4 is lost.
    """

    def __init__(self, task: Task) -> None:
        self._inner = PrintedScorer(task.metric)
        self.bars: list[tuple[int, float | None]] = []

    def score(self, artifact: Artifact) -> Score:
        self.bars.append((artifact.trial, artifact.to_beat))
        if [number for number, _ in self.bars].count(4) == 2 and artifact.trial == 4:
            raise JobLostError("the audit was lost")
        return self._inner.score(artifact)


def test_after_a_roll_back_trials_in_flight_are_judged_against_the_champion_and_audited_again(
    machine: MachineWith, bigram: Task
) -> None:
    jobs = {
        "0001": Given(1, 0.8),  # lucky
        "0002": Given(2),
        "0003": Given(20, 0.95),
        "0000/seed-1": Given(2, 1.0),
        "0001/seed-1": Given(3, 1.3),  # rolled back 6 s after the baseline
        "0004": Given(50, 0.9),  # built on trial 1
    }
    audits = Audits(bigram)
    made = machine(jobs, 3, trials=5, rule=TWO_TIER, scorer=audits)
    made.go()
    history = made.run.history
    assert [trial.parent for trial in history.trials] == [None, 0, 0, 0, 1]
    assert [trial.standing for trial in history.trials] == [
        *(KeepState.CONFIRMED, KeepState.ROLLED_BACK, KeepState.REVERTED, KeepState.PROVISIONAL, KeepState.PROVISIONAL)
    ]
    assert [trial.number for trial in history.by_finish] == [0, 1, 2, 3, 4]
    assert history.incumbent_before(3) == history.trials[0]
    assert history.incumbent == history.trials[4]
    assert history.champion == history.trials[0]
    assert [bar for number, bar in audits.bars if number == 4] == [0.8, 0.95, 0.95]  # once lost
    assert [lost.reason for lost in history.trials[4].lost] == ["the audit was lost"]
    assert [bar for number, bar in audits.bars if number == 3] == [1.0]
    assert made.run.records.repo.parents("r/0003") == [made.run.records.repo.find("r/0000")]


class Listed:
    """A searcher that proposes the points of a list in turn."""

    def __init__(self, *values: float) -> None:
        self._values = list(values)
        self.discarded: list[int] = []

    def ask(self, number: int) -> Params:
        return {"SMOOTHING": self._values[0], "MIX": 0.5, "STRIDE": 3, "CHUNK": 256, "ORDER": "forward"}

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        if params["SMOOTHING"] == self._values[0]:
            del self._values[0]

    def discard(self, number: int) -> None:
        self.discarded.append(number)
        if len(self._values) > 1:
            del self._values[0]

    def release(self, number: int) -> None: ...


def test_a_searcher_is_asked_for_another_point_if_its_own_is_in_flight(machine: MachineWith) -> None:
    searcher = Listed(1.0, 2.0, 3.0)
    made = machine({"0001": Given(9), "0002": Given(9)}, 2, trials=3, proposer=NumericProposer(searcher))
    made.go()
    assert [trial.proposal.params["SMOOTHING"] for trial in made.run.history.trials[1:]] == [1.0, 2.0]  # type: ignore[index]
    assert searcher.discarded == [2]


def test_a_searcher_with_nothing_but_points_in_flight_has_its_proposal_refused(machine: MachineWith) -> None:
    made = machine({"0001": Given(9)}, 2, trials=3, proposer=NumericProposer(Listed(1.0)))
    made.go()
    two = made.run.history.trials[2]
    assert two.status is Status.DUPLICATE
    assert two.outcome is not None
    assert "are running" in two.outcome.reason
    assert made.labels == ["0000", "0001"]


def test_at_most_the_trials_in_flight_exceed_the_training_budget_and_the_end_says_how_many(
    machine: MachineWith,
) -> None:
    jobs = {"0001": Given(7, None), "0002": Given(8), "0003": Given(9), "0004": Given(10)}  # 1 fails, and costs 7 s
    made = machine(jobs, 4, trials=100)
    made.run.policy.budget = Budget(train_seconds=6)
    assert made.go() == "the training budget of 6 s is spent; 3 trials that had started before ended after that"
    assert len(made.run.history.trials) == 5


def test_no_trial_starts_that_the_trials_in_flight_leave_no_budget_for(machine: MachineWith) -> None:
    made = machine({}, 4, trials=100)
    made.run.policy.budget = Budget(train_seconds=3)
    assert made.go() == "the training budget of 3 s is spent"
    assert len(made.run.history.trials) == 3


def test_a_reverted_trial_takes_four_git_commands(machine: MachineWith, monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine({}, 1, trials=3)
    commands: list[tuple[int, str]] = []  # trials that had finished, command

    def counted(argv: list[str], *more: object, **named: object) -> bytes:
        commands.append((len(made.run.history.trials), argv[0]))
        return run_git(argv, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(git_command, "run_git", counted)
    made.go()
    assert [name for n_finished, name in commands if n_finished == 2] == [*["hash-object"] * 3, "update-ref"]


def test_repeats_after_the_last_trial_exceed_no_budget(machine: MachineWith) -> None:
    jobs = {"0001": Given(5, 0.8), "0000/seed-1": Given(5, 1.01), "0001/seed-1": Given(5, 0.81)}
    made = machine(jobs, 2, trials=3, rule=TWO_TIER, final_runs=2)
    assert made.go() == "all 3 trials are done"
    assert len(made.run.history.repeats) == 4
