"""Scoring jobs may cost what the baseline's own did, times a factor: a script cannot train on while it is scored."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.edits.edit import WholeFile
from agent.execution.scoring import scoring_job
from agent.execution.scoring.scoring_job import START_CPU_SECONDS, START_WALL_SECONDS, capped, with_cost
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.journal import read_history
from agent.task.task import Task
from agent.trials.trial import Origin, Proposal, Score, Status
from sandbox.job import Execution, Limits, StoppedBy

LIMITS = Limits(wall_seconds=300.0, memory_gb=1.0)
COST = Score(1.0, "audited", cpu_seconds={"claim": 2.0}, wall_seconds={"claim": 5.0})

# It saves what it was trained on and, whenever it is loaded, goes on with it until somebody stops it.
TRAINS_ON = """
honest = load
def load(path):
    model = honest(path)
    weights = np.zeros(1000)
    while True:
        weights += 1e-3 * np.sin(weights + 1.0)
    return model
"""
# The same, where only a child does the work.
TRAINS_ON_BESIDE = """
honest = load
def load(path):
    if os.fork() == 0:
        while True:
            pass
    time.sleep(600)
"""
WORKS_A_LITTLE_MORE = """
honest = load
def load(path):
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    return honest(path)
"""


class Proposes:
    """Proposes the baseline's script with some lines behind it."""

    def __init__(self, *behind: str) -> None:
        self._behind = behind

    def propose(self, context: Context) -> Proposal:
        script = f"{context.baseline_source}\n{self._behind[context.number - 1]}"
        return Proposal(Origin.LLM, f"cheat {context.number}", WholeFile(script))


@pytest.mark.slow
def test_who_trains_on_while_it_is_loaded_is_stopped_and_has_no_loss(
    open_run: Callable[..., Run], bigram: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_job, "START_CPU_SECONDS", 0.5)  # the start alone would be 10 seconds of burning here
    run = open_run(Proposes(TRAINS_ON, TRAINS_ON_BESIDE, WORKS_A_LITTLE_MORE), trials=4)
    run_trials(run)
    baseline, *cheats, honest = [trial.outcome for trial in run.history.trials]
    assert baseline is not None
    assert baseline.score is not None
    assert set(baseline.score.cpu_seconds) == set(baseline.score.wall_seconds) == {"claim", "audit"}
    allowed = bigram.score.cost_factor * baseline.score.cpu_seconds["claim"] + 0.5
    for outcome in cheats:
        assert outcome is not None
        assert (outcome.status, outcome.val_loss, outcome.kept) == (Status.BAD_ARTIFACT, None, False)
        assert outcome.reason == "the scoring job was ended by its cpu limit"
        assert outcome.score is not None
        assert outcome.score.cpu_seconds["claim"] < allowed + 1.0  # looked at every 50 ms
    assert honest is not None
    assert (honest.status, honest.val_loss) == (Status.OK, baseline.val_loss)


def test_the_cost_is_in_the_journal(open_run: Callable[..., Run]) -> None:
    run = open_run(Proposes(), trials=1)
    run_trials(run)
    read = read_history(run.paths.journal).trials[0].outcome
    assert read is not None
    assert read.score is not None
    assert all(seconds > 0 for seconds in read.score.cpu_seconds.values())
    assert read.score == run.history.trials[0].outcome.score  # type: ignore[union-attr]


def test_each_question_is_capped_by_the_baselines_own() -> None:
    limits = capped(LIMITS, "claim", COST, 8.0)
    assert limits.cpu_seconds == 8.0 * 2.0 + START_CPU_SECONDS
    assert limits.wall_seconds == 8.0 * 5.0 + START_WALL_SECONDS


def test_no_cap_is_wider_than_the_tasks_own_wall_limit() -> None:
    assert capped(replace(LIMITS, wall_seconds=20.0), "claim", COST, 8.0).wall_seconds == 20.0


@pytest.mark.parametrize("baseline", [None, Score(1.0, "audited"), COST], ids=["baseline", "old journal", "question"])
def test_what_is_not_known_of_the_baseline_caps_nothing(baseline: Score | None) -> None:
    assert capped(LIMITS, "audit", baseline, 8.0) == LIMITS


def test_the_cost_is_that_of_the_costliest_job() -> None:
    def execution(cpu_seconds: float | None, wall_seconds: float) -> Execution:
        return Execution(0, StoppedBy.ITSELF, wall_seconds, cpu_seconds, None, 4, log_truncated=False)

    score = with_cost(
        Score(1.0, "audited"),
        [("claim", execution(None, 3.0)), ("audit", execution(1.0, 2.0)), ("audit", execution(0.5, 4.00049))],
    )
    assert dict(score.cpu_seconds) == {"audit": 1.0}
    assert dict(score.wall_seconds) == {"claim": 3.0, "audit": 4.0}
