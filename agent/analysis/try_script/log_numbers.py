"""The numbers in a log: the metrics among them, and whether two runs printed the same."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.edits.edit import Value
from agent.task.init.metric.printed_metric import PrintedMetric, find_metric
from agent.task.init.python_file import Source

_NUMBER = re.compile(  # of several ways to read digits only one matches, so that a long row of them takes linear time
    r"(?<![\w.@])[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])|(?<!\w)[-+]?(?:nan|inf)(?!\w)"
)
_MOST_LINES = 4000
WHERE = "the log"


def metrics_in(log: str) -> list[PrintedMetric]:
    """Return the metrics that a log shows, most likely first, by the rules for print calls."""
    calls: dict[str, ast.stmt] = {}
    for number, line in enumerate(_lines(log), start=1):
        text = _NUMBER.sub("\0", line)
        calls.pop(text, None)  # the last line of a kind counts
        parts: list[ast.expr] = []
        for index, piece in enumerate(text.split("\0")):
            parts += [ast.FormattedValue(ast.Name("x", ast.Load()), -1)] if index else []
            parts += [ast.Constant(piece)] if piece else []
        call = ast.Call(ast.Name("print", ast.Load()), [ast.JoinedStr(parts)], [])
        calls[text] = ast.Expr(ast.copy_location(call, ast.Pass(lineno=number, col_offset=0)))
    tree = ast.Module(list(calls.values()), [])
    return find_metric(Source(WHERE, log, tree))


def numbered_lines(log: str, most: int = 5) -> list[str]:
    """Return the last different lines of a log that have a number, without blanks around them."""
    found: dict[str, str] = {}
    for line in reversed(_lines(log)):
        if _NUMBER.search(line):
            found.setdefault(_NUMBER.sub("#", line), line.strip())
    return list(found.values())[:most]


def text_before_number(line: str) -> str:
    """Return the text of a line up to its last number, with {} for it, as --metric takes it."""
    *_, last = _NUMBER.finditer(line)
    before = line[: last.start()]
    *_, start = [0, *(found.end() for found in _NUMBER.finditer(before))]
    return f"{before[start:].strip(' ,;|')[-60:]} {{}}".strip()


@dataclass(frozen=True)
class Printed:
    """All numbers that a run printed, each with the text of its line."""

    numbers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, log: str) -> "Printed":
        return cls(tuple((_NUMBER.sub("#", line), number) for line in _lines(log) for number in _NUMBER.findall(line)))


@dataclass(frozen=True)
class Repeatable:
    """The numbers that two runs of the same training both printed; times, for example, are not among them."""

    numbers: tuple[tuple[str, str] | None, ...]  # None: they differ

    @classmethod
    def of(cls, one: Printed, other: Printed) -> "Repeatable | None":
        """Compare two runs; None: they printed different lines, or other numbers in each."""
        if len(one.numbers) != len(other.numbers):
            return None
        numbers = tuple(a if a == b else None for a, b in zip(one.numbers, other.numbers, strict=True))
        return cls(numbers) if any(numbers) or not numbers else None

    def differs(self, other: Printed, changed: Mapping[str, tuple[Value, Value]] | None = None) -> bool:
        """Return whether another run printed anything else where the two runs agreed.

        Args:
            other: what it printed.
            changed: values before and after; a number that is the one and becomes the other does not count, since many
                scripts print their settings.
        """
        if len(other.numbers) != len(self.numbers):
            return True
        pairs = {(_number(before), _number(after)) for before, after in (changed or {}).values()}
        return any(
            a is not None and a != b and (_number(a[1]), _number(b[1])) not in pairs
            for a, b in zip(self.numbers, other.numbers, strict=True)
        )


def _number(text: Value) -> Value:
    try:
        return float(text)
    except ValueError:
        return text


def _lines(log: str) -> Sequence[str]:
    """Return the lines of a log; of a progress bar, which returns to the start of its line, the last state."""
    return [line.rpartition("\r")[2] for line in log.replace("\r\n", "\n").split("\n")[-_MOST_LINES:]]
