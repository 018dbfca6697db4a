"""The chapters of a report: charts, tables or both. A chapter with neither is left out."""

from collections.abc import Sequence

from agent.analysis.ablation_log import attributed
from agent.extras import install_line, missing_modules
from agent.modes.prompting.axis_effects import MIN_TRIALS
from agent.report.ablation_text import conclusion, remarks
from agent.report.ablation_text import table as attribution_table
from agent.report.html.chapter import MAX_RUN_CHARTS, Chapter
from agent.report.html.chart_chapters import (
    curves_chapter,
    parallel_chapter,
    slice_plots_chapter,
    slots_chapter,
    spending_chapter,
    tree_chapter,
)
from agent.report.html.charts.chart import Bars, Chart
from agent.report.html.charts.cma_states import means, step_size
from agent.report.html.charts.progress import comparison, progress
from agent.report.html.importance import importances
from agent.report.html.modes import ModesCompared, mode_note, mode_tables
from agent.report.html.tables import (
    RunOnPage,
    environment_table,
    failures,
    failures_table,
    ledger_table,
    origins_table,
    repeats_table,
    runs_table,
    slice_table,
    test_table,
    turns_table,
)
from agent.report.slices import slices_table, unseen
from agent.report.steering.messages import messages_table, refusals_table
from agent.report.table import Table
from agent.trials.best_so_far import Cost, as_charged, as_trials, by_the_clock
from agent.trials.history import History

AXES: tuple[tuple[str, str, Cost], ...] = (
    ("trials", "trials", as_trials),
    ("training", "seconds of training budget", as_charged),
    ("clock", "seconds of wall time", by_the_clock),
)


def chapters(runs: Sequence[RunOnPage], compared: ModesCompared | None = None) -> list[Chapter]:
    """Return the chapters about runs of one task, in reading order; `compared`: their figures by mode."""
    found = [
        _modes(runs, compared),
        _progress(runs),
        tree_chapter(runs),
        curves_chapter(runs),
        _runs(runs),
        _repeats(runs),
        _slices(runs),
        _changes(runs),
        _unseen(runs),
        _test(runs),
        _messages(runs),
        _refused_submissions(runs),
        _failures(runs),
        _origins(runs),
        spending_chapter(runs),
        slots_chapter(runs),
        _importance(runs),
        slice_plots_chapter(runs),
        parallel_chapter(runs),
        _step_sizes(runs),
        _means(runs),
        _ledger(runs),
        _environment(runs),
    ]
    return [chapter for chapter in found if chapter.charts or chapter.tables]


def overview(runs: Sequence[RunOnPage]) -> Chart:
    """Return the main chart, for a slide: progress against trials."""
    return _progress_chart(runs, *AXES[0])


def _modes(runs: Sequence[RunOnPage], compared: ModesCompared | None) -> Chapter:
    """Return the chapter with the tables of `agent compare`."""
    if compared is None:
        return Chapter("modes", "Modes compared")
    return Chapter("modes", "Modes compared", mode_note(runs, compared), tables=mode_tables(runs, compared))


