"""Brings a searcher to where the journal stands. Resuming and running are the same path."""

from agent.edits.edit import Params
from agent.propose.configurations import params_of
from agent.propose.proposer import Context
from agent.search.searcher import Searcher
from agent.trial import Origin, Trial

OF_A_SEARCH = (Origin.SEARCHER, Origin.LLM, Origin.ECHO)  # each of these trials was one `ask`
MAX_REPEATS = 100  # points in a row that have run before; then the space is as good as exhausted


class CatchUp:
    """Asks and tells a searcher in the order of the journal; built anew, it arrives at the same state.

    A point that has run before is told its known loss at once and another one is asked for: its sandbox would
    only draw the noise again. A resumed run meets the same repeats at the same trials.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._n_seen = 0  # of the context's trials
        self._known: dict[frozenset[tuple[str, object]], float | None] = {}  # losses by configuration

    def point(self, context: Context) -> Params:
        """Return the searcher's point for the trial to propose, new unless the space is exhausted."""
        for trial in context.trials[self._n_seen :]:
            self._follow(trial, context)
        self._n_seen = len(context.trials)
        return self._ask(context.number)

    def has_run(self, params: Params) -> bool:
        """Whether a trial has been executed with just these values."""
        return _key(params) in self._known

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
        if trial.outcome.status.ran and params is not None:
            self._known.setdefault(_key(params), loss)

    def _ask(self, number: int) -> Params:
        point = self._searcher.ask(number)
        for _ in range(MAX_REPEATS):
            if not self.has_run(point):
                break
            self._searcher.tell(number, point, self._known[_key(point)])
            point = self._searcher.ask(number)
        return point


def _key(params: Params) -> frozenset[tuple[str, object]]:
    return frozenset(params.items())
