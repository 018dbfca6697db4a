"""The contract of a proposer: it sees a read-only Context and returns a Proposal. NoiseProposer changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from agent.edits.edit import Unchanged
from agent.search.space import SearchSpace
from agent.trials.history import History
from agent.trials.keeping.stretch import Stretch, stretch_without_gain
from agent.trials.steering import PersonMessage
from agent.trials.trial import Origin, Proposal, Trial


@dataclass(frozen=True)
class Context:
    """All that a proposer may know, built from the journal before each proposal. It is read-only."""

    number: int  # of the trial to propose
    source: str  # the incumbent's script
    baseline_source: str
    incumbent: Trial
    trials: Sequence[Trial]  # all finished trials, in the order in which they finished, the baseline first
    space: SearchSpace | None  # None: the task declares no search space
    budget_left: str  # one line for people and models, e.g. "23 trials, 3.2 h of training"
    pending: Sequence[Trial] = ()  # trials that run or wait for a slot, by number
    notes: str = ""  # the text of the task's notes.md; empty if there is none
    messages: Sequence[PersonMessage] = ()  # all that people have sent, oldest first
    sigma: float = 0.0  # standard deviation of the loss of one run, measured or guessed; 0.0: not known

    @property
    def best_loss(self) -> float:
        """The incumbent's loss, minimised."""
        assert self.incumbent.val_loss is not None, "a baseline without a loss ends the run"
        return self.incumbent.val_loss

    @property
    def stretch(self) -> Stretch:
        """The trials since the last gain."""
        return stretch_without_gain(self.trials, self.sigma)


def seen_by(history: History, number: int, n_seen: int | None) -> tuple[list[Trial], list[Trial]]:
    """Return the trials that had finished, in that order, and those in flight when trial `number` was proposed.

    Args:
        history: of the run, at that time or later.
        n_seen: number of trials that had finished; None: all before it.
    """
    by_finish = history.by_finish
    started = {trial.number: trial for trial in (*by_finish, *history.in_flight.values())}
    finished = by_finish[: number if n_seen is None else n_seen]
    done = {trial.number for trial in finished}
    return finished, [replace(started[n], outcome=None) for n in range(number) if n not in done]


class Proposer(Protocol):
    """Writes the next edit. It is a function of the journal's events: rebuilt, it replays `context.trials`.

    It is called for one trial at a time, in the order of their numbers, perhaps from different threads.
    """

    def propose(self, context: Context) -> Proposal:
        """Return the next proposal, or one with `refused` and a reason, but never a substitute.

        Raises:
            ModelError: the endpoint failed for good; the run stops and can be resumed.
        """
        ...


class NoiseProposer:
    """Proposes no change; trial n runs with training seed n."""

    def propose(self, context: Context) -> Proposal:
        return Proposal(
            origin=Origin.BASELINE,
            title=f"baseline, training seed {context.number}",
            edit=Unchanged(),
            params=context.incumbent.proposal.params,
            train_seed=context.number,
        )
