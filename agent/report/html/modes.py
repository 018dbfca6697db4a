"""A comparison of modes on a page: the tables that `agent compare` prints, of any runs of one task."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.analysis.comparison_statistics import ModeFigures, RunFigures, by_mode, of_run
from agent.analysis.unseen.common_slice import CommonSlice
from agent.report.comparison_text import tables
from agent.report.html.tables import RunOnPage
from agent.report.table import Table


@dataclass(frozen=True)
class ModesCompared:
    """What the runs of a page say about their modes."""

    rows: Sequence[ModeFigures]  # one per mode, in the order of the page
    unseen: CommonSlice | None = None  # the results on a slice that none of the runs had opened; None: not opened
    n_workers: int = 1  # of each run, at most

    @property
    def reference(self) -> ModeFigures:
        """The mode with which the others are compared."""
        return next(row for row in self.rows if row.is_reference)


def modes_compared(
    runs: Sequence[RunOnPage], reference: str | None = None, unseen: CommonSlice | None = None
) -> ModesCompared | None:
    """Return the figures of several runs by mode; None for a single run, or for runs without a budget to compare by.

    Args:
        reference: mode with which the others are compared; the first on the page if None.
        unseen: the results on a common slice of unseen text.
    """
    configs = [run.stored.config_now for run in runs]
    budgets = [(config.trials, config.budget_seconds, config.wall_seconds) for config in configs]
    if len(runs) < 2 or any(budget == (None, None, None) for budget in budgets):
        return None
    found: dict[str, list[RunFigures]] = {}
    for run in runs:
        found.setdefault(run.stored.label, []).append(of_run(run.stored))
    rows = by_mode(found, reference if reference in found else next(iter(found)))
    return ModesCompared(rows, unseen, max(config.workers for config in configs))


def mode_tables(runs: Sequence[RunOnPage], compared: ModesCompared) -> list[Table]:
    """Return the tables of `agent compare`: best losses, results, results on unseen text, counts and cost."""
    return tables(compared.rows, runs[0].stored.metric, compared.unseen, compared.n_workers)
