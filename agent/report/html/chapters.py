"""What a report tells, chapter by chapter: each has charts, tables or both, and is left out where it has neither."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.analysis.ablation_log import attributed
from agent.report.ablation_text import conclusion, remarks
from agent.report.ablation_text import table as attribution_table
from agent.report.html.charts import Chart, bars, comparison, progress
from agent.report.html.importance import MIN_TRIALS, importances
from agent.report.html.search_charts import means, parallel, step_size
from agent.report.html.svg import VERMILLION
from agent.report.html.tables import (
    RunOnPage,
    environment_table,
    failures,
    finders_table,
    ledger_table,
    repeats_table,
    runs_table,
    slice_table,
    test_table,
)
from agent.report.slices import slices_table, unseen
from agent.report.table import Table
from agent.trials.best_so_far import Cost, as_charged, as_trials, by_the_clock
from agent.trials.history import History

AXES: tuple[tuple[str, str, Cost], ...] = (
    ("trials", "trials", as_trials),
    ("training", "training seconds, as charged", as_charged),
    ("clock", "seconds by the clock", by_the_clock),
)
MAX_RUN_CHARTS = 12
"""Of so many runs a chart each is drawn, when there are several; the comparison shows them all."""


@dataclass(frozen=True)
class Chapter:
    """One part of a page."""

    name: str  # id on the page
    title: str
    note: str = ""  # how to read it
    charts: Sequence[tuple[str, Chart]] = ()  # each with the name of its tab, or of its run
    tabs: bool = False  # whether one chart is shown at a time
    tables: Sequence[Table] = ()
    folded: str = ""  # what to click to see the tables; empty: they are shown


def chapters(runs: Sequence[RunOnPage]) -> list[Chapter]:
    """Return the chapters about some runs of one task, in the order in which they are read."""
    found = [
        _progress(runs),
        _runs(runs),
        _repeats(runs),
        _slices(runs),
        _changes(runs),
        _unseen(runs),
        _test(runs),
        _failures(runs),
        _finders(runs),
    ]
    found += [_importance(runs), _parallel(runs), _step_sizes(runs), _means(runs), _ledger(runs), _environment(runs)]
    return [chapter for chapter in found if chapter.charts or chapter.tables]


def overview(runs: Sequence[RunOnPage]) -> Chart:
    """Return the one chart that tells most, for a slide."""
    return _progress_chart(runs, *AXES[0])


def _progress(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the best so far, against trials and against what they cost."""
    if not any(trial.val_loss is not None for run in runs for trial in run.trials):
        return Chapter("progress", "Progress")
    charts = [(label, _progress_chart(runs, axis, label, cost)) for axis, label, cost in AXES]
    note = "By the search loss. Point at a trial to see it, click to open it." if len(runs) == 1 else (
        "By the search loss. Each line is the mean over the runs of a mode, the band one standard deviation each way."
    )  # fmt: skip
    return Chapter("progress", "Progress", note, charts, tabs=True)


def _progress_chart(runs: Sequence[RunOnPage], axis: str, label: str, cost: Cost) -> Chart:
    if len(runs) == 1:
        return _of_one(runs[0], 0, axis, label, cost)
    groups: dict[str, list[History]] = {}
    for run in runs:
        groups.setdefault(run.stored.label, []).append(run.stored.history)
    return comparison(groups, runs[0].stored.metric, cost, label, name=f"progress-{axis}")


def _of_one(run: RunOnPage, index: int, axis: str, label: str, cost: Cost) -> Chart:
    stored = run.stored
    return progress(
        stored.history, stored.metric, cost, label, sigma=stored.keeper.sigma,
        name=f"run-{index}-{axis}", key=str(index),
    )  # fmt: skip


def _runs(runs: Sequence[RunOnPage]) -> Chapter:
    if len(runs) == 1:
        return Chapter("runs", "Runs")
    drawn = [(i, run) for i, run in enumerate(runs[:MAX_RUN_CHARTS]) if run.trials[0].val_loss is not None]
    charts = [(run.stored.run_id, _of_one(run, i, *AXES[0])) for i, run in drawn]
    return Chapter("runs", "Runs", charts=charts, tabs=True, tables=[runs_table(runs)])


def _repeats(runs: Sequence[RunOnPage]) -> Chapter:
    table = repeats_table(runs)
    note = "The same script under another training seed: what a difference is worth, and whether a gain holds."
    folded = f"all {len(table.rows)}" if len(table.rows) > 6 else ""
    return Chapter("repeats", "Fresh runs", note, tables=[table] if table.rows else [], folded=folded)


