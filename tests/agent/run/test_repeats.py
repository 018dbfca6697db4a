"""Repeats in the loop: journaled, charged, judged, resumed; and what git shows of them.

The jobs are sums: a script's loss is a constant of it plus a draw that the training seed decides.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.edits.assignments import Assignments, read_constants
from agent.execution.scoring.printed import PrintedScorer
from agent.modes.proposer import Context
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.journal import read_events, read_history
from agent.task.task import Task
from agent.trials.budget import Budget, Ledger
from agent.trials.events import RepeatStarted
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, KeepRule
from agent.trials.repeat import Purpose
from agent.trials.trial import KeepState, Origin, Proposal
from sandbox.job import Execution, Job, StoppedBy

RULE = KeepRule(paired=True, sigma=0.01)
OpenRunWith = Callable[..., Run]


class Sums:
    """A sandbox whose jobs print 1 + SMOOTHING plus the noise of the training seed."""

    def __init__(self, noise: dict[int, float] | None = None, dies_at: str | None = None) -> None:
        self._noise = noise or {}
        self._dies_at = dies_at
        self.labels: list[str] = []

    def run(self, job: Job) -> Execution:
        self.labels.append(job.label)
        if job.label == self._dies_at:
            raise KeyboardInterrupt
        script = next(mount.source for mount in job.mounts if mount.target == "/task") / "train.py"
        seed = int(job.environment["TRAIN_SEED"])
        own = float(read_constants(script.read_text(), ["SMOOTHING"])["SMOOTHING"])
        loss = 1 + own / 20 + self._noise.get(seed, float(np.random.default_rng(seed).normal(0, 0.001)))
        if own < 0 and seed:
            loss += 3.0  # a negative constant only works under seed 0
        job.log.write_text(f"---\nval_bpb: {loss!r}\n")
        assert job.output is not None
        job.output.write_bytes(b"a sum")
        return Execution(0, StoppedBy.ITSELF, 1.0, 1.0, 0.1, 5, False)

    def close(self) -> None:
        pass


class Script:
    """Proposes SMOOTHING values in turn; remembers the contexts."""

    def __init__(self, *values: float) -> None:
        self._values = values
        self.seen: list[Context] = []

    def propose(self, context: Context) -> Proposal:
        self.seen.append(context)
        value = self._values[context.number - 1]
        return Proposal(Origin.LLM, f"SMOOTHING {value}", Assignments({"SMOOTHING": value}))


@pytest.fixture
def opened(open_run: OpenRunWith, bigram: Task) -> OpenRunWith:
    def opened_with(*values: float, box: Sums | None = None, **more: object) -> Run:
        box = box or Sums()
        more = {"rule": RULE, **more}
        scorer = PrintedScorer(bigram.metric)
        return open_run(Script(*values), trials=len(values) + 1, box=box, scorer=scorer, **more)

    return opened_with


def ran(run: Run) -> list[tuple[int, int, str]]:
    """Return the repeats of a run: trial, seed, and what was decided or why it was run."""
    return [(r.trial, r.seed, r.verdict.standing if r.verdict else r.purpose) for r in run.history.repeats]


def test_a_gain_is_confirmed_by_a_fresh_run_before_the_next_trial(opened: OpenRunWith) -> None:
    box = Sums()
    run = opened(18.0, 19.0, box=box)
    assert run_trials(run).ending is EndReason.DONE
    assert box.labels == [f"r/{name}/train" for name in ("0000", "0001", "0000/seed-1", "0001/seed-1", "0002")]
    assert ran(run) == [(0, 1, "champion"), (1, 1, "repeated")]
    assert [trial.standing for trial in run.history.trials] == ["confirmed", "repeated", "reverted"]
    assert run.records.repo.find("r/champion") == run.records.repo.find("r/0001") == run.records.repo.branch("r")


def test_a_lucky_draw_is_rolled_back_with_all_that_was_built_on_it(opened: OpenRunWith) -> None:
    run = opened(19.9, -1.0, 19.5)
    run_trials(run)
    assert ran(run) == [(0, 1, "champion"), (2, 1, "rolled_back")]
    assert [trial.standing for trial in run.history.trials[1:3]] == ["rolled_back"] * 2
    context = run.proposer.seen[-1]  # type: ignore[attr-defined]
    assert (context.incumbent.number, run.history.trials[3].parent) == (0, 0)
    assert run.history.trials[3].kept  # lower than the champion, though not than what was rolled back
    assert run.records.repo.branch("r") == run.records.repo.find("r/0003")


def test_after_a_roll_back_branch_and_worktree_are_the_champion_s(opened: OpenRunWith, bigram: Task) -> None:
    run = opened(-1.0)
    run_trials(run)
    assert run.records.repo.branch("r") == run.records.repo.find("r/0000")
    assert (run.paths.worktree / bigram.script).read_text() == bigram.source
    assert run.records.repo.tag("r", 1) is not None  # nothing that was tried is lost


def test_after_a_roll_back_the_table_keeps_what_stands(opened: OpenRunWith) -> None:
    run = opened(19.9, -1.0, 19.5)
    run_trials(run)
    rows = [line.split("\t") for line in run.paths.results_tsv.read_text().splitlines()[1:]]
    assert [row[3] for row in rows] == ["keep", "discard", "discard", "keep"]
    assert [row[0] for row in rows] == [run.records.repo.find(f"r/{number:04d}")[:7] for number in range(4)]


def test_repeats_cost_time_and_are_no_trials(opened: OpenRunWith, bigram: Task) -> None:
    run = opened(18.0)
    run_trials(run)
    ledger = Ledger.of(run.history.results)
    assert (ledger.trials, ledger.train_seconds) == (2, 4 * bigram.budget.charge_seconds)
    assert len(run.paths.results_tsv.read_text().splitlines()) == 3


def test_no_repeat_begins_once_the_time_is_spent(opened: OpenRunWith) -> None:
    run = opened(18.0, 17.0)
    run.policy.budget = Budget(train_seconds=2)
    run_trials(run)
    assert (len(run.history.trials), run.history.repeats) == (2, [])


def test_final_runs_are_held_back_from_the_time_and_run_under_held_out_seeds(opened: OpenRunWith) -> None:
    run = opened(18.0, 18.5, 18.6, 18.7, final_runs=2)
    run.policy.budget = Budget(
        train_seconds=9
    )  # two trials, two repeats, one more trial, two for a last test, two final runs
    assert run_trials(run).ending is EndReason.DONE
    assert ran(run)[2:] == [(1, HELD_OUT_SEED, "final"), (1, HELD_OUT_SEED + 1, "final")]
    assert Ledger.of(run.history.results).train_seconds == 7
    assert run_trials(opened(18.0, 18.5, final_runs=2)).ending is EndReason.NOTHING_RAN


def test_a_gain_that_no_run_has_tested_is_put_to_the_test_before_the_final_runs(opened: OpenRunWith) -> None:
    run = opened(19.6, 19.7, final_runs=1)  # two sigma: too little to be run again while the search goes on
    run_trials(run)
    assert ran(run) == [(0, 1, "champion"), (1, 1, "repeated"), (1, HELD_OUT_SEED, "final")]
    assert run_trials(opened(19.6, 19.7, final_runs=1)).ending is EndReason.NOTHING_RAN


@pytest.mark.parametrize("at", ["r/0000/seed-1/train", "r/0001/seed-1/train", "r/0001/seed-100/train"])
def test_killed_in_a_repeat_it_runs_that_repeat_again(opened: OpenRunWith, tmp_path: Path, at: str) -> None:
    values = (18.0, 18.5, 17.0)
    broken = opened(*values, final_runs=1, box=Sums(dies_at=at.replace("0001/seed-100", "0003/seed-100")))
    with pytest.raises(KeyboardInterrupt):
        run_trials(broken)
    begun = read_history(broken.paths.journal).repeating
    assert begun is not None
    resumed = opened(*values, final_runs=1)
    assert run_trials(resumed).ending is EndReason.DONE
    found = ran(resumed)
    assert found == [(0, 1, "champion"), (1, 1, "repeated"), (3, 1, "repeated"), (3, 100, "final")]
    started = [event for event in read_events(resumed.paths.journal) if isinstance(event, RepeatStarted)]
    assert len(started) == len(found)  # none was begun twice


def test_a_kill_between_verdict_and_branch_is_made_good(opened: OpenRunWith) -> None:
    run = opened(-1.0)
    run_trials(run)
    lucky = run.records.repo.find("r/0001")
    run.records.repo.point("r", 1, 0)  # as if the branch had not moved back yet
    assert run.records.repo.branch("r") == lucky
    again = opened(-1.0)
    run_trials(again)
    assert again.records.repo.branch("r") == again.records.repo.find("r/0000")


def test_a_journal_without_repeats_is_read_as_before(opened: OpenRunWith) -> None:
    run = opened(18.0, rule=KeepRule("any"))
    run_trials(run)
    events = [json.loads(line)["event"] for line in run.paths.journal.read_text().splitlines()]
    assert events == ["trial_started", "trial_finished"] * 2
    history = read_history(run.paths.journal)
    assert [trial.standing for trial in history.trials] == [KeepState.CONFIRMED, KeepState.PROVISIONAL]
    assert history.incumbent is not None
    assert history.incumbent.number == 1


def test_what_is_journaled_of_a_repeat_is_read_back(opened: OpenRunWith) -> None:
    run = opened(18.0)
    run_trials(run)
    history = read_history(run.paths.journal)
    assert history.results == run.history.results
    assert history.trials == run.history.trials
    assert history.repeats[-1].purpose is Purpose.CONFIRM
