"""While one trial trains the next is thought of: it keeps its parent, and is judged by the incumbent of the moment."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.edits.assignments import Assignments
from agent.errors import ModelError
from agent.modes.proposer import Context
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.journal import read_history
from agent.trials.trial import Origin, Proposal, Status
from sandbox.job import Execution, Job, Sandbox

OpenRunWith = Callable[..., Run]
BETTER = {"MIX": 0.9, "SMOOTHING": 1.0, "STRIDE": 1}


class Ahead:
    """Proposes what it was given; says when it was asked for trial 2, and remembers what it saw."""

    def __init__(self, *values: dict[str, float]) -> None:
        self._values = values
        self.seen: list[Context] = []
        self.asked_for_two = threading.Event()

    def propose(self, context: Context) -> Proposal:
        self.seen.append(context)
        if context.number == 2:
            self.asked_for_two.set()
        if context.number > len(self._values):
            raise ModelError("the endpoint is gone")
        return Proposal(Origin.LLM, f"idea {context.number}", Assignments(self._values[context.number - 1]))


class WaitsFor:
    """A sandbox in which trial 1 does not end before `event`: if nobody thinks ahead, it fails."""

    def __init__(self, inner: Sandbox, event: threading.Event) -> None:
        self._inner, self._event = inner, event

    def run(self, job: Job) -> Execution:
        if job.label == "r/0001/train":
            assert self._event.wait(600)
        return self._inner.run(job)

    def close(self) -> None:
        pass


def test_the_next_trial_is_thought_of_while_one_trains(open_run: OpenRunWith, sandbox: Sandbox) -> None:
    # Trial 1 is kept; trial 2 was thought of before that was known, and is worse than trial 1.
    proposer = Ahead(BETTER, {"MIX": 0.6}, {"MIX": 0.95})
    run = open_run(proposer, trials=4, box=WaitsFor(sandbox, proposer.asked_for_two))
    run.queue = 1
    assert run_trials(run).ending is EndReason.DONE
    context = proposer.seen[1]
    assert context.number == 2
    assert [trial.number for trial in context.pending] == [1]
    assert [trial.number for trial in context.trials] == [0]
    one, two, three = run.history.trials[1:]
    assert (one.parent, two.parent) == (0, 0)
    assert (one.kept, two.kept) == (True, False)  # though it beats its own parent
    assert two.val_loss is not None
    assert run.history.trials[0].val_loss is not None
    assert two.val_loss < run.history.trials[0].val_loss
    assert three.parent == 1
    assert b"SMOOTHING = 20.0" in run.records.repo.read("r/0002")["train.py"]  # its parent's, not trial 1's
    assert read_history(run.paths.journal).trials == run.history.trials
    assert len(proposer.seen) == 3  # nothing is thought of past the last trial


def test_a_model_that_fails_meanwhile_ends_the_run_after_the_trial(open_run: OpenRunWith) -> None:
    run = open_run(Ahead(BETTER), trials=4)
    run.queue = 1
    with pytest.raises(ModelError, match="the endpoint is gone"):
        run_trials(run)
    assert [trial.status for trial in run.history.trials] == [Status.OK, Status.OK]
    run.records.journal.close()

    resumed = open_run(Ahead(BETTER, {"MIX": 0.6}), trials=3)
    resumed.queue = 1
    assert run_trials(resumed).ending is EndReason.DONE
    assert replace(resumed.history.trials[2], outcome=None).parent == 1