def _slices(runs: Sequence[RunOnPage]) -> Chapter:
    table = slices_table([(run.stored.run_id, run.stored.history) for run in runs], runs[0].stored.metric)
    note = (
        "Slices of what no job had seen, each opened once, after all trainings that it is about. Losses are those on "
        "the slice; ± is the error of sampling it, and the noise of training seeds is not in it."
    )
    folded = f"all {len(table.rows)}" if len(table.rows) > 12 else ""
    title = unseen(runs[0].stored.history).capitalize()
    return Chapter("slices", title, note, tables=[table] if table.rows else [], folded=folded)


def _changes(runs: Sequence[RunOnPage]) -> Chapter:
    known = [(run.stored, told) for run in runs if (told := attributed(run.stored)) is not None]
    notes = [
        ". ".join([*remarks(told.found), *conclusion(told, stored.run_id, stored.metric)]) for stored, told in known
    ]
    tables = [attribution_table(told.found, stored.metric) for stored, told in known]
    return Chapter("changes", "Which changes carry the gain", " ".join(notes), tables=tables)


def _test(runs: Sequence[RunOnPage]) -> Chapter:
    table = test_table(runs)
    note = (
        "No search sees the test split. The baseline's gap is what the two splits differ by anyway; what is beyond it, "
        "the search has fitted to the validation split."
    )
    return Chapter("test", "Test split", note, tables=[table] if table.rows else [])


def _unseen(runs: Sequence[RunOnPage]) -> Chapter:
    table = slice_table(runs)
    note = (
        "A slice is text that no job of the run had seen, opened for the result after all that it was trained on. The "
        "lead is paired; opened before: by so many other runs of the machine, whose jobs may have told."
    )
    return Chapter("unseen", "Verified on unseen text", note, tables=[table] if table.rows else [])


def _failures(runs: Sequence[RunOnPage]) -> Chapter:
    counts = failures(runs)
    charts = (
        [("", bars(counts, name="failures", title="Trials without a loss", form=".0f", colour=VERMILLION))]
        if counts
        else []
    )
    return Chapter("failures", "Failures by kind", charts=charts)


def _finders(runs: Sequence[RunOnPage]) -> Chapter:
    table = finders_table(runs)
    note = "Copies repeat values that somebody else had proposed before: their gain is not the copier's."
    return Chapter("finders", "Who found what", note, tables=[table] if table.rows else [])


def _importance(runs: Sequence[RunOnPage]) -> Chapter:
    space = runs[0].task.space
    scored = [(params, loss) for run in runs for _, params, loss in run.scored]
    found = importances(space, scored) if space else {}
    note = (
        f"Share of each name in what sets the best quarter of {len(scored)} trials apart from the others (PED-ANOVA). "
        f"It says where the search looked and won, not why; below {MIN_TRIALS} trials nothing is said."
    )
    charts = [("", bars(found, name="importance", title="Importance", form=".0%"))] if any(found.values()) else []
    return Chapter("importance", "Parameter importance", note, charts)


def _parallel(runs: Sequence[RunOnPage]) -> Chapter:
    space = runs[0].task.space
    scored = [(f"{i}/{n}", params, loss) for i, run in enumerate(runs) for n, params, loss in run.scored]
    if space is None or len({str(params) for _, params, _ in scored}) < 2:
        return Chapter("parallel", "Configurations")
    note = "Every line is a trial, across the range of each name; the best tenth are green, the best one is thick."
    return Chapter("parallel", "Configurations", note, [("", parallel(space, scored, name="parallel"))])


def _step_sizes(runs: Sequence[RunOnPage]) -> Chapter:
    charts = [(run.stored.run_id, step_size(run.states, name=f"sigma-{i}")) for i, run in _with_states(runs)]
    note = "The step size of CMA-ES in the unit cube of the space: it shrinks where the search closes in."
    return Chapter("sigma", "Where CMA-ES stood: step size", note, charts)


def _means(runs: Sequence[RunOnPage]) -> Chapter:
    charts = [
        (run.stored.run_id, means(run.task.space, run.states, name=f"mean-{i}"))
        for i, run in _with_states(runs)
        if run.task.space is not None
    ]
    note = "The mean of the search distribution before each trial, and one standard deviation to each side."
    return Chapter("mean", "Where CMA-ES stood: mean", note, charts)


def _with_states(runs: Sequence[RunOnPage]) -> list[tuple[int, RunOnPage]]:
    return [(i, run) for i, run in enumerate(runs) if run.states][:MAX_RUN_CHARTS]


def _ledger(runs: Sequence[RunOnPage]) -> Chapter:
    note = "Charged: what counts against --budget, nominal for a success and measured for a failure."
    return Chapter("ledger", "Ledger", note, tables=[ledger_table(runs)])


def _environment(runs: Sequence[RunOnPage]) -> Chapter:
    return Chapter(
        "environment", "Environment", tables=[environment_table(runs)], folded="versions, machine and options"
    )
