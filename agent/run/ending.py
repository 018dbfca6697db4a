"""When and why a run ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.trials.budget import Budget
from agent.trials.keeping.keep_rule import KeepRule, closing_runs
from agent.trials.trial import Trial

MAX_IDLE_PROPOSALS = 20
"""A run stops after this many proposals in a row that never ran: something is wrong with its proposer."""


class EndReason(StrEnum):
    """Why a run ended."""

    DONE = "done"
    NOTHING_RAN = "nothing_ran"
    BASELINE_FAILED = "baseline_failed"
    STUCK = "stuck"
    PAUSED = "paused"


@dataclass(frozen=True)
class End:
    """How a run ended, with the reason in words."""

    ending: EndReason
    reason: str


def stop_reason(trials: Sequence[Trial]) -> End | None:
    """Return why a run with these finished trials must stop, whatever its budget; None if it may continue."""
    if trials and trials[0].val_loss is None:
        outcome = trials[0].outcome
        assert outcome is not None
        return End(EndReason.BASELINE_FAILED, f"the baseline has no loss: {outcome.status}, {outcome.reason}")
    last = trials[-MAX_IDLE_PROPOSALS:]
    if len(last) == MAX_IDLE_PROPOSALS and not any(trial.status and trial.status.ran for trial in last):
        assert last[-1].outcome is not None
        why = f"{MAX_IDLE_PROPOSALS} proposals in a row never ran, the last because: {last[-1].outcome.reason}"
        return End(EndReason.STUCK, why)
    return None


def for_trials(budget: Budget, rule: KeepRule, final_runs: int, trials: Sequence[Trial]) -> Budget:
    """Return the budget minus a reserve for the repeats after the search, each as long as the baseline's run."""
    n_closing = closing_runs(rule, final_runs)
    once = trials[0].outcome if trials else None
    if not n_closing or once is None:
        return budget
    return budget.less(n_closing * once.train_seconds, n_closing * once.total_seconds)