def _progress(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter on the best loss so far, against trials and against their cost."""
    if not any(trial.val_loss is not None for run in runs for trial in run.trials):
        return Chapter("progress", "Progress")
    charts = [(label, _progress_chart(runs, axis, label, cost)) for axis, label, cost in AXES]
    note = "Losses are search losses. Point at a trial to see it, click to open it." if len(runs) == 1 else (
        "Losses are search losses. Each line is the mean over a mode's runs; the band is ± one standard deviation."
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
        name=f"run-{index}-{axis}", run=index,
    )  # fmt: skip


def _runs(runs: Sequence[RunOnPage]) -> Chapter:
    if len(runs) == 1:
        return Chapter("runs", "Runs")
    drawn = [(i, run) for i, run in enumerate(runs[:MAX_RUN_CHARTS]) if run.trials[0].val_loss is not None]
    charts = [(run.stored.run_id, _of_one(run, i, *AXES[0])) for i, run in drawn]
    return Chapter("runs", "Runs", charts=charts, tabs=True, tables=[runs_table(runs)])


def _repeats(runs: Sequence[RunOnPage]) -> Chapter:
    table = repeats_table(runs)
    note = "The same script under another training seed: measures the noise, and tests whether a gain holds."
    folded = f"all {len(table.rows)}" if len(table.rows) > 6 else ""
    return Chapter("repeats", "Fresh runs", note, tables=[table] if table.rows else [], folded=folded)


def _slices(runs: Sequence[RunOnPage]) -> Chapter:
    table = slices_table([(run.stored.run_id, run.stored.history) for run in runs], runs[0].stored.metric)
    note = (
        "No job of the run had seen these slices. Each was opened once, after all models that it compares had been "
        "trained. Losses are those on the slice; ± is the standard error of sampling, without the noise of seeds."
    )
    folded = f"all {len(table.rows)}" if len(table.rows) > 12 else ""
    title = unseen(runs[0].stored.history).capitalize()
    return Chapter("slices", title, note, tables=[table] if table.rows else [], folded=folded)


def _changes(runs: Sequence[RunOnPage]) -> Chapter:
    known = [(run.stored, ablation) for run in runs if (ablation := attributed(run.stored)) is not None]
    notes = [
        ". ".join([*remarks(ablation.found), *conclusion(ablation, stored.run_id, stored.metric)])
        for stored, ablation in known
    ]
    tables = [attribution_table(ablation.found, stored.metric) for stored, ablation in known]
    return Chapter("changes", "Which changes carry the gain", " ".join(notes), tables=tables)


def _test(runs: Sequence[RunOnPage]) -> Chapter:
    table = test_table(runs)
    note = (
        "No search sees the test split. The baseline's gap is the difference between the two splits; any gap beyond it "
        "shows that the search overfitted the validation split."
    )
    return Chapter("test", "Test split", note, tables=[table] if table.rows else [])


def _unseen(runs: Sequence[RunOnPage]) -> Chapter:
    table = slice_table(runs)
    note = (
        "No job of the run had seen this slice; it was opened for the result, after all training. The lead is paired. "
        "“Opened before” counts other runs of this machine that had opened the slice: their jobs may have leaked it."
    )
    return Chapter("unseen", "Verified on unseen text", note, tables=[table] if table.rows else [])


def _messages(runs: Sequence[RunOnPage]) -> Chapter:
    table = messages_table([(run.stored.run_id, run.stored.history) for run in runs])
    note = "Sent with `agent say` during the search."
    return Chapter("messages", "Messages to the run", note, tables=[table] if table.rows else [])


def _refused_submissions(runs: Sequence[RunOnPage]) -> Chapter:
    table = refusals_table([(run.stored.run_id, run.stored.history) for run in runs])
    note = "Each came from a client, could not run, and cost no trial."
    return Chapter("refused", "Refused submissions", note, tables=[table] if table.rows else [])


def _failures(runs: Sequence[RunOnPage]) -> Chapter:
    counts = failures(runs)
    description = ", ".join(f"{word} {n:.0f}" for word, n in counts.items())
    content = Bars(list(counts), list(counts.values()), [f"{n:.0f}" for n in counts.values()], "vermillion")
    charts = (
        [("", Chart("failures-chart", "Failures", f"Trials without a loss: {description}", content))] if counts else []
    )
    return Chapter("failures", "Failures by kind", charts=charts, tables=[failures_table(runs)] if counts else [])


def _origins(runs: Sequence[RunOnPage]) -> Chapter:
    table = origins_table(runs)
    note = "Copies repeat values that another origin had proposed before, so their gain is not the copier's."
    turns = turns_table(runs)
    return Chapter("origins", "Who found what", note, tables=[each for each in (table, turns) if each.rows])


def _importance(runs: Sequence[RunOnPage]) -> Chapter:
    space = runs[0].task.space
    scored = [(params, loss) for run in runs for _, params, loss in run.scored]
    if space is not None and len(scored) >= MIN_TRIALS and missing_modules("optuna"):
        line = f"Parameter importance needs the package optuna: {install_line('optuna')}"
        return Chapter("importance", "Parameter importance", tables=[Table(("not shown",), [[line]])])
    found = importances(space, scored) if space else {}
    note = (
        f"Each name's share in what separates the best quarter of {len(scored)} trials from the others (PED-ANOVA). "
        f"It describes where the search succeeded, not why; it needs {MIN_TRIALS} trials. Names with one value are "
        "left out."
    )
    labels = [f"{share:.0%}" for share in found.values()]
    description = ", ".join(f"{name} {share}" for name, share in zip(found, labels, strict=True))
    content = Bars(list(found), list(found.values()), labels)
    chart = Chart("importance-chart", "Importance", f"Importance: {description}", content)
    return Chapter("importance", "Parameter importance", note, [("", chart)] if any(found.values()) else [])


def _step_sizes(runs: Sequence[RunOnPage]) -> Chapter:
    charts = [(run.stored.run_id, step_size(run.states, name=f"sigma-{i}")) for i, run in _with_states(runs)]
    note = "The step size of CMA-ES in the unit cube of the search space; it shrinks as the search converges."
    return Chapter("sigma", "State of CMA-ES: step size", note, charts)


def _means(runs: Sequence[RunOnPage]) -> Chapter:
    charts = [
        (run.stored.run_id, means(run.task.space, run.states, name=f"mean-{i}"))
        for i, run in _with_states(runs)
        if run.task.space is not None
    ]
    note = "The mean of the search distribution before each trial, ± one standard deviation."
    return Chapter("mean", "State of CMA-ES: mean", note, charts)


def _with_states(runs: Sequence[RunOnPage]) -> list[tuple[int, RunOnPage]]:
    return [(i, run) for i, run in enumerate(runs) if run.states][:MAX_RUN_CHARTS]


def _ledger(runs: Sequence[RunOnPage]) -> Chapter:
    note = "Training budget counts against --budget: nominal seconds for a success, measured seconds for a failure."
    return Chapter("ledger", "Ledger", note, tables=[ledger_table(runs)])


def _environment(runs: Sequence[RunOnPage]) -> Chapter:
    return Chapter(
        "environment", "Environment", tables=[environment_table(runs)], folded="versions, machine and options"
    )
