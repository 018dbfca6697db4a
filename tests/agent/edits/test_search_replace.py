"""Blocks apply all or none, in one place only, and a model is told how to mend the rest."""

import contextlib
import json
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.edits.codec import decode, encode
from agent.edits.replies.blocks import parse
from agent.edits.search_replace import Block, SearchReplace, Tolerance
from agent.errors import EditError

SOURCE = """\
import torch

DEPTH = 4  # layers
MATRIX_LR = 0.04  # of Muon


def train():
    for step in range(100):
        loss = forward(step)
        loss.backward()
    return loss
"""


def reply(search: str, replace: str) -> str:
    return f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


DEEPER = reply("DEPTH = 4  # layers\n", "DEPTH = 6  # layers\n")


def test_a_block_replaces_whole_lines() -> None:
    assert parse(DEEPER).apply(SOURCE) == SOURCE.replace("DEPTH = 4", "DEPTH = 6")


@pytest.mark.parametrize(
    "text",
    [
        "TITLE: deeper\n\nI would try this:\n\n" + DEEPER + "\nThat is all.",
        f"```python\n{DEEPER}```\n",
        f"```\n{DEEPER}```\nand so on ```",
        DEEPER.replace("\n", "\r\n"),
        DEEPER.replace("<<<<<<< SEARCH", "<<<<<< SEARCH train.py").replace(">>>>>>> REPLACE", ">>>>>>>> REPLACE  "),
        reply("```python\nDEPTH = 4  # layers\n```\n", "```python\nDEPTH = 6  # layers\n```\n"),
        "".join(f"  {line}\n" for line in DEEPER.splitlines()),
    ],
)
def test_what_models_put_around_a_block_does_not_matter(text: str) -> None:
    assert parse(text).apply(SOURCE) == SOURCE.replace("DEPTH = 4", "DEPTH = 6")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Use a larger model.", "no block found"),
        ("", "no block found"),
        (DEEPER.replace("=======\n", ""), "no ======="),
        (DEEPER.replace(">>>>>>> REPLACE\n", ""), "has no >>>>>>> REPLACE"),
        (DEEPER.replace("=======\n", "=======\n=======\n"), "second ======="),
        (DEEPER.replace(">>>>>>> REPLACE\n", "") + DEEPER, "a new <<<<<<< SEARCH"),
    ],
)
def test_an_incomplete_reply_is_no_edit(text: str, problem: str) -> None:
    with pytest.raises(EditError, match=problem):
        parse(text)


def test_all_or_none_and_every_failed_block_is_named() -> None:
    edit = parse(DEEPER + reply("WIDTH = 8\n", "WIDTH = 9\n") + reply("HEADS = 2\n", "HEADS = 4\n"))
    with pytest.raises(EditError) as refused:
        edit.apply(SOURCE)
    assert "block 2" in str(refused.value)
    assert "block 3" in str(refused.value)
    assert "block 1" not in str(refused.value)


def test_a_failed_match_shows_the_nearest_real_lines() -> None:
    with pytest.raises(EditError, match=r"3 \| DEPTH = 4  # layers"):
        parse(reply("DEPTH = 3  # layers\n", "DEPTH = 6\n")).apply(SOURCE)


def test_a_part_of_a_line_does_not_match() -> None:
    with pytest.raises(EditError, match="not in the script"):
        parse(reply("DEPTH = 4\n", "DEPTH = 6\n")).apply(SOURCE)


def test_a_match_must_be_unique() -> None:
    with pytest.raises(EditError, match=r"2 places \(lines 1, 3\)"):
        parse(reply("x = 1\n", "x = 2\n")).apply("x = 1\ny = 1\nx = 1\n")


def test_an_exact_match_beats_one_that_ignores_space() -> None:
    edit = parse(reply("x = 1\n", "x = 2\n"))
    assert edit.apply("x = 1  \nx = 1\n") == "x = 1  \nx = 2\n"


def test_trailing_space_is_ignored_and_reported() -> None:
    edit = parse(reply("DEPTH = 4  # layers   \n", "DEPTH = 6\n"))
    assert [match.tolerance for match in edit.matches(SOURCE)] == [Tolerance.TRAILING_SPACE]
    assert "DEPTH = 6\n" in edit.apply(SOURCE)


