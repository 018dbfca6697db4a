"""Converts a chart to SVG without inline styles; the page's style sheet colours it, so it follows the theme.

The page's content security policy forbids `style` attributes, so classes and presentation attributes replace them.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which all kinds of colour vision can distinguish. Each names a CSS variable of the page.
INK, MUTED, GRID, GREY, PAPER = "#1c2330", "#5b6472", "#e4e7ec", "#a3abb8", "#ffffff"
GREEN, VERMILLION, BLUE, ORANGE, PURPLE, SKY = "#009e73", "#d55e00", "#0072b2", "#e69f00", "#cc79a7", "#56b4e9"
_TOKENS = {
    INK: "ink", MUTED: "muted", GRID: "grid", GREY: "grey", PAPER: "paper", GREEN: "green", VERMILLION: "vermillion",
    BLUE: "blue", ORANGE: "orange", PURPLE: "purple", SKY: "sky",
}  # fmt: skip
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_FONT = re.compile(r"(?:(bold|[5-9]00)\s+)?([\d.]+)px")

SETTINGS: Any = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9.5}
"""Matplotlib's settings for all charts: text stays text, and a `$` in a name is literal."""


def themed_svg(figure: "Figure", name: str, told: str, marks: Mapping[str, Sequence[str]]) -> str:
    """Return `figure` as an <svg> element for a page.

    Args:
        name: unique on the page; prefix of ids.
        told: text alternative for screen readers.
        marks: by an artist's gid, the trial (`data-trial`) of each of its points, or of the artist itself.
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
    """Set `data-trial` on each point of the named artists."""
    for group in root.iter(f"{_SVG}g"):
        stands_for = marks.get(group.get("id", ""))
        if stands_for is None:
            continue
        points = list(group.iter(f"{_SVG}use"))
        for element, trial in zip(points or [group], stands_for, strict=True):
            element.set("data-trial", trial)


def _plain(element: ElementTree.Element, name: str) -> None:
    """Replace inline styles by attributes and classes, and make ids and references unique on the page."""
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
