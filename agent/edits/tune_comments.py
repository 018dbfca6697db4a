"""Ranges that a script declares for its own constants: `WINDOW = 128  # tune: 32..1024 log2`.

A comment `# tune: LO..HI`, with `log`, `log2` or `int` behind it if needed, gives a module-level constant a range;
`# tune: a|b|c` lists its values. Python ignores both. A script with another range is another proposal, so ranges count
in its fingerprint.
"""

import io
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.edits.assignments import all_constants, literal_value, plain_assignments, read_constants
from agent.edits.edit import Value
from agent.edits.syntax import BYTE_ORDER_MARK, parse_expression, parse_script
from agent.errors import EditError
from agent.text import cut

_COMMENT = re.compile(r"#\s*tune\s*:\s*([^#]*)")
_EXAMPLES = "write `# tune: 32..1024 log2`, `# tune: 0.001..0.1 log` or `# tune: 1..8`; for choices `# tune: relu|gelu`"
_SCALES = ("log", "log2", "int")
_MOST_FAULTS, _FAULT_COLUMNS = 5, 300  # in one message: a script may have any number of comments, of any length


@dataclass(frozen=True)
class TuneComment:
    """One such comment."""

    line: int  # 1 is the first
    names: tuple[str, ...]  # the constants that its line assigns; a valid comment has one
    text: str  # what follows `tune:`, blanks normalised


def tune_comments(source: str) -> list[TuneComment]:
    """Return the comments `# tune: ...` of a script that parses, in the order of the text."""
    if "tune" not in source:
        return []
    try:
        marked = dict(_marked_lines(source))
        module = parse_script(source)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return []
    names: dict[int, list[str]] = {}
    for name, node in plain_assignments(module):
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            names.setdefault(line, []).append(name)
    return [TuneComment(line, tuple(names.get(line, ())), text) for line, text in marked.items()]


def ranges_text(source: str) -> str:
    """Return all ranges that a script declares, as one text for its fingerprint; empty if it declares none."""
    return "\n".join(sorted(f"{','.join(each.names)}: {each.text}" for each in tune_comments(source)))


def declared_ranges(source: str) -> dict[str, Mapping[str, Any]]:
    """Return the declared ranges by name, each as a table of `[space]` in task.toml.

    Bounds and values are not compared here; the search space does that.

    Raises:
        EditError: a comment has no constant, or no range; the message has one line for each, up to five.
    """
    comments = tune_comments(source)
    values = all_constants(source, any_case=True) if comments else {}
    faults, found = [], dict[str, Mapping[str, Any]]()
    for comment in comments:
        try:
            name = _name(comment, found)
            value = values[name] if name in values else read_constants(source, [name])[name]  # the latter says why not
            found[name] = _table(name, value, comment.text)
        except EditError as fault:
            faults.append(f"line {comment.line}: {fault}")
    if faults:
        raise EditError(faults_text(faults))
    return found


def faults_text(faults: Sequence[str]) -> str:
    """Return the first faults, one a line, none of them long, and how many others there are."""
    lines = [cut(fault, _FAULT_COLUMNS) for fault in faults[:_MOST_FAULTS]]
    others = len(faults) - len(lines)
    return "\n".join([*lines, *[f"and {others} more comments `# tune:` are wrong"] * (others > 0)])


def _name(comment: TuneComment, found: Mapping[str, object]) -> str:
    if len(comment.names) != 1:
        which = " and ".join(comment.names) or "no constant NAME = value at module level"
        raise EditError(
            f"the comment `# tune: {comment.text}` is on a line that assigns {which}; give each number that should be "
            "tuned a constant of its own at module level, on one line with its comment"
        )
    if comment.names[0] in found:
        raise EditError(f"{comment.names[0]} has two comments `# tune:`; leave one")
    return comment.names[0]


def _table(name: str, value: Value, text: str) -> Mapping[str, Any]:
    """Return the table of [space] that a comment states. Raises EditError if it states none."""
    if "|" in text:
        choices = [_choice(part.strip()) for part in text.split("|")]
        is_ordered = all(isinstance(choice, int | float) for choice in choices)
        listed = sorted(choices, key=float) if is_ordered else choices
        return {"type": "categorical", "choices": listed, "ordered": is_ordered}
    low_text, dots, rest = text.partition("..")
    high_text, *words = rest.split() or [""]
    low, high = _bound(low_text), _bound(high_text)
    if not dots or low is None or high is None:
        raise EditError(f"`# tune: {text}` is no range for {name}; {_EXAMPLES}")
    if isinstance(value, str):
        raise EditError(f"{name} = {value!r} is a text, so it has choices, not a range; {_EXAMPLES}")
    if unknown := [word for word in words if word not in _SCALES]:
        raise EditError(f"`# tune: {text}`: {unknown[0]!r} is not one of {', '.join(_SCALES)}; {_EXAMPLES}")
    is_whole = all(isinstance(number, int) for number in (low, high, value)) or "int" in words
    if "log2" in words:
        return {"type": "power_of_two", "low": low, "high": high}
    kind = {"type": "int"} if is_whole else {"type": "float"}
    return {**kind, "low": low, "high": high, "log": "log" in words}


def _bound(text: str) -> int | float | None:
    """Return the number that a bound spells, such as 1e-4 or 2**14; None if it is none."""
    try:
        value = literal_value("bound", parse_expression(text.strip()))
    except (EditError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return None if isinstance(value, str) else value


def _choice(text: str) -> Value:
    """Return a choice: the number or quoted text that it spells, or the text as it stands."""
    try:
        return literal_value("choice", parse_expression(text))
    except (EditError, SyntaxError, ValueError, RecursionError, MemoryError):
        if not text:
            raise EditError(f"one of the choices is empty; {_EXAMPLES}") from None
        return text


def _marked_lines(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment that states a range."""
    text = source.removeprefix(BYTE_ORDER_MARK)
    for token in tokenize.generate_tokens(io.StringIO(text, newline=None).readline):
        if token.type == tokenize.COMMENT and (found := _COMMENT.search(token.string)):
            yield token.start[0], " ".join(found[1].split())
