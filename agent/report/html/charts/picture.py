"""A chart as a PNG for a slide, drawn by Matplotlib from the same data as the page's chart."""

import io
from typing import TYPE_CHECKING, Any

from agent.report.html.charts.chart import Chart, Panel, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_MARK = b"autocentaur"
"""Marks a picture that this program wrote, in its first bytes."""

_WIDTH_INCHES, _HEIGHT_INCHES = 9.0, 3.9
_PAPER, _GRID = "#ffffff", "#e4e7ec"
_COLOURS = {  # the light theme of report.css
    "ink": "#1c2330", "muted": "#5b6472", "grey": "#a3abb8", "green": "#009e73", "vermillion": "#d55e00",
    "blue": "#0072b2", "orange": "#e69f00", "purple": "#cc79a7", "sky": "#56b4e9",
}  # fmt: skip
_SHAPES = {"circle": "o", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "cross": "x"}
_SETTINGS: Any = {"text.parse_math": False, "font.size": 9.5}  # a `$` in a name is literal


def png(chart: Chart) -> bytes:
    """Return a chart of one panel as a picture on white, at 200 dots an inch."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        picture = io.BytesIO()
        drawn(chart).savefig(
            picture, format="png", dpi=200, facecolor=_PAPER, metadata={"Software": PICTURE_MARK.decode()}
        )
    return picture.getvalue()


def drawn(chart: Chart) -> "Figure":
    """Return a chart of one panel as a figure, with its title."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    assert isinstance(chart.content, list), "only panels become pictures"
    (panel,) = chart.content
    ink, muted = _COLOURS["ink"], _COLOURS["muted"]
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
        ax = figure.subplots()
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(muted)
        ax.tick_params(colors=muted, labelcolor=ink, width=0.8)
        ax.grid(color=_GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        _draw(ax, panel)
        ax.set_xlabel(panel.x.name, color=ink)
        ax.set_ylabel(panel.y.name, color=ink)
        if ax.get_legend_handles_labels()[1]:
            figure.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor=ink, fontsize=8.5)
        # No suptitle: the layout would put it over the legend, which is outside the axes too.
        ax.set_title(chart.title, loc="left", fontweight="bold", color=ink, fontsize=11)
    return figure


def _draw(ax: "Axes", panel: Panel) -> None:
    for band in panel.bands:
        style: dict[str, Any] = {"color": _COLOURS[band.tone], "alpha": 0.16, "linewidth": 0, "label": band.name}
        if band.x:
            ax.fill_between(band.x, band.low, band.high, step="post" if band.is_stepped else None, **style)
        else:
            ax.axhspan(band.low[0], band.high[0], **style)
    for line in panel.lines:
        y = [float("nan") if value is None else value for value in line.y]
        ax.plot(
            line.x, y, color=_COLOURS[line.tone], linewidth=line.width, alpha=line.opacity, linestyle=line.dash,
            label=line.name, drawstyle="steps-post" if line.is_stepped else "default",
        )  # fmt: skip
    for points in panel.points:
        ax.scatter(
            points.x, points.y, s=points.size**2 / 2.5, marker=_SHAPES[points.shape], label=points.name, zorder=3,
            **_faces(points),
        )  # fmt: skip
    ax.set_ylim(panel.y.low, panel.y.high)


def _faces(points: Points) -> dict[str, Any]:
    colour = _COLOURS[points.tone]
    if points.shape == "cross":
        return {"color": colour, "linewidths": 1}
    return {"facecolors": _PAPER if points.is_hollow else colour, "edgecolors": _COLOURS[points.rim or points.tone]}
