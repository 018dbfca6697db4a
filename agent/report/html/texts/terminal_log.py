"""A training log as a terminal shows it: colours as names of classes, and progress bars in their last state."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from agent.text import inert

if TYPE_CHECKING:
    from rich.style import Style
    from rich.text import Text

_MOST_COLUMNS = 2_000  # of one line; the rest of it is left out
_MOVES = re.compile(r"\x1b\](?:[^\x07\x1b]{0,500})(?:\x07|\x1b\\)|(\r|\x08)|\x1b\[([0-9]{0,3})([ABK])")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES = ("bold", "dim", "italic", "underline")

Run = tuple[str, str]
"""Names of classes, separated by blanks, and the text that they apply to. Without a class the name is empty."""


@dataclass(frozen=True)
class LogLine:
    """One line of a log, as runs of text in one style each."""

    runs: tuple[Run, ...]

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.runs)

    @property
    def n_characters(self) -> int:
        return sum(len(classes) + len(text) for classes, text in self.runs) + 4

    def to_json(self) -> Any:
        """Return the text of a line without colours, else `[classes, text]` for each run."""
        if all(not classes for classes, _ in self.runs):
            return self.text
        return [list(run) for run in self.runs]


def terminal_lines(log: str, n_lines: int) -> list[LogLine]:
    """Return the last lines of a log as a terminal would show them.

    Carriage returns, backspaces, erased ends of lines and moves to earlier lines are applied, so that a progress bar
    shows its last state. Other control characters are escaped. Hyperlinks are dropped, their text stays.
    """
    lines = _lines(log)
    if "\x1b" not in log and "\r" not in log and "\x08" not in log:
        return [LogLine((("", inert(line[:_MOST_COLUMNS])),)) for line in lines[-n_lines:]]
    return [LogLine(tuple(_runs(row))) for row in _screen(lines)[-n_lines:]]


def _lines(log: str) -> list[str]:
    """Return lines as a terminal breaks them: at newlines only."""
    lines = log.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _screen(lines: Sequence[str]) -> list[list[Run]]:
    """Return what a terminal shows after these lines of output: its rows, each a list of single characters."""
    from rich.ansi import AnsiDecoder

    decoder, names = AnsiDecoder(), dict["Style", str]()
    rows, row = list[list[Run]](), 0
    for line in lines:
        column, at = 0, 0
        if row == len(rows):
            rows.append([])
        for move in [*_MOVES.finditer(line), None]:
            piece = decoder.decode_line(line[at : move.start() if move else len(line)][:_MOST_COLUMNS])
            cells = _cells(piece, names)[: max(0, _MOST_COLUMNS - column)]
            blanks = [("", " ")] * (column - len(rows[row])) if cells else []
            rows[row][column : column + len(cells)] = [*blanks, *cells]
            column += len(cells)
            if move is None:
                continue
            at = move.end()
            if move[1]:
                column = 0 if move[1] == "\r" else max(0, column - 1)
            elif move[3] == "K":
                del rows[row][0 if move[2] == "2" else column :]
            elif move[3]:
                distance = int(move[2] or 1)
                row = max(0, row - distance) if move[3] == "A" else min(len(rows) - 1, row + distance)
        row += 1
    return rows


def _cells(piece: "Text", names: dict["Style", str]) -> list[Run]:
    """Return the characters of decoded text, each with its classes; `names`: those of styles met before."""
    cells = [("", character) for character in piece.plain]
    for span in piece.spans:
        if isinstance(span.style, str):
            continue
        if span.style not in names:
            names[span.style] = " ".join(_classes(span.style))
        for n in range(span.start, span.end):
            cells[n] = (names[span.style], cells[n][1])
    return cells


def _runs(row: Sequence[Run]) -> Iterator[Run]:
    """Yield the runs of equal style of one row."""
    for classes, cells in groupby(row, key=lambda cell: cell[0]):
        yield classes, inert("".join(character for _, character in cells))


def _classes(style: "Style") -> Iterator[str]:
    """Yield the classes of a style: `ansi-red`, `ansi-on-red`, `ansi-bold`."""
    from rich.color import ColorSystem

    for prefix, colour in (("ansi-", style.color), ("ansi-on-", style.bgcolor)):
        if colour is not None and not colour.is_default:
            number = colour.downgrade(ColorSystem.STANDARD).number
            yield f"{prefix}{_COLOURS[(number or 0) % 8]}"
    yield from (f"ansi-{name}" for name in _STYLES if getattr(style, name))
    if style.reverse:
        yield "ansi-reverse"
