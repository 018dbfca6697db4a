"""The charts of a report, drawn by Matplotlib for page and slide: progress, comparison of runs, failures."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from agent.report.html.svg import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    PURPLE,
    SETTINGS,
    SKY,
    VERMILLION,
    themed_svg,
)
from agent.text import plural
from agent.trials.best_so_far import BestSoFar, Cost, best_so_far, spread
from agent.trials.history import History
from agent.trials.metric import Metric
from agent.trials.trial import KeepState, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PICTURE_MARK = b"autocentaur"
"""Marks a picture that this program wrote, in its first bytes."""

WIDTH_INCHES = 9.0
_LINES = ("-", "--", "-.", ":")
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
_BASELINE: Mapping[str, object] = {"facecolors": INK, "edgecolors": INK}
_KEPT: Mapping[KeepState, Mapping[str, object]] = {  # filled: a fresh run supports the gain
    KeepState.CONFIRMED: {"facecolors": GREEN, "edgecolors": GREEN},
    KeepState.REPEATED: {"facecolors": GREEN, "edgecolors": INK},
    KeepState.PROVISIONAL: {"facecolors": PAPER, "edgecolors": GREEN},
    KeepState.ROLLED_BACK: {"facecolors": PAPER, "edgecolors": GREY},
}


@dataclass(frozen=True)
class Chart:
    """A drawn chart, and the trials that its points mark."""

    name: str  # unique on a page
    title: str
    description: str  # text alternative: a sentence that describes the chart
    figure: "Figure"
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)  # see themed_svg

    def svg(self) -> str:
        return themed_svg(self.figure, self.name, self.description, self.marks)

    def png(self) -> bytes:
        """Return the chart as a picture for a slide, on white, at 200 dots an inch."""
        from matplotlib import rc_context

        with rc_context(SETTINGS):
            # No suptitle: the layout would put it over the legend, which is outside the axes too.
            self.figure.axes[0].set_title(self.title, loc="left", fontweight="bold", color=INK, fontsize=11)
            picture = io.BytesIO()
            about = {"Software": PICTURE_MARK.decode()}
            self.figure.savefig(picture, format="png", dpi=200, facecolor=PAPER, metadata=about)
            return picture.getvalue()


def blank(height_inches: float, *, n_columns: int = 1, n_rows: int = 1) -> "tuple[Figure, list[Axes]]":
    """Return an empty figure and its axes, row by row, in the colours of the page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        axes = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for ax in axes:
        ax.patch.set_visible(False)
        ax.spines[["top", "right"]].set_visible(False)
        for spine in ax.spines.values():
            spine.set_color(MUTED)
            spine.set_linewidth(0.8)
        ax.tick_params(colors=MUTED, labelcolor=INK, width=0.8)
        ax.grid(color=GRID, linewidth=0.8)
        ax.set_axisbelow(True)
    return figure, axes


def progress(
    history: History,
    metric: Metric,
    cost: Cost,
    unit: str,
    *,
    sigma: float | None,
    name: str,
    key: str,
) -> Chart:
    """Return one run in autoresearch's style: grey dots for trials, green for kept ones, a line for the best so far.

    Args:
        history: of the run; at least one trial has a loss.
        cost: what a trial adds to the horizontal axis, in `unit`.
        sigma: noise of one run's loss, drawn as a band of ± 2 sigma around the baseline; None: not drawn.
        key: prefix of the marks of the run's trials.
    """
    figure, (ax,) = blank(3.9)
    trials = history.trials
    curve = best_so_far(history, cost)
    places = dict(zip([trial.number for trial in history.by_finish], curve.x, strict=True))
    scored = [trial for trial in trials if trial.val_loss is not None]
    marks: dict[str, list[str]] = {}

    def dots(gid: str, shown: Sequence[Trial], y: Sequence[float], **style: object) -> None:
        if shown:
            ax.scatter([places[t.number] for t in shown], y, gid=gid, **style)  # type: ignore[arg-type]
            marks[gid] = [f"{key}/{trial.number}" for trial in shown]

    worst = _worst_shown(scored)
    inside = [t for t in scored if not t.kept and _loss(t) <= worst]
    beyond = [t for t in scored if not t.kept and _loss(t) > worst]
    kept = [t for t in scored if t.kept]
    values = [metric.display(_loss(t)) for t in (*inside, *kept)]
    margin = 0.06 * (max(values) - min(values)) or 0.01 * abs(values[0]) or 1.0
    low, high = min(values) - margin, max(values) + margin
    if sigma is not None and scored and scored[0].number == 0:
        first = metric.display(_loss(scored[0]))
        band = {"color": GREY, "alpha": 0.16, "linewidth": 0, "label": "baseline ± 2 sigma of seed noise"}
        ax.axhspan(max(first - 2 * sigma, low), min(first + 2 * sigma, high), **band)  # type: ignore[arg-type]
    dots("reverted", inside, [metric.display(_loss(t)) for t in inside], s=15, color=GREY, label="reverted")
    best = [None if loss is None else metric.display(loss) for loss in curve.best]
    _step(ax, curve.x, best, color=GREEN, linewidth=1.6, label="best so far")
    style: dict[str, object] = {"s": 38, "zorder": 3, "marker": "D", "linewidths": 1.3}
    baseline = [t for t in kept if t.number == 0]
    dots("baseline", baseline, [metric.display(_loss(t)) for t in baseline], **{**style, **_BASELINE}, label="baseline")
    for standing, face in _KEPT.items():
        those = [t for t in kept if t.standing is standing and t.number != 0]
        word = standing.value.replace("_", " ")
        dots(word, those, [metric.display(_loss(t)) for t in those], **{**style, **face}, label=word)
    edge, marker = (low, "v") if metric.goal == "maximise" else (high, "^")
    dots("beyond", beyond, [edge] * len(beyond), s=17, color=GREY, marker=marker, label="worse than shown")
    failed = [t for t in trials if t.val_loss is None]
    floor = low - 0.07 * (high - low)
    dots("failed", failed, [floor] * len(failed), s=17, color=VERMILLION, marker="x", linewidths=1, label="no loss")
    ax.set_ylim(floor - 0.05 * (high - low) if failed else low, high + 0.02 * (high - low))
    _labels(ax, unit, metric.name)
    _legend(figure)
    n = plural(len(trials), "trial")
    told = f"{metric.name} of {n} against {unit}: {len(kept)} kept, {len(failed)} without a loss"
    return Chart(name, f"{n}, {len(kept)} kept", told, figure, marks)


