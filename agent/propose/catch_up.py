"""Brings a searcher to where the journal stands. Resuming and running are the same path."""

from dataclasses import dataclass

from agent.edits.edit import Params
from agent.propose.configurations import params_of
from agent.propose.experience import Experience
from agent.propose.proposer import Context
from agent.search.feasible import Estimate, Memory
from agent.search.searcher import Searcher
from agent.trial import Origin, Status, Trial

OF_A_SEARCH = (Origin.SEARCHER, Origin.LLM, Origin.ECHO)  # each of these trials was one `ask`
MAX_SKIPPED = 100  # points in a row that have run before or will not fit; then the proposal is refused
MAX_TOLD_HOPELESS = 20  # points that will not fit, told as failures since a trial ran; 5 in the replayed paper


@dataclass(frozen=True)
class Found:
    """The point that a searcher came to, and why it must not run, if it must not."""

    point: Params
    refused: Status | None = None
    reason: str = ""


class CatchUp:
    """Asks and tells a searcher in the order of the journal; built anew, it arrives at the same state.

    A point that has run before is told its known loss at once and another one is asked for: its sandbox would
    only draw the noise again. A point that will surely not fit in memory is told as failed, up to a number: CMA-ES
    would shrink to nothing on failures that nobody has seen. Beyond it such points are discarded. A resumed run
    meets the same ones at the same trials, and what it finds for a trial it finds once.
    """

    def __init__(self, searcher: Searcher, memory: Memory | None = None) -> None:
        """`searcher` and `memory`: fresh; they learn from the journal."""
        self._searcher = searcher
        self._experience = Experience(memory)
        self._n_seen = 0  # of the context's trials
        self._n_told_hopeless = 0  # since a trial ran
        self._last: tuple[int, Found] | None = None  # what was found for the latest number

    def find(self, context: Context) -> Found:
        """Return the searcher's point for the trial to propose: new and not hopeless, or refused."""
        for trial in context.trials[self._n_seen :]:
            self._follow(trial, context)
        self._n_seen = len(context.trials)
        return self._found(context.number)

    def estimate(self, params: Params) -> Estimate | None:
        """Return the memory that `params` will need; None while that cannot be told."""
        return self._experience.estimate(params)

    def _follow(self, trial: Trial, context: Context) -> None:
        assert trial.outcome is not None, "a context holds finished trials"
        params, loss, has_run = params_of(trial, context), trial.val_loss, trial.outcome.status.ran
        if trial.proposal.origin in OF_A_SEARCH:
            found = self._found(trial.number)
            if has_run and params is not None:
                self._searcher.tell(trial.number, params, loss)
            elif found.refused is None:
                self._searcher.release(trial.number)
        elif trial.number == 0 and params is not None:
            self._searcher.tell(0, params, loss)
        if has_run:
            self._n_told_hopeless = 0
        self._experience.learn(trial, context)

    def _found(self, number: int) -> Found:
        """Return what was found for `number`. Looking a second time would take another 100 points from the searcher."""
        if self._last is None or self._last[0] != number:
            self._last = number, self._look(number)
        return self._last[1]

    def _look(self, number: int) -> Found:
        n_hopeless = 0
        for _ in range(MAX_SKIPPED):
            point = self._searcher.ask(number)
            if self._experience.has_run(point):
                self._searcher.tell(number, point, self._experience.loss(point))
            elif (estimate := self._experience.estimate(point)) is not None and estimate.hopeless:
                self._skip_hopeless(number, point)
                n_hopeless += 1
            else:
                return Found(point)
        why = {0: "have run before", MAX_SKIPPED: "will not fit in memory"}
        both = f"have run before ({MAX_SKIPPED - n_hopeless}) or will not fit in memory ({n_hopeless})"
        reason = f"the search came to {MAX_SKIPPED} points in a row that {why.get(n_hopeless, both)}"
        return Found(point, Status.NO_PROPOSAL if n_hopeless else Status.DUPLICATE, reason)

    def _skip_hopeless(self, number: int, point: Params) -> None:
        if self._n_told_hopeless < MAX_TOLD_HOPELESS:
            self._searcher.tell(number, point, None)
            self._n_told_hopeless += 1
        else:
            self._searcher.discard(number)