@pytest.mark.parametrize("margin", ["", "    ", "\t"])
def test_uniform_indentation_is_shifted_and_reported(margin: str) -> None:
    old = "for step in range(100):\n    loss = forward(step)\n"
    new = "for step in range(200):\n\n    loss = forward(step)\n    check(loss)\n"
    edit = parse(reply(_indent(old, margin), _indent(new, margin)))
    assert edit.apply(SOURCE) == SOURCE.replace(_indent(old, "    "), _indent(new, "    "))
    expected = Tolerance.EXACT if margin == "    " else Tolerance.INDENTATION
    assert [match.tolerance for match in edit.matches(SOURCE)] == [expected]


def test_uneven_indentation_does_not_match() -> None:
    with pytest.raises(EditError, match="not in the script"):
        parse(reply("for step in range(100):\nloss = forward(step)\n", "pass\n")).apply(SOURCE)


def test_blocks_are_matched_against_the_same_source() -> None:
    swap = parse(reply("a = 1\n", "a = 2\n") + reply("a = 2\n", "a = 1\n"))
    assert swap.apply("a = 1\na = 2\n") == "a = 2\na = 1\n"


def test_overlapping_blocks_are_refused() -> None:
    with pytest.raises(EditError, match="block 2: it overlaps"):
        parse(reply("a = 1\nb = 1\n", "") + reply("b = 1\nc = 1\n", "")).apply("a = 1\nb = 1\nc = 1\n")


def test_lines_can_be_deleted() -> None:
    assert parse(reply("b = 1\n", "")).apply("a = 1\nb = 1\nc = 1\n") == "a = 1\nc = 1\n"


def test_an_empty_search_is_refused() -> None:
    with pytest.raises(EditError, match="SEARCH is empty"):
        parse(reply("\n", "a = 1\n")).apply("\n")


def test_a_script_with_crlf_keeps_it() -> None:
    assert parse(reply("a = 1\n", "a = 2\nb = 2\n")).apply("a = 1\r\nc = 1\r\n") == "a = 2\r\nb = 2\r\nc = 1\r\n"


lines = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12).filter(
    lambda line: not line.strip().startswith(("<<<<<", "=====", ">>>>>", "```", "~~~"))
)


@st.composite
def edited_scripts(draw: st.DrawFn) -> tuple[str, str, SearchReplace]:
    """A source, what it becomes, and the blocks in between; each SEARCH text is in one place only."""
    kept = draw(st.lists(st.lists(lines, max_size=3), min_size=2, max_size=4))
    old = draw(st.lists(st.lists(lines, max_size=3), min_size=len(kept) - 1, max_size=len(kept) - 1))
    new = draw(st.lists(st.lists(lines, max_size=3), min_size=len(kept) - 1, max_size=len(kept) - 1))
    source, target, blocks = list(kept[0]), list(kept[0]), []
    for number, (before, after, between) in enumerate(zip(old, new, kept[1:], strict=True)):
        unique = [f"@{number}", *before]  # no other line has this sign before its number
        blocks.append(Block(_joined(unique), _joined(after)))
        source += unique + between
        target += after + between
    assume(sum(line.lstrip().startswith("@") for line in source) == len(blocks))
    return _joined(source), _joined(target), SearchReplace(tuple(blocks))


@given(edited_scripts())
def test_a_written_edit_gives_the_target_and_nothing_else(case: tuple[str, str, SearchReplace]) -> None:
    source, target, edit = case
    written = "\n".join(reply(block.search, block.replace) for block in edit.blocks)
    assert parse(written) == edit
    assert parse(written).apply(source) == target
    assert decode(json.loads(json.dumps(encode(edit)))) == edit


PIECES = ["<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```", "\n", "\r\n", "DEPTH = 4", "\t", " ", "\x00", "\ud800"]


@given(st.randoms(use_true_random=False))
@settings(max_examples=500)
def test_mutated_replies_raise_edit_error_or_apply(chance: random.Random) -> None:
    text = DEEPER + reply("    return loss\n", "    return 2 * loss\n")
    for _ in range(chance.randrange(1, 6)):
        at, length = chance.randrange(len(text) + 1), chance.randrange(8)
        text = text[:at] + chance.choice(PIECES) + text[at + length :]
    with contextlib.suppress(EditError):  # and from nothing else
        parse(text).apply(SOURCE)


def _indent(text: str, margin: str) -> str:
    return "".join(f"{margin}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def _joined(texts: list[str]) -> str:
    return "".join(f"{line}\n" for line in texts)
