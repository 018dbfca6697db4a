"""The policy of a run: which trials are kept, which are stopped early, and when the budget is spent."""

from collections.abc import Iterable, Mapping, Sequence

from agent.execution.early_stopping import Pruner, StoppingRule
from agent.modes.reported_trials import followed
from agent.run.ending import for_trials
from agent.trials.budget import Budget
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial


class Policy:
    """The keep rule, the pruner and the budget of a run, updated with every finished trial."""

    def __init__(
        self,
        rule: KeepRule,
        budget: Budget,
        results: Iterable[Trial | Repeat] = (),
        *,
        rounded: bool = False,
        pruner: Pruner | None = None,
        final_runs: int = 0,
    ) -> None:
        """Start with the finished `results` of a run.

        Args:
            rounded: the proposer sees rounded losses; see agent.modes.reported_trials.
            pruner: stops trials early, and has taken the same results; None: no trial is stopped early.
            final_runs: number of runs of the result under held-out seeds at the end.
        """
        self.keeper, self.reported = followed(rule, results, is_rounded=rounded)
        self.budget = budget
        self.pruner = pruner
        self.final_runs = final_runs

    def take(self, trial: Trial) -> None:
        """Update everything with a trial that has just finished."""
        self.keeper.observe(trial)
        if trial.val_loss is not None:
            self.reported.observe(trial, self.keeper.sigma)
        if self.pruner is not None:
            self.pruner.observe(trial)

    def stopping(self, number: int, source: str, sources: Mapping[int, str]) -> StoppingRule | None:
        """Return the rule that may stop the training of a trial early; None if the run has no pruner.

        Args:
            source: the trial's script.
            sources: scripts of all kept trials by number, including the champion's.
        """
        if self.pruner is None:
            return None
        champion, threshold = self.keeper.result, None
        if champion is not None:
            threshold = self.pruner.threshold(number, source, champion, sources[champion], self.keeper.sigma)
        return StoppingRule(self.pruner.form, threshold)

    def budget_of_trials(self, trials: Sequence[Trial]) -> Budget:
        """Return the budget minus a reserve for the repeats after the search."""
        return for_trials(self.budget, self.keeper.rule, self.final_runs, trials)
