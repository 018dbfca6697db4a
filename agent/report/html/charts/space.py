"""Charts of the configurations of a search: the loss along each name, and all names in parallel coordinates."""

import math
from collections.abc import Sequence
from dataclasses import replace

from agent.edits.edit import Params, Value
from agent.report.html.charts.chart import Chart, ChartAxis, Panel, Parallel, Points
from agent.report.html.charts.progress import worst_shown
from agent.search.parameters import Categorical, Parameter, PowerOfTwo
from agent.search.space import SearchSpace
from agent.text import plural
from agent.trials.metric import Metric

BEST_SHARE = 0.1
"""Share of the configurations that is highlighted."""

MAX_LINES = 400
"""With more configurations, every second, third, ... one beside the best tenth has a line."""

Scored = tuple[int, int, Params, float]
"""A scored trial with a value for every name: index of its run on the page, number, parameters, loss (minimised)."""


def varied(space: SearchSpace, scored: Sequence[Scored]) -> tuple[Parameter, ...]:
    """Return the parameters that have more than one value among the trials: the others cannot explain a loss."""
    return tuple(p for p in space.parameters if len({params[p.name] for _, _, params, _ in scored}) > 1)


def slices(space: SearchSpace, scored: Sequence[Scored], metric: Metric, *, name: str) -> Chart:
    """Return one panel per varied name: its value against the loss, the best tenth of the trials in green."""
    ranked = sorted(scored, key=lambda entry: entry[3])
    n_best = _n_best(ranked)
    worst = worst_shown([loss for *_, loss in ranked])
    inside = [entry for entry in ranked[n_best:] if entry[3] <= worst]
    beyond = [entry for entry in ranked[n_best:] if entry[3] > worst]
    triangle = "triangle-down" if metric.goal == "maximise" else "triangle-up"
    styles = (
        (Points((), (), (), "others", size=5.0), inside),
        (Points((), (), (), "best tenth", tone="green", size=5.0), ranked[:n_best]),
        (Points((), (), (), "worse than shown", shape=triangle, size=5.0), beyond),
    )
    indices = sorted({entry[0] for entry in ranked})
    panels = []
    for parameter in varied(space, scored):
        groups = [_placed(style, parameter, [e for e in those if e[0] == i], metric, worst)
                  for style, those in styles for i in indices]  # fmt: skip
        visible = [group for group in groups if group.trials]
        panels.append(Panel(_axis(parameter), ChartAxis(metric.name), points=visible, title=metric.name))
    description = f"{metric.name} of {plural(len(ranked), 'trial')} against each of {plural(len(panels), 'name')}"
    return Chart(name, "Slices", description, panels)


def _placed(style: Points, parameter: Parameter, those: Sequence[Scored], metric: Metric, worst: float) -> Points:
    """Return the points of trials of one run; what is worse than `worst` is drawn there."""
    places = [place(parameter, params[parameter.name]) for _, _, params, _ in those]
    losses = [metric.display(min(loss, worst)) for *_, loss in those]
    run = those[0][0] if those else 0
    return replace(style, x=places, y=losses, trials=[number for _, number, _, _ in those], run=run)


def parallel(space: SearchSpace, scored: Sequence[Scored], metric: Metric, *, name: str) -> Chart:
    """Return all configurations in parallel coordinates, with the loss as the last axis; the best tenth on top."""
    ranked = sorted(scored, key=lambda entry: entry[3])
    n_best = _n_best(ranked)
    n_all = len(ranked)
    step = max(1, math.ceil(n_all / MAX_LINES))
    ranked = ranked[:n_best] + ranked[n_best::step]
    varying = varied(space, scored)
    worst = worst_shown([loss for *_, loss in ranked])
    rows = [
        [*(place(p, params[p.name]) for p in varying), metric.display(min(loss, worst))]
        for _, _, params, loss in ranked
    ]
    ranks = [2 if i == 0 else 1 if i < n_best else 0 for i in range(len(ranked))]
    axes = [*map(_axis, varying), ChartAxis(metric.name)]
    some = f"{len(ranked)} of " if len(ranked) < n_all else ""
    description = (
        f"{some}{plural(n_all, 'configuration')} over {plural(len(varying), 'name')} and {metric.name}; "
        f"the best {n_best} are highlighted"
    )
    content = Parallel(axes, rows, [f"{run}/{number}" for run, number, _, _ in ranked], ranks)
    return Chart(name, "Configurations", description, content)


def log_base(parameter: Parameter) -> int:
    """Return the base of a parameter's log scale; 0 if its scale is linear."""
    return 2 if isinstance(parameter, PowerOfTwo) else 10 if parameter.log else 0


def place(parameter: Parameter, value: Value) -> float:
    """Return a value's place on its axis: a number as it is, a choice as its index."""
    if isinstance(parameter, Categorical):
        return parameter.choices.index(value)
    return float(value)


def _n_best(ranked: Sequence[Scored]) -> int:
    return max(1, round(BEST_SHARE * len(ranked)))


def _axis(parameter: Parameter) -> ChartAxis:
    if isinstance(parameter, Categorical):
        return ChartAxis(parameter.name, choices=[str(choice) for choice in parameter.choices])
    return ChartAxis(parameter.name, log_base=log_base(parameter), low=float(parameter.low), high=float(parameter.high))
