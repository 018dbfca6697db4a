"""Reads numbers as scripts print them, each as a whole or not at all: a wrongly read number is worse than none.

`1,235.00`, `1_000`, `tensor(0.31, device='cuda:0')`, `[30.]`, `np.float64(0.3)`, `'0.25'` and `45.2%` are numbers.
`1.2.3`, `0.31s`, `0,31`, `1,234` (which may be 1.234), `12:30`, `45/100` and `[0.3, 0.4]` are not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

ANY_TEXT = "{*}"
"""In a pattern: any text of the same line."""
NUMBER = "{}"
"""In a pattern: the number."""

# Possessive quantifiers, so that matching takes linear time on a long row of digits that a script prints.
_POINT = r"(?:\.[0-9]*+)?+"
# A single comma counts only before a point: 1,234 may be 1.234 in another country.
_THOUSANDS = rf"[0-9]{{1,3}}(?:(?:,[0-9]{{3}}){{2,}}+{_POINT}|,[0-9]{{3}}\.[0-9]*+)(?![0-9_]|,[0-9])"
_GROUPED = rf"[0-9]{{1,3}}(?:_[0-9]{{3}})++{_POINT}(?![0-9_]|,[0-9])"
_DIGITS = rf"(?:{_THOUSANDS}|{_GROUPED}|[0-9]++{_POINT}|\.[0-9]++)"
_VALUE = re.compile(rf"[-+]?(?:{_DIGITS}(?:[eE][-+]?[0-9]++)?+|nan\b|inf(?:inity)?\b)", re.IGNORECASE)
# What may not follow: the number would be a part of something else, such as a version, a unit, a range or a fraction.
_GOES_ON = re.compile(r"\w|[.,:/'’*^×+-][0-9]|[\u00a0\u2009\u202f][0-9]| [0-9]{3}[.,][0-9]|…")
_TYPE = r"(?:[A-Za-z_]\w*\.)*(?:[Tt]ensor|[Aa]rray|DeviceArray|b?float[0-9_]*|u?int[0-9_]*|Decimal|Variable)"
_OPEN = re.compile(rf"[ \t]*+(?:(?:{_TYPE})?(\()|({_TYPE})?(\[)|(['\"])|(<)tf\.Tensor:[^<>\n]{{0,80}}\bnumpy=)")
_ARGUMENTS = r"(?:[ \t]*,[ \t]*\w+[ \t]*=[ \t]*(?:[^(),\n]|\([^()\n]{0,40}\)){1,80})*+"
_CLOSE = {
    "(": re.compile(rf"{_ARGUMENTS}[ \t]*,?[ \t]*\)"),
    "[": re.compile(r"[ \t]*,?[ \t]*\]"),
    "<": re.compile(r">"),
    "'": re.compile(r"[ \t]*%?'"),
    '"': re.compile(r'[ \t]*%?"'),
}
_MOST_BRACKETS = 5
_LIKE_A_NUMBER = re.compile(
    rf"[ \t]*+(?:(?:{_TYPE})?[(\[]|['\"<]|tf\.Tensor:[^<>\n]{{0,80}}=)*+[ \t]*[-+\u2212]?(?:\.?\d|nan\b|inf\b)",
    re.IGNORECASE,
)
_NUMBER_BEGINS = re.compile(r"(?!(?<=[-+0-9.])[0-9.])(?=[-+.0-9ni])(?<![A-Za-z_])", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t]*+")
_STYLE = re.compile(r"[\x1b\u241b]\[[0-9;?]*[A-Za-z]")
_BARS = str.maketrans("│┃║", "   ")


@dataclass(frozen=True)
class PrintedValue:
    """What a script printed in the place of a number."""

    value: float | None  # may be nan or infinite; None: it is no whole number
    line: str  # the line of the log


def plain_log(log: str) -> str:
    """Return a log without colours and without the vertical bars of tables."""
    return _STYLE.sub("", log).translate(_BARS)


def whole_number(text: str) -> float | None:
    """Return the number that a text is, blanks and a percent sign aside; None if it is anything else."""
    found = _read(text, 0)
    return found[0] if found is not None and not text[found[1] :].strip(" \t%") else None


def values_in(log: str, pattern: str) -> Iterator[PrintedValue]:
    """Yield what the log has in the place of {} in a pattern, wherever a number seems to begin there.

    Args:
        log: the end of a log, see `plain_log`.
        pattern: the text around the number, such as `val loss {}`. A blank in it stands for any number of blanks,
            and `{*}` for any text of the same line, up to the next place that fits.
    """
    *skipped, place = plain_log(pattern).split(ANY_TEXT)
    before, _, after = place.partition(NUMBER)
    first = [re.compile(_spaced(text)) for text in skipped if text.strip()]
    label, behind = _spaced(before), _spaced(after)
    following = re.compile(rf"[ \t]*+{behind}") if behind else None
    for line in log.split("\n"):
        start = 0
        for text in first:
            found = text.search(line, start)
            if found is None:
                break
            start = found.end()
        else:
            found_here = _in_line(line, start, re.compile(label) if label else None, following)
            yield from islice(found_here, 1 if first else None)


def _in_line(
    line: str, start: int, label: re.Pattern[str] | None, following: re.Pattern[str] | None
) -> Iterator[PrintedValue]:
    places = label.finditer(line, start) if label is not None else _NUMBER_BEGINS.finditer(line, start)
    for place in places:
        at = place.end() if label is not None else place.start()
        found = _read(line, at, following)
        if found is not None and (following is None or following.match(line, found[1])):
            yield PrintedValue(found[0], line)
        elif found is None and label is not None and _LIKE_A_NUMBER.match(line, at):
            yield PrintedValue(None, line)


def _spaced(text: str) -> str:
    """Return the regular expression of a text, with any number of blanks in the place of each."""
    words = r"[ \t]+".join(map(re.escape, text.split()))
    return rf"(?<!\w){words}" if words[:1].isalnum() else words


def _read(text: str, at: int, following: re.Pattern[str] | None = None) -> tuple[float, int] | None:
    """Return the number that begins at a place of a text, and where it ends; None if no whole number does.

    Args:
        following: what the caller expects behind it, such as `/100`, which may then follow.
    """
    brackets: list[str] = []
    while len(brackets) < _MOST_BRACKETS and (opened := _OPEN.match(text, at)):
        brackets.append(next(filter(None, (opened[n] for n in (1, 3, 4, 5)))))
        at = opened.end()
    blanks = _BLANKS.match(text, at)
    found = _VALUE.match(text, blanks.end() if blanks else at)
    if found is None:
        return None
    at = found.end()
    for bracket in reversed(brackets):
        closed = _CLOSE[bracket].match(text, at)
        if closed is None:
            return None
        at = closed.end()
    if _GOES_ON.match(text, at) and not (following is not None and following.match(text, at)):
        return None
    return float(found[0].replace(",", "").replace("_", "")), at
