"""A comparison of modes on a page: the tables that `agent compare` prints, of any runs of one task."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.analysis.comparison_statistics import Axis, ModeFigures, RunFigures, by_mode, of_run
from agent.analysis.unseen.common_slice import CommonSlice
from agent.report.comparison_text import baseline_text, counts_text, digits_of, slice_remark, tables
from agent.report.html.tables import RunOnPage
from agent.report.table import Table


@dataclass(frozen=True)
class ComparisonOnPage:
    """The comparison whose runs a page shows."""

    name: str
    unseen: CommonSlice | None  # the results on a slice that none of the runs had opened; None: not opened
    has_slices: bool  # whether its runs confirm their gains on slices

    @property
    def slice_sentence(self) -> str:
        """Whether the results were compared on a common slice of unseen text."""
        if self.unseen is not None:
            remark = slice_remark(self.name, self.unseen)
            return remark or f"All results were compared on slice {self.unseen.use.number}, which none had opened."
        if self.has_slices:
            return f"No common slice is opened for these results yet: `agent compare --resume {self.name}` opens one."
        return "No common slice was used: these runs have no pool of unseen data, so only search losses are compared."


@dataclass(frozen=True)
class ModesCompared:
    """What the runs of a page say about their modes."""

    rows: Sequence[ModeFigures]  # one per mode, in the order of the page
    comparison: ComparisonOnPage | None = None  # None: the runs are of none, or of several
    n_workers: int = 1  # of each run, at most
    unit: str = ""  # the budget of each run, if all have the same: "40 trials"

    @property
    def reference(self) -> ModeFigures:
        """The mode with which the others are compared."""
        return next(row for row in self.rows if row.is_reference)


def modes_compared(
    runs: Sequence[RunOnPage], reference: str | None = None, comparison: ComparisonOnPage | None = None
) -> ModesCompared | None:
    """Return the figures of several runs by mode; None for a single run, or for runs without a budget to compare by.

    Args:
        reference: mode with which the others are compared; the first on the page if None.
        comparison: whose runs these are.
    """
    configs = [run.stored.config_now for run in runs]
    budgets = [(config.trials, config.budget_seconds, config.wall_seconds) for config in configs]
    if len(runs) < 2 or any(budget == (None, None, None) for budget in budgets):
        return None
    found: dict[str, list[RunFigures]] = {}
    for run in runs:
        found.setdefault(run.stored.label, []).append(of_run(run.stored))
    rows = by_mode(found, reference if reference in found else next(iter(found)))
    units = {Axis.of(config).unit for config in configs}
    n_workers = max(config.workers for config in configs)
    return ModesCompared(rows, comparison, n_workers, units.pop() if len(units) == 1 else "")


def mode_note(runs: Sequence[RunOnPage], compared: ModesCompared) -> str:
    """Return what `agent compare` prints beside its tables: states, budget, baseline, and whether a slice was used."""
    figures = [run for row in compared.rows for run in row.runs]
    parts = [counts_text(figures), f"budget of each: {compared.unit}" if compared.unit else "their budgets differ"]
    parts.append(baseline_text(figures, runs[0].stored.metric, digits_of(compared.rows)))
    about = compared.comparison.slice_sentence if compared.comparison is not None else (
        "No common slice was used: only the runs of one comparison have one."
    )  # fmt: skip
    return f"{'; '.join(parts)}. {about}"


def mode_tables(runs: Sequence[RunOnPage], compared: ModesCompared) -> list[Table]:
    """Return the tables of `agent compare`: best losses, results, results on unseen text, counts and cost."""
    unseen = compared.comparison.unseen if compared.comparison is not None else None
    return tables(compared.rows, runs[0].stored.metric, unseen, compared.n_workers)