def comparison(groups: Mapping[str, Sequence[History]], metric: Metric, cost: Cost, unit: str, *, name: str) -> Chart:
    """Return the best so far by group (mode): a faint line per run, a strong line for their mean ± one deviation."""
    figure, (ax,) = blank(3.9)
    shown = 0
    for index, (label, runs) in enumerate(groups.items()):
        colour, line = _COLOURS[index % len(_COLOURS)], _LINES[index % len(_LINES)]
        curves = [best_so_far(history, cost) for history in runs]
        for curve in curves if len(curves) > 1 else ():
            _step(ax, curve.x, _shown(curve, metric), color=colour, linewidth=0.7, alpha=0.35)
        found = spread(curves)
        if not found.x:
            continue
        shown += 1
        mean = np.array([metric.display(value) for value in found.mean])
        n = "1 run" if found.n_curves == 1 else f"mean of {found.n_curves} runs"
        ax.step(found.x, mean, where="post", color=colour, linestyle=line, linewidth=1.8, label=f"{label}, {n}")
        if found.n_curves > 1:
            std = np.array(found.std)
            ax.fill_between(found.x, mean - std, mean + std, step="post", color=colour, alpha=0.14, linewidth=0)
    _labels(ax, unit, f"best {metric.name} so far")
    if shown:
        _legend(figure)
    told = f"best {metric.name} so far against {unit}, by mode: {', '.join(groups)}"
    return Chart(name, f"best {metric.name} against {unit}", told, figure)


def bars(values: Mapping[str, float], *, name: str, title: str, form: str, colour: str = BLUE) -> Chart:
    """Return a chart with one horizontal bar per entry, labelled with its value, the first on top."""
    figure, (ax,) = blank(0.2 + 0.3 * len(values))
    labels = list(values)
    ax.barh(range(len(labels)), list(values.values()), height=0.62, color=colour)
    for row, value in enumerate(values.values()):
        ax.annotate(
            format(value, form), (value, row), xytext=(5, 0), textcoords="offset points", va="center", color=INK
        )
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(0, 1.12 * max(values.values()))
    ax.xaxis.set_visible(False)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    told = ", ".join(f"{label} {value:{form}}" for label, value in values.items())
    return Chart(name, title, f"{title}: {told}", figure)


def _worst_shown(scored: Sequence[Trial]) -> float:
    """Return the highest loss drawn to scale, so that a few bad trials do not flatten the chart."""
    losses = sorted(_loss(trial) for trial in scored)
    middle = losses[len(losses) // 2]
    best = losses[0]
    first = max(_loss(trial) for trial in scored if trial.kept)
    return max(first, middle + 2.0 * (middle - best))


def _loss(trial: Trial) -> float:
    assert trial.val_loss is not None, "only trials with a loss have a place"
    return trial.val_loss


def _shown(curve: BestSoFar, metric: Metric) -> list[float | None]:
    return [None if loss is None else metric.display(loss) for loss in curve.best]


def _step(ax: "Axes", x: Sequence[float], y: Sequence[float | None], **style: object) -> None:
    numbers = np.array([np.nan if value is None else value for value in y])
    ax.step(x, numbers, where="post", **style)  # type: ignore[arg-type]


def _labels(ax: "Axes", x: str, y: str) -> None:
    ax.set_xlabel(x, color=INK)
    ax.set_ylabel(y, color=INK)


def _legend(figure: "Figure") -> None:
    figure.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor=INK, fontsize=8.5, handletextpad=0.5)
