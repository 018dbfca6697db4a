"""Brings a searcher to where the journal stands. Resuming and running are the same path."""

from agent.edits.edit import Params
from agent.propose.configurations import params_of
from agent.propose.experience import Experience
from agent.propose.proposer import Context
from agent.search.feasible import Estimate, Memory
from agent.search.searcher import Searcher
from agent.trial import Origin, Trial

OF_A_SEARCH = (Origin.SEARCHER, Origin.LLM, Origin.ECHO)  # each of these trials was one `ask`
MAX_SKIPPED = 100  # points in a row that have run before or will not fit; then the space is as good as exhausted


class CatchUp:
    """Asks and tells a searcher in the order of the journal; built anew, it arrives at the same state.

    A point that has run before is told its known loss at once and another one is asked for: its sandbox would
    only draw the noise again. A point that will surely not fit in memory is told as failed. A resumed run meets
    the same ones at the same trials.
    """

    def __init__(self, searcher: Searcher, memory: Memory | None = None) -> None:
        """`searcher` and `memory`: fresh; they learn from the journal."""
        self._searcher = searcher
        self._experience = Experience(memory)
        self._n_seen = 0  # of the context's trials

    def point(self, context: Context) -> Params:
        """Return the searcher's point for the trial to propose, new unless the space is exhausted."""
        for trial in context.trials[self._n_seen :]:
            self._follow(trial, context)
        self._n_seen = len(context.trials)
        return self._ask(context.number)

    def has_run(self, params: Params) -> bool:
        """Whether a trial has been executed with just these values."""
        return self._experience.has_run(params)

    def estimate(self, params: Params) -> Estimate | None:
        """Return the memory that `params` will need; None while that cannot be told."""
        return self._experience.estimate(params)

    def _follow(self, trial: Trial, context: Context) -> None:
        assert trial.outcome is not None, "a context holds finished trials"
        params, loss = params_of(trial, context), trial.val_loss
        if trial.proposal.origin in OF_A_SEARCH:
            self._ask(trial.number)
            if trial.outcome.status.ran and params is not None:
                self._searcher.tell(trial.number, params, loss)
            else:
                self._searcher.release(trial.number)
        elif trial.number == 0 and params is not None:
            self._searcher.tell(0, params, loss)
        self._experience.learn(trial, context)

    def _ask(self, number: int) -> Params:
        point = self._searcher.ask(number)
        for _ in range(MAX_SKIPPED):
            if self._experience.has_run(point):
                self._searcher.tell(number, point, self._experience.loss(point))
            elif (estimate := self._experience.estimate(point)) is not None and estimate.hopeless:
                self._searcher.tell(number, point, None)
            else:
                break
            point = self._searcher.ask(number)
        return point
