"""What the run's trials have shown: which configurations ran, with what loss, and how much memory they took."""

from agent.edits.edit import Params
from agent.propose.configurations import params_of
from agent.propose.proposer import Context
from agent.search.feasible import Estimate, Memory
from agent.trial import Outcome, Status, Trial


class Experience:
    """Learns one trial after another. It never proposes: it says what need not, or cannot, run."""

    def __init__(self, memory: Memory | None = None) -> None:
        """`memory`: a fresh model; None: the task declares nothing for one."""
        self._memory = memory
        self._losses: dict[frozenset[tuple[str, object]], float | None] = {}  # by configuration, of the first run

    def learn(self, trial: Trial, context: Context) -> None:
        """Note what a finished trial showed; one that never ran showed nothing."""
        assert trial.outcome is not None, "a context holds finished trials"
        params = params_of(trial, context)
        if trial.outcome.status.ran and params is not None:
            self._losses.setdefault(_key(params), trial.val_loss)
            self._learn_memory(params, trial.outcome)

    def has_run(self, params: Params) -> bool:
        """Whether a trial has been executed with just these values."""
        return _key(params) in self._losses

    def loss(self, params: Params) -> float | None:
        """Return what the first trial with these values came to; None: it failed. Raises KeyError if there is none."""
        return self._losses[_key(params)]

    def estimate(self, params: Params) -> Estimate | None:
        """Return the memory that `params` will need; None while that cannot be told."""
        return self._memory.estimate(params) if self._memory is not None else None

    def _learn_memory(self, params: Params, outcome: Outcome) -> None:
        peak_gb = outcome.peak_vram_gb if outcome.peak_vram_gb is not None else outcome.peak_memory_gb
        if self._memory is None:
            return
        if outcome.status is Status.OUT_OF_MEMORY:
            self._memory.learn(params, None)
        elif outcome.status in (Status.OK, Status.PRUNED) and peak_gb is not None:
            self._memory.learn(params, peak_gb)


def _key(params: Params) -> frozenset[tuple[str, object]]:
    return frozenset(params.items())
