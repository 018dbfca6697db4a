"""When and why a run ends, and whether it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.store.run_config import budget_of
from agent.store.stored_run import StoredRun
from agent.trials.budget import Budget, Ledger
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepRule, closing_runs
from agent.trials.trial import Status, Trial

if TYPE_CHECKING:
    from agent.task.task import Task  # imports numpy and pydantic, which commands that only read avoid

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


class RunState(StrEnum):
    """How far a run is, by its journal; a process may work on it or not."""

    GOING_ON = "going on"
    DONE = "done"
    STUCK = "stuck"  # too many proposals in a row never ran
    BASELINE_FAILED = "baseline failed"


def state_of(stored: StoredRun) -> RunState:
    """Return how far a run is: it is done if its budget is spent, and nothing is in flight or due."""
    history, config, ledger = stored.history, stored.config_now, Ledger.of(stored.history.results)
    given_up = stop_reason(history.by_finish)
    if given_up is not None and given_up.ending is EndReason.BASELINE_FAILED:
        return RunState.BASELINE_FAILED
    budget = budget_of(config)
    if ledger.spent(for_trials(budget, stored.keeper.rule, config.final_runs, history.trials)) is None:
        return RunState.GOING_ON if given_up is None else RunState.STUCK
    in_flight = bool(history.in_flight) or history.repeating is not None
    due = stored.keeper.next_repeat() if ledger.spent(budget.of_time) is None else None
    left = in_flight or due is not None or stored.keeper.final(config.final_runs) is not None
    return RunState.GOING_ON if left else RunState.DONE


def stop_reason(trials: Sequence[Trial], n_earlier: int = 0) -> End | None:
    """Return why a run with these finished trials must stop, whatever its budget; None if it may continue.

    Args:
        n_earlier: number of trials that earlier processes finished. Those that were not approved do not count: whoever
            resumes a run that was left alone wants to go on.
    """
    if trials and trials[0].val_loss is None:
        outcome = trials[0].outcome
        assert outcome is not None
        return End(EndReason.BASELINE_FAILED, f"the baseline has no loss: {outcome.status}, {outcome.reason}")
    last = trials[-MAX_IDLE_PROPOSALS:]
    earlier = last[: max(0, n_earlier - len(trials) + len(last))]
    is_idle = not any(trial.status and trial.status.ran for trial in last)
    if len(last) == MAX_IDLE_PROPOSALS and is_idle and not any(trial.status is Status.REFUSED for trial in earlier):
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


def with_reserved(ledger: Ledger, task: "Task", history: History, n_trials: int, n_repeats: int) -> Ledger:
    """Return a ledger with the expected cost of trials and repeats in flight: as charged, else as the baseline's."""
    baseline = history.trials[0].outcome if history.trials else None
    if baseline is None or not (n_trials or n_repeats):
        return ledger
    charge = task.budget.charge_seconds or baseline.train_seconds
    return ledger.reserved(n_trials, n_repeats, charge, baseline.total_seconds)
