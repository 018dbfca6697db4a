"""What a run that was removed has left behind is worth nothing to the next one of the same name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.execution.host import Clock
from agent.execution.slices.text_slices import TextSlices
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, CHAMPION
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import KeepState, Origin, Proposal
from sandbox.job import Sandbox
from tests.made_pools import make_pool

OpenRunWith = Callable[..., Run]
BETTER = {"MIX": 0.95, "CHUNK": 1024}
N_ROUNDS, N_SEQUENCES = 4, 100


class Better:
    def propose(self, context: Context) -> Proposal:
        return Proposal(Origin.SEARCHER, "better", Assignments(BETTER))


@pytest.fixture
def opened(open_run: OpenRunWith, bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path) -> Callable[[], Run]:
    pool = make_pool(corpus, tmp_path / "pool", 1, n_slices=4, n_rounds=N_ROUNDS)
    rule = KeepRule(paired=True, sigma=0.02, lead=4.0, n_slices=4)
    return lambda: open_run(Better(), trials=2, rule=rule, slices=TextSlices(bigram, corpus, pool, sandbox))


def test_answers_that_lie_there_before_a_slice_is_opened_are_not_the_models(opened: Callable[[], Run]) -> None:
    run = opened()
    row = {CHALLENGER: [3.0] * N_SEQUENCES, CHAMPION: [0.5] * N_SEQUENCES, BASELINE: [3.0] * N_SEQUENCES}
    for number in range(4):
        run.paths.slice(number).mkdir(parents=True)
        answers = run.paths.slice(number) / "answers.jsonl"
        answers.write_text((json.dumps({"answers": {}, "losses": row}) + "\n") * N_ROUNDS)
    run_trials(run)
    assert run.history.trials[1].standing is KeepState.CONFIRMED
    score = run.history.slices[0].score
    assert score is not None
    assert score.losses[CHALLENGER] > 2.0


@pytest.mark.slow
def test_a_run_that_takes_the_name_of_a_removed_one_opens_other_slices(opened: Callable[[], Run]) -> None:
    run = opened()
    run.clock = Clock(now=lambda: "2026-11-29T10:00:00+00:00")
    run_trials(run)
    assert [(use.number, use.n_other_runs) for use in run.history.slices] == [(0, 0)]
    run.records.journal.close()
    shutil.rmtree(run.paths.root)
    shutil.rmtree(run.paths.root.parent / "trials.git")
    again = opened()
    run_trials(again)
    assert [(use.number, use.n_other_runs) for use in again.history.slices] == [(1, 0)]
    # When there are no others left, the removed run counts among those that have opened it.
    found = again.executor.slices.openings.next("a third run", 2, [1]) if again.executor.slices is not None else None
    assert found == (0, 1)
