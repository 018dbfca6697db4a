"""A chart as data: panels of lines, bands and points, or one of three special kinds; charts.js draws it.

Nothing here is a trial's own text: a point has the trial's mark, and the page looks up the rest in its table.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Literal

from agent.trials.json_fields import changed_fields

Tone = Literal["ink", "muted", "grey", "green", "vermillion", "blue", "orange", "purple", "sky"]
"""A colour, as a CSS variable of the page; Okabe and Ito's, which all kinds of colour vision can distinguish."""
TONES: tuple[Tone, ...] = ("blue", "vermillion", "green", "purple", "orange", "sky")
"""Colours that distinguish lines, in order."""
DASHES = ("solid", "dashed", "dotted")

_SHORT = 12  # numbers: a list of so many is not worth a reference
_DIGITS = 7
"""Significant digits of a number in a chart: more than a screen has pixels, and enough for a small change of a loss."""


@dataclass(frozen=True)
class ChartAxis:
    """One axis of a panel."""

    name: str = ""
    log_base: int = 0  # of a log scale: where its ticks are; 0: a linear scale
    is_whole: bool = False  # whether ticks are whole numbers only
    is_inverted: bool = False  # whether low values are on top
    choices: Sequence[str] = ()  # labels of the places 0, 1, ...; empty: the axis has numbers
    low: float | None = None  # end of the axis; None: as the data require
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A line through points."""

    x: Sequence[float]
    y: Sequence[float | None]  # None: a gap
    tone: Tone = "blue"
    name: str = ""  # in the legend; empty: none
    width: float = 1.6  # pixels
    opacity: float = 1.0
    dash: str = "solid"  # one of DASHES
    is_stepped: bool = False  # whether it keeps each value up to the next point
    mark: str = ""  # of the trial that it stands for: index of the run, and number; empty: none


@dataclass(frozen=True)
class Band:
    """An area between two lines."""

    low: Sequence[float]
    high: Sequence[float]
    x: Sequence[float] = ()  # empty: one value of `low` and `high`, for the whole width
    tone: Tone = "grey"
    name: str = ""
    is_stepped: bool = False


@dataclass(frozen=True)
class Points:
    """Points of one kind, each of which stands for a trial."""

    x: Sequence[float]
    y: Sequence[float]
    trials: Sequence[int]  # numbers of the trials
    name: str = ""
    run: int = 0  # index of their run on the page
    shape: str = "circle"  # circle, diamond, triangle-up, triangle-down or cross
    tone: Tone = "grey"
    rim: Tone | None = None  # colour of the edge; None: that of the inside
    is_hollow: bool = False
    size: float = 6.0  # pixels


@dataclass(frozen=True)
class Panel:
    """A coordinate system with what it shows."""

    x: ChartAxis
    y: ChartAxis
    lines: Sequence[Line] = ()
    bands: Sequence[Band] = ()
    points: Sequence[Points] = ()
    title: str = ""


@dataclass(frozen=True)
class Bars:
    """One horizontal bar per entry, labelled with its value, the first on top."""

    labels: Sequence[str]
    values: Sequence[float]
    texts: Sequence[str]  # the values as they are written
    tone: Tone = "blue"


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates: a line per trial across the axes."""

    axes: Sequence[ChartAxis]
    values: Sequence[Sequence[float | None]]  # one row per trial, shape (n_trials, n_axes)
    marks: Sequence[str]  # one per trial
    ranks: Sequence[int]  # 0: an ordinary trial, 1: one of the best, 2: the best


@dataclass(frozen=True)
class Lanes:
    """Spans of time, in a lane each."""

    names: Sequence[str]  # of the lanes, from the top
    kinds: Sequence[tuple[str, Tone]]  # name and colour of each kind of span
    spans: Sequence[tuple[int, float, float, int, int]]  # lane, begin, length, kind, number of the trial
    x: ChartAxis
    run: int = 0  # index of the run on the page


@dataclass(frozen=True)
class Chart:
    """One chart of a page."""

    name: str  # unique on a page
    title: str
    description: str  # text alternative: a sentence that describes the chart, with its main numbers
    content: list[Panel] | Bars | Parallel | Lanes

    def to_json(self) -> dict[str, Any]:
        """Return the data that charts.js draws; fields at their default are left out."""
        if isinstance(self.content, Bars | Parallel | Lanes):
            return {"kind": type(self.content).__name__.lower(), **_plain(self.content)}
        return {"kind": "panels", "panels": [_plain(panel) for panel in self.content]}


def document(charts: Iterable[Chart]) -> dict[str, Any]:
    """Return the data of several charts, as charts.js reads them.

    Long lists of numbers that occur more than once, such as the losses that several charts show, are in "lists"; a
    chart has `{"list": index}` in their place.
    """
    found = {chart.name: chart.to_json() for chart in charts}
    times = Counter(_long_lists(found))
    places: dict[str, int] = {key: index for index, key in enumerate(key for key, n in times.items() if n > 1)}
    return {"lists": [json.loads(key) for key in places], "charts": _referring(found, places)}


def _key(value: Any) -> str | None:
    """Return the text of a long list of numbers; None for anything else."""
    if not isinstance(value, list) or len(value) <= _SHORT or isinstance(value[0], list | dict | str):
        return None
    return json.dumps(value)


def _long_lists(value: Any) -> Iterator[str]:
    if (key := _key(value)) is not None:
        yield key
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _long_lists(part)


def _referring(value: Any, places: Mapping[str, int]) -> Any:
    if isinstance(value, dict):
        return {name: _referring(part, places) for name, part in value.items()}
    if isinstance(value, list):
        key = _key(value)
        if key is not None and key in places:
            return {"list": places[key]}
        return value if key is not None else [_referring(part, places) for part in value]
    return value


def _plain(value: Any) -> Any:
    """Return JSON data: records without their defaults, numbers with `_DIGITS` digits, infinities as None."""
    if isinstance(value, Line) and value.is_stepped:
        value = _only_steps(value)
    if is_dataclass(value):
        return {name: _plain(part) for name, part in changed_fields(value).items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.{_DIGITS}g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def _only_steps(line: Line) -> Line:
    """Return a stepped line without the points between its ends at which it keeps its value."""
    last = len(line.x) - 1
    kept = [i for i in range(len(line.x)) if i in {0, last} or line.y[i] != line.y[i - 1]]
    return replace(line, x=[line.x[i] for i in kept], y=[line.y[i] for i in kept])
