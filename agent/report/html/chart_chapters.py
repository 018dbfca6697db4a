"""The chapters of a report that are charts of its trials: family tree, curves, slots, spending, configurations."""

from collections.abc import Sequence

from agent.report.html.chapter import MAX_RUN_CHARTS, Chapter
from agent.report.html.charts.family_tree import family_tree
from agent.report.html.charts.space import Scored, parallel, slices, varied
from agent.report.html.charts.timelines import slots_over_time, spending
from agent.report.html.charts.training_curves import MAX_CURVES, training_curves
from agent.report.html.tables import RunOnPage


def tree_chapter(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter on which trial edited which."""
    charts = [(run.stored.run_id, family_tree(run.stored.history, name=f"tree-{i}", run=i)) for i, run in _drawn(runs)]
    note = (
        "Each trial is one row below the trial whose script it edited; the green line leads from the baseline to the "
        "incumbent. After a roll-back, trials edit the champion again."
    )
    return Chapter("tree", "Family tree", note, charts, tabs=len(charts) > 1)


def curves_chapter(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter on the losses that scripts printed while they trained."""
    charts = []
    for i, run in _drawn(runs):
        form = run.task.curve_format
        if form is None:
            continue
        most = max(1, MAX_CURVES // len(_drawn(runs)))
        chart = training_curves(run.stored, form, name=f"curves-{i}", run=i, max_curves=most)
        charts += [(run.stored.run_id, chart)] if chart is not None else []
    note = (
        "Each line is the loss that a script printed during training: reported, not verified. The beginning may lie "
        "above the axis. Click a line to open its trial."
    )
    return Chapter("curves", "Training curves", note, charts, tabs=len(charts) > 1)


def slots_chapter(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter on what the slots of each run did over time."""
    charts = [
        (run.stored.run_id, slots_over_time(run.stored.history, name=f"slots-{i}", run=i)) for i, run in _drawn(runs)
    ]
    note = "A slot is a part of the machine that runs one trial at a time. Gaps are proposing and waiting."
    return Chapter("slots", "Slots over time", note, charts, tabs=len(charts) > 1)


def spending_chapter(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter on tokens and dollars of models and agents."""
    chart = spending([(run.stored.run_id, run.stored.history) for _, run in _drawn(runs)], name="spending-chart")
    note = "Tokens of prompts and replies, and their price where it is known, summed over the trials."
    return Chapter("spending", "Tokens and dollars", note, [("", chart)] if chart is not None else [])


def slice_plots_chapter(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter with the loss along each name of the space."""
    space, scored = runs[0].task.space, _scored(runs)
    if space is None or not varied(space, scored):
        return Chapter("slice-plots", "Values and losses")
    note = "Each point is a trial: the value of one name against its loss, whatever the other names were."
    metric = runs[0].stored.metric
    return Chapter("slice-plots", "Values and losses", note, [("", slices(space, scored, metric, name="slices-chart"))])


def parallel_chapter(runs: Sequence[RunOnPage]) -> Chapter:
    """Return the chapter with all configurations as parallel lines."""
    space, scored = runs[0].task.space, _scored(runs)
    if space is None or not varied(space, scored):
        return Chapter("parallel", "Configurations")
    note = (
        "Each line is a trial, across its values and its loss. The best tenth are green; the best one is thick. Drag "
        "along an axis to see only the trials in that range; click on the axis to see all again."
    )
    chart = parallel(space, scored, runs[0].stored.metric, name="parallel-chart")
    return Chapter("parallel", "Configurations", note, [("", chart)])


def _drawn(runs: Sequence[RunOnPage]) -> list[tuple[int, RunOnPage]]:
    return list(enumerate(runs[:MAX_RUN_CHARTS]))


def _scored(runs: Sequence[RunOnPage]) -> list[Scored]:
    return [(i, number, params, loss) for i, run in enumerate(runs) for number, params, loss in run.scored]
