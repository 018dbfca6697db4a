"""Charts of the best loss so far: the progress of one run, and the comparison of several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.report.html.charts.chart import DASHES, TONES, Band, Chart, ChartAxis, Line, Panel, Points
from agent.text import plural
from agent.trials.best_so_far import BestSoFar, Cost, best_so_far, spread
from agent.trials.history import History
from agent.trials.hybrid.turn import TurnKind
from agent.trials.hybrid.turn_shares import tuned_by
from agent.trials.metric import Metric
from agent.trials.trial import KeepState, Trial

_KEPT: Mapping[KeepState, Points] = {  # filled: a fresh run supports the gain
    KeepState.CONFIRMED: Points((), (), (), tone="green"),
    KeepState.REPEATED: Points((), (), (), tone="green", rim="ink"),
    KeepState.PROVISIONAL: Points((), (), (), tone="green", is_hollow=True),
    KeepState.ROLLED_BACK: Points((), (), (), tone="grey", is_hollow=True),
}
_DIAMOND = 11.0
KEPT_ORDER = ("baseline", *(state.value.replace("_", " ") for state in _KEPT))
_BASELINE = Points((), (), (), "baseline", shape="diamond", tone="ink", size=_DIAMOND)


def kept_style(trial: Trial) -> Points:
    """Return the style of a kept trial, without points: a diamond, named and coloured by its standing."""
    if trial.number == 0:
        return _BASELINE
    assert trial.standing is not None, "a kept trial has a standing"
    return replace(_KEPT[trial.standing], name=trial.standing.value.replace("_", " "), shape="diamond", size=_DIAMOND)


def progress(
    history: History, metric: Metric, cost: Cost, unit: str, *, sigma: float | None, name: str, run: int
) -> Chart:
    """Return one run in autoresearch's style: grey dots for trials, green for kept ones, a line for the best so far.

    Args:
        history: of the run; at least one trial has a loss.
        cost: what a trial adds to the horizontal axis, in `unit`.
        sigma: noise of one run's loss, drawn as a band of ± 2 sigma around the baseline; None: not drawn.
        run: index of the run on the page.
    """
    trials = history.trials
    curve = best_so_far(history, cost)
    places = dict(zip([trial.number for trial in history.by_finish], curve.x, strict=True))
    scored = [trial for trial in trials if trial.val_loss is not None]
    worst = max([worst_shown([_loss(t) for t in scored]), *(_loss(t) for t in scored if t.kept)])
    inside = [t for t in scored if not t.kept and _loss(t) <= worst]
    beyond = [t for t in scored if not t.kept and _loss(t) > worst]
    kept = [t for t in scored if t.kept]
    failed = [t for t in trials if t.val_loss is None]
    values = [metric.display(_loss(t)) for t in (*inside, *kept)]
    margin = 0.06 * (max(values) - min(values)) or 0.01 * abs(values[0]) or 1.0
    low, high = min(values) - margin, max(values) + margin
    floor = low - 0.07 * (high - low)

    def placed(style: Points, group: Sequence[Trial], y: Sequence[float]) -> Points:
        return replace(style, x=[places[t.number] for t in group], y=y, trials=[t.number for t in group], run=run)

    has_turns = any(t.proposal.turn is not None for t in trials)
    points = []
    for is_tuned in (False, True) if has_turns else (False,):
        of_kind = [t for t in inside if (tuned_by(t) is not None) is is_tuned]
        label = f"{_kind(is_tuned=is_tuned)}, reverted" if has_turns else "reverted"
        reverted = Points((), (), (), label, tone="grey" if is_tuned or not has_turns else "blue")
        points.append(placed(reverted, of_kind, [metric.display(_loss(t)) for t in of_kind]))
        for word in KEPT_ORDER:
            those = [t for t in kept if kept_style(t).name == word and (tuned_by(t) is not None) is is_tuned]
            if those:
                style = kept_style(those[0])
                if has_turns and word != "baseline":
                    shape = "circle" if is_tuned else style.shape
                    style = replace(style, name=f"{_kind(is_tuned=is_tuned)}, {word}", shape=shape)
                points.append(placed(style, those, [metric.display(_loss(t)) for t in those]))
    edge, triangle = (low, "triangle-down") if metric.goal == "maximise" else (high, "triangle-up")
    points.append(placed(Points((), (), (), "worse than shown", shape=triangle), beyond, [edge] * len(beyond)))
    cross = Points((), (), (), "no loss", shape="cross", tone="vermillion")
    points.append(placed(cross, failed, [floor] * len(failed)))
    bands = []
    if sigma is not None and scored and scored[0].number == 0:
        first = metric.display(_loss(scored[0]))
        ends = [max(first - 2 * sigma, low)], [min(first + 2 * sigma, high)]
        bands.append(Band(*ends, name="baseline ± 2 sigma of seed noise"))
    best = [None if loss is None else metric.display(loss) for loss in curve.best]
    y_axis = ChartAxis(
        metric.name, low=floor - 0.05 * (high - low) if failed else low, high=high + 0.02 * (high - low)
    )  # fmt: skip
    panel = Panel(
        ChartAxis(unit, is_whole=unit == "trials", low=0.0),
        y_axis,
        lines=[Line(curve.x, best, "green", "best so far", is_stepped=True)],
        bands=bands,
        points=[group for group in points if group.trials],
    )
    n = plural(len(trials), "trial")
    description = f"{metric.name} of {n} against {unit}: {len(kept)} kept, {len(failed)} without a loss"
    return Chart(name, f"{n}, {len(kept)} kept", description, [panel])


def comparison(groups: Mapping[str, Sequence[History]], metric: Metric, cost: Cost, unit: str, *, name: str) -> Chart:
    """Return the best so far by group (mode): a faint line per run, a strong line for their mean ± one deviation."""
    lines, bands = list[Line](), list[Band]()
    for index, (label, runs) in enumerate(groups.items()):
        tone, dash = TONES[index % len(TONES)], DASHES[index // len(TONES) % len(DASHES)]
        curves = [best_so_far(history, cost) for history in runs]
        for curve in curves if len(curves) > 1 else ():
            lines.append(Line(curve.x, _shown(curve, metric), tone, width=1.0, opacity=0.35, is_stepped=True))
        found = spread(curves)
        if not found.x:
            continue
        mean = [metric.display(value) for value in found.mean]
        n = "1 run" if found.n_curves == 1 else f"mean of {found.n_curves} runs"
        lines.append(Line(found.x, mean, tone, f"{label}, {n}", width=2.2, dash=dash, is_stepped=True))
        if found.n_curves > 1:
            low = [m - s for m, s in zip(mean, found.std, strict=True)]
            high = [m + s for m, s in zip(mean, found.std, strict=True)]
            bands.append(Band(low, high, found.x, tone, is_stepped=True))
    panel = Panel(
        ChartAxis(unit, is_whole=unit == "trials", low=0.0), ChartAxis(f"best {metric.name} so far"), lines, bands
    )
    description = f"best {metric.name} so far against {unit}, by mode: {', '.join(groups)}"
    return Chart(name, f"best {metric.name} against {unit}", description, [panel])


def _kind(*, is_tuned: bool) -> str:
    return (TurnKind.NUMBERS if is_tuned else TurnKind.STRUCTURE).value


def worst_shown(losses: Sequence[float]) -> float:
    """Return the highest loss drawn to scale, so that a few bad trials do not flatten the chart."""
    middle = sorted(losses)[len(losses) // 2]
    return middle + 2.0 * (middle - min(losses))


def _loss(trial: Trial) -> float:
    assert trial.val_loss is not None, "only trials with a loss have a place"
    return trial.val_loss


def _shown(curve: BestSoFar, metric: Metric) -> list[float | None]:
    return [None if loss is None else metric.display(loss) for loss in curve.best]
