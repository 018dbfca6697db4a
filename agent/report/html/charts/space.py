"""Charts of the configurations of a search: the loss along each name, and all names in parallel coordinates."""

from collections.abc import Sequence

from agent.edits.edit import Params, Value
from agent.report.html.charts.chart import Chart, ChartAxis, Panel, Parallel, Points
from agent.search.parameters import Categorical, Parameter
from agent.search.space import SearchSpace
from agent.text import plural
from agent.trials.metric import Metric

BEST_SHARE = 0.1
"""Share of the configurations that is highlighted."""

Scored = tuple[int, int, Params, float]
"""A scored trial with a value for every name: index of its run on the page, number, parameters, loss (minimised)."""


def varied(space: SearchSpace, scored: Sequence[Scored]) -> tuple[Parameter, ...]:
    """Return the parameters that have more than one value among the trials: the others cannot explain a loss."""
    return tuple(p for p in space.parameters if len({params[p.name] for _, _, params, _ in scored}) > 1)


def slices(space: SearchSpace, scored: Sequence[Scored], metric: Metric, *, name: str) -> Chart:
    """Return one panel per varied name: its value against the loss, the best tenth of the trials in green."""
    ranked = sorted(scored, key=lambda entry: entry[3])
    n_best = _n_best(ranked)
    y = ChartAxis(metric.name)
    panels = []
    for parameter in varied(space, scored):
        groups = []
        for run in sorted({entry[0] for entry in ranked}):
            for those, label, tone in ((ranked[n_best:], "others", "grey"), (ranked[:n_best], "best tenth", "green")):
                own = [entry for entry in those if entry[0] == run]
                places = [place(parameter, entry[2][parameter.name]) for entry in own]
                losses = [metric.display(entry[3]) for entry in own]
                numbers = [entry[1] for entry in own]
                if own:
                    groups.append(Points(places, losses, numbers, label, run, tone=tone, size=5.0))  # type: ignore[arg-type]
        panels.append(Panel(_axis(parameter), y, points=groups, title=metric.name))
    told = f"{metric.name} of {plural(len(ranked), 'trial')} against each of {plural(len(panels), 'name')}"
    return Chart(name, "Slices", told, panels)


def parallel(space: SearchSpace, scored: Sequence[Scored], metric: Metric, *, name: str) -> Chart:
    """Return all configurations in parallel coordinates, with the loss as the last axis; the best tenth on top."""
    ranked = sorted(scored, key=lambda entry: entry[3])
    n_best = _n_best(ranked)
    shown = varied(space, scored)
    rows = [[*(place(p, params[p.name]) for p in shown), metric.display(loss)] for _, _, params, loss in ranked]
    ranks = [2 if i == 0 else 1 if i < n_best else 0 for i in range(len(ranked))]
    axes = [*map(_axis, shown), ChartAxis(metric.name)]
    told = (
        f"{plural(len(ranked), 'configuration')} over {plural(len(shown), 'name')} and {metric.name}; "
        f"the best {n_best} are highlighted"
    )
    content = Parallel(axes, rows, [f"{run}/{number}" for run, number, _, _ in ranked], ranks)
    return Chart(name, "Configurations", told, content)


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
    return ChartAxis(parameter.name, is_log=parameter.log, low=float(parameter.low), high=float(parameter.high))
