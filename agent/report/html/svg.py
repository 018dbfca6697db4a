"""A chart as SVG for a page: the style sheet colours it, so that it follows the theme, and it has no inline style.

A strict content policy forbids `style` attributes; presentation attributes and classes say the same.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which all kinds of colour vision tell apart. Every token stands for a variable of the page.
INK, MUTED, GRID, GREY, PAPER = "#1c2330", "#5b6472", "#e4e7ec", "#a3abb8", "#ffffff"
GREEN, VERMILLION, BLUE, ORANGE, PURPLE, SKY = "#009e73", "#d55e00", "#0072b2", "#e69f00", "#cc79a7", "#56b4e9"
_TOKENS = {
    INK: "ink", MUTED: "muted", GRID: "grid", GREY: "grey", PAPER: "paper", GREEN: "green", VERMILLION: "vermillion",
    BLUE: "blue", ORANGE: "orange", PURPLE: "purple", SKY: "sky",
}  # fmt: skip
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_FONT = re.compile(r"(?:(bold|[5-9]00)\s+)?([\d.]+)px")

SETTINGS: Any = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9.5}
"""Matplotlib's settings for all charts: text stays text, and a `$` in a name is a dollar."""


def themed_svg(figure: "Figure", name: str, told: str, marks: Mapping[str, Sequence[str]]) -> str:
    """Return `figure` as an <svg> element to put into a page.

    Args:
        name: unique on the page; ids begin with it.
        told: what the chart shows, for those who do not see it.
        marks: by the gid of an artist, what each of its points or the artist itself stands for (`data-trial`).
    """
    from matplotlib import rc_context

    buffer = io.BytesIO()
    with rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in ("metadata", "style"):
                parent.remove(child)
    _mark(root, marks)
    for element in root.iter():
        _plain(element, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "aria-label": told, "class": "chart"}
    return ElementTree.tostring(root, encoding="unicode")


def _mark(root: ElementTree.Element, marks: Mapping[str, Sequence[str]]) -> None:
    """Write onto each point of the named artists what it stands for."""
    for group in root.iter(f"{_SVG}g"):
        stands_for = marks.get(group.get("id", ""))
        if stands_for is None:
            continue
        points = list(group.iter(f"{_SVG}use"))
        for element, trial in zip(points or [group], stands_for, strict=True):
            element.set("data-trial", trial)


def _plain(element: ElementTree.Element, name: str) -> None:
    """Turn style into attributes and classes, and make ids and references unique on the page."""
    element.tag = element.tag.removeprefix(_SVG)
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        token = _TOKENS.get(value.lower())
        if key == "font":
            weight, size = _FONT.search(value).groups()  # type: ignore[union-attr]
            element.set("font-size", size)
            if weight:
                element.set("font-weight", weight)
        elif key in ("fill", "stroke") and token:
            classes.append(f"{key}-{token}")
        elif key and key != "stroke-linecap":
            element.set(key, value)
    if classes:
        element.set("class", " ".join(classes))
    reference = element.attrib.pop(f"{_XLINK}href", None)
    if reference is not None:
        element.set("href", f"#{name}-{reference.removeprefix('#')}")
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{name}-"))
