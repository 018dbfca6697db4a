"""The family tree of a run: which trial edited which, and how many edits lie between it and the baseline."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from agent.report.html.charts.chart import Chart, ChartAxis, Line, Panel, Points
from agent.report.html.charts.progress import KEPT_ORDER, kept_style
from agent.text import plural
from agent.trials.history import History
from agent.trials.trial import Trial

_MARGIN = 0.4  # rows above the first and below the last


def family_tree(history: History, *, name: str, run: int) -> Chart:
    """Return a run's trials by number, each one row below the trial whose script it edited.

    Args:
        history: of the run.
        run: index of the run on the page.
    """
    trials = sorted([*history.trials, *history.in_flight.values()], key=lambda trial: trial.number)
    rows = dict[int, int]()
    for trial in trials:  # a parent has a lower number than its children
        rows[trial.number] = 0 if trial.parent is None else rows[trial.parent] + 1
    last_child = {trial.parent: trial.number for trial in trials if trial.parent is not None}
    lines = [
        Line([parent, parent, last], [rows[parent], rows[parent] + 1, rows[parent] + 1], "grey", width=1.0, opacity=0.6)
        for parent, last in last_child.items()
    ]
    path = _path(history)
    x, y = [0], [0]
    for parent, child in pairwise(path):
        x += [parent, child]
        y += [rows[child], rows[child]]
    lines.append(Line(x, y, "green", "path to the incumbent", width=2.4))

    def placed(style: Points, group: Sequence[Trial]) -> Points:
        numbers = [trial.number for trial in group]
        return replace(style, x=numbers, y=[rows[number] for number in numbers], trials=numbers, run=run)

    reverted = [trial for trial in history.trials if trial.val_loss is not None and not trial.kept]
    failed = [trial for trial in history.trials if trial.val_loss is None]
    kept = [trial for trial in history.trials if trial.val_loss is not None and trial.kept]
    groups = [placed(Points((), (), (), "reverted", size=5.0), reverted)]
    for word in KEPT_ORDER:
        those = [trial for trial in kept if kept_style(trial).name == word]
        groups += [placed(kept_style(those[0]), those)] if those else []
    groups.append(placed(Points((), (), (), "no loss", shape="cross", tone="vermillion"), failed))
    in_flight = Points((), (), (), "in flight", tone="blue", is_hollow=True, size=9.0)
    groups.append(placed(in_flight, list(history.in_flight.values())))
    panel = Panel(
        ChartAxis("trial", is_whole=True),
        ChartAxis(
            "edits since the baseline", is_whole=True, is_inverted=True, low=-_MARGIN, high=max(rows.values()) + _MARGIN
        ),
        lines,
        points=[group for group in groups if group.trials],
    )
    description = (
        f"{plural(len(trials), 'trial')} by the trial that each one edited: the incumbent is "
        f"{plural(len(path) - 1, 'edit')} from the baseline"
    )
    return Chart(name, "Family tree", description, [panel])


def _path(history: History) -> list[int]:
    """Return the numbers of the trials from the baseline to the incumbent, each of which edited the one before."""
    found = list[int]()
    at = history.incumbent.number if history.incumbent is not None else None
    while at is not None:
        found.append(at)
        at = history.trial(at).parent
    return found[::-1] or [0]
