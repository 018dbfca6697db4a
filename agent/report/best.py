"""The best value of a run in a few characters, for lists of runs and for the progress of one."""

from dataclasses import dataclass

from agent.store.trial_name import best_of
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.metric import Metric
from agent.trials.trial import Trial


@dataclass(frozen=True)
class BestValue:
    """The result of a run so far, and what it is compared with."""

    trial: Trial
    loss: float  # minimised: the mean of its fresh runs or, if there are none, of the run that it was kept for
    baseline_loss: float

    @classmethod
    def of(cls, history: History, keeper: KeepPolicy) -> "BestValue | None":
        """Return the best value of a run; None if no trial has a loss yet."""
        trial = best_of(history)
        if trial is None or trial.val_loss is None or history.trials[0].val_loss is None:
            return None
        is_champion = history.champion is not None and history.champion.number == trial.number
        loss = keeper.reading(trial.number).mean if is_champion else trial.val_loss
        return cls(trial, loss, keeper.reading(0).mean)

    @property
    def change(self) -> float | None:
        """The change from the baseline as a share of the baseline's loss; None for the baseline itself."""
        if self.trial.number == 0 or self.baseline_loss == 0:
            return None
        return (self.loss - self.baseline_loss) / abs(self.baseline_loss)

    def describe(self, metric: Metric) -> str:
        """Return the value in the metric's unit and its change from the baseline: `2.0174 (−3.1 %)`."""
        value = f"{metric.display(self.loss):.5g}"
        if self.change is None:
            return value
        share = metric.display(self.change)
        return f"{value} ({'−' if share < 0 else '+'}{abs(share):.1%})".replace("%", " %")
