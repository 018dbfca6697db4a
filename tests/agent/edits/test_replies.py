"""A corpus of replies as models write them, by hand or by shape: tests/edits/replies/FORMAT-NAME.txt.

The head of each file says what must come of it: one of the scripts below, or an error with those words.
"""

import contextlib
import random
from pathlib import Path

import pytest

from agent.edits.formats import FORMATS
from agent.errors import EditError

REPLIES = Path(__file__).parents[2] / "edits" / "replies"
SCRIPT = (REPLIES / "script.txt").read_text()
CASES = sorted(REPLIES.glob("*-*.txt"))

DEEPER = ("DEPTH = 4", "DEPTH = 6")
GELU = ("torch.relu", "torch.nn.functional.gelu")
CHANGES = {
    "deeper": [DEEPER],
    "deeper and wider": [DEEPER, ("WIDTH = 128 ", "WIDTH = 256 ")],
    "gelu": [GELU],
    "deeper and gelu": [DEEPER, GELU],
    "clipped": [
        (".backward()\n", ".backward()\n        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"),
    ],
    "no depth comment": [("DEPTH = 4  # layers", "DEPTH = 4")],
    "no width": [("WIDTH = 128  # channels\n", "")],
    "guarded": [("    main()\n", "    torch.manual_seed(0)\n    main()\n")],
}


def read(path: Path) -> tuple[str, str, str]:
    """Return (format, what is expected, reply)."""
    head, _, reply = path.read_text().partition("----\n")
    about = dict(line.split(": ", 1) for line in head.splitlines())
    return about["format"], about["expect"], reply.replace("\n", "\r\n") if "line ends" in about else reply


def changed(name: str) -> str:
    text = SCRIPT
    for old, new in CHANGES[name]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 60
    assert {read(path)[0] for path in CASES} == set(FORMATS)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_reply_comes_to_what_its_file_says(path: Path) -> None:
    form, expected, reply = read(path)
    if expected.startswith("error: "):
        with pytest.raises(EditError) as refused:
            FORMATS[form].parse(reply, "train.py", SCRIPT).apply(SCRIPT)
        assert expected.removeprefix("error: ") in str(refused.value)
    else:
        assert FORMATS[form].parse(reply, "train.py", SCRIPT).apply(SCRIPT) == changed(expected)


PIECES = [
    "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```", "~~~", "@@", "--- a", "+++ b", "+", "-", '"', "\\", "{", "}",
    "\n", "\r\n", "\t", " ", "\x00", "\ud800", "DEPTH = 4", "TITLE:", "<think>",
]  # fmt: skip


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randrange(1, 6)):
        at, length = chance.randrange(len(text) + 1), chance.randrange(8)
        text = text[:at] + chance.choice(PIECES) + text[at + length :]
    return text


def survives(n_mutations: int, seed: int) -> None:
    chance = random.Random(seed)
    replies = [read(path)[::2] for path in CASES]
    for _ in range(n_mutations):
        form, reply = chance.choice(replies)
        reply = mutated(reply, chance)
        for parser in (FORMATS[form], FORMATS["search-replace"]):
            parser.title(reply)
            with contextlib.suppress(EditError):  # and from nothing else
                parser.parse(reply, "train.py", SCRIPT).apply(SCRIPT)


def test_two_thousand_mutations_raise_edit_errors_only() -> None:
    survives(2_000, seed=0)


@pytest.mark.long
def test_a_hundred_thousand_mutations_raise_edit_errors_only() -> None:
    survives(100_000, seed=1)
