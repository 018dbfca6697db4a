"""Damaged replies raise EditError and nothing else, and what is accepted is applied whole."""

import contextlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent.edits.formats import FORMATS
from agent.edits.guard import Guard
from agent.edits.replies.json_object import json_object
from agent.errors import EditError
from agent.search.space import SearchSpace

N_VALUES = 6
SCRIPT = (
    'NOTES = """Notes\n=======\n```\npython train.py\n```\n-- end\n"""\nimport math\n\n'
    + "".join(f"value_{n} = {n}\nprint(math.exp({n}))\n\n" for n in range(N_VALUES))
    + "print(sum(range(10)))\n"
)
SPACE = SearchSpace.from_tables({f"LR_{n}": {"type": "float", "low": 0.0, "high": 10.0} for n in range(4)})
PIECES = [
    "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "<<<<<<< ORIGINAL", ">>>>>>> UPDATED", "```", "```python", "~~~",
    "@@", "@@ -1 +1 @@", "--- a/train.py", "+++ b/train.py", "+", "-", "", "So:", "- a bullet", "import math", "\\",
    "{", "}", '"', "\x0c", "\x00", "\ud800", "NOTES", "# ...",
]  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A line of a reply."""

    text: str
    change: int | None = None  # the change that it belongs to
    is_new: bool = False  # whether it is the line that the change writes
    is_mark: bool = False  # whether it shows that there is a change


def new(n: int) -> str:
    return f"value_{n} = {n + 100}"


def blocks(changed: list[int]) -> list[Line]:
    lines = [Line("TITLE: change"), Line("")]
    for n in changed:
        lines += [Line("<<<<<<< SEARCH", n, is_mark=True), Line(f"value_{n} = {n}", n), Line("=======", n)]
        lines += [Line(new(n), n, is_new=True), Line(">>>>>>> REPLACE", n, is_mark=True), Line("")]
    return lines


def diff(changed: list[int]) -> list[Line]:
    lines = [Line("TITLE: change"), Line("```diff"), Line("--- a/train.py"), Line("+++ b/train.py")]
    for n in changed:
        lines += [Line("@@"), Line(f"-value_{n} = {n}", n), Line(f"+{new(n)}", n, is_new=True, is_mark=True)]
        lines.append(Line(f" print(math.exp({n}))", n))
    return [*lines, Line("```")]


def whole(changed: list[int]) -> list[Line]:
    lines = [Line("TITLE: change"), Line("```python")]
    for text in SCRIPT.splitlines():
        of = next((n for n in changed if text == f"value_{n} = {n}"), None)
        lines.append(Line(text, is_mark=True) if of is None else Line(new(of), of, is_new=True, is_mark=True))
    return [*lines, Line("```")]


def one_line(changed: list[int]) -> list[Line]:
    n = changed[0]
    answer = {"title": "change", "search": f"value_{n} = {n}", "replace": new(n)}
    return [Line(text) for text in json.dumps(answer, indent=1).splitlines()]


WRITTEN: dict[str, Callable[[list[int]], list[Line]]] = {
    "search-replace": blocks,
    "diff": diff,
    "whole-file": whole,
    "lines": one_line,
}


def damaged(lines: list[Line], chance: random.Random) -> list[Line]:
    lines = list(lines)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        text = lines[at].text
        match chance.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, Line(chance.choice(PIECES)))
            case 2:
                lines[at] = Line(text[1:])
            case 3:
                cut = chance.randrange(len(text) + 1)
                lines[at] = Line(text[:cut] + chance.choice(PIECES) + text[cut:])
            case 4:
                lines.insert(at, lines[at])
            case 5:
                lines = lines[: max(1, at)]
        if not lines:
            return [Line("")]
    return lines


def check_format(form: str, n_replies: int, seed: int) -> int:
    """Try damaged replies; return how many were accepted."""
    chance, accepted = random.Random(seed), 0
    for _ in range(n_replies):
        changed = chance.sample(range(N_VALUES), chance.randrange(1, 4))
        lines = damaged(WRITTEN[form](changed), chance)
        reply = "\n".join(line.text for line in lines) + "\n"
        FORMATS[form].title(reply)
        try:
            edited = FORMATS[form].parse(reply, "train.py", SCRIPT).apply(SCRIPT)
            Guard().check(edited)  # as every edit is: it parses
        except EditError:
            continue
        accepted += 1
        shown = {line.change for line in lines if line.is_mark}
        done = edited.split("\n")
        for line in lines:
            if line.is_new and line.change in shown:
                assert line.text.removeprefix("+") in done, reply
        if form == "whole-file":
            assert not [line.text for line in lines if line.is_mark and line.text not in done], reply
        if form == "lines" and (stated_line := re.search(r'"replace": "(value_\d = \d+)"', reply)):
            assert stated_line[1] in done, reply
    return accepted


def check_values(n_replies: int, seed: int) -> int:
    """Try damaged JSON answers; return how many were accepted."""
    chance, accepted = random.Random(seed), 0
    pieces = [*PIECES, "1", ".", "e9", "_", "0x", "NaN", ",", ":", "[", "]", '"LR_1": 3, ', "9" * 5000, "１"]
    for _ in range(n_replies):
        values = {name: chance.randrange(9) / 2 for name in SPACE.names}
        reply = "So:\n```json\n" + json.dumps(values, indent=chance.choice([None, 1])) + "\n```\n"
        for _ in range(chance.randrange(1, 4)):
            at, length = chance.randrange(len(reply) + 1), chance.randrange(4)
            reply = reply[:at] + chance.choice(pieces) + reply[at + length :]
        with contextlib.suppress(EditError, ValueError):
            found = json_object(reply)
            if SPACE.validate(found):
                continue
            accepted += 1
            begin = reply.index("{")
            stated = reply[begin : json.JSONDecoder(strict=False).raw_decode(reply, begin)[1]]
            for name, value in SPACE.canonical(found).items():
                written = re.findall(rf'"{name}": *([-+\w.]+)', stated)
                assert written, reply
                assert all(float(text) == value for text in written), reply
    return accepted


@pytest.mark.parametrize("form", WRITTEN)
def test_a_thousand_damaged_replies_are_applied_whole_or_refused(form: str) -> None:
    assert check_format(form, 1_000, seed=0) > 20


def test_a_thousand_damaged_answers_are_read_whole_or_refused() -> None:
    assert check_values(1_000, seed=0) > 20


@pytest.mark.long
@pytest.mark.parametrize("form", WRITTEN)
def test_a_hundred_thousand_damaged_replies_are_applied_whole_or_refused(form: str) -> None:
    assert check_format(form, 100_000, seed=1) > 2_000


@pytest.mark.long
def test_a_hundred_thousand_damaged_answers_are_read_whole_or_refused() -> None:
    assert check_values(100_000, seed=1) > 2_000
