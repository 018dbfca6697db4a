"""Two versions side by side: every line is there, changed words are marked, long unchanged parts are folded."""

import random

from agent.report.html.texts.side_by_side import CONTEXT, DiffRow, side_by_side


def left(rows: list[DiffRow]) -> list[str]:
    return [row.left.text for row in rows if row.left is not None]


def right(rows: list[DiffRow]) -> list[str]:
    return [row.right.text for row in rows if row.right is not None]


def marked(row: DiffRow) -> tuple[list[str], list[str]]:
    sides = (row.left, row.right)
    return tuple([text for text, is_changed in side.parts if is_changed] if side else [] for side in sides)  # type: ignore[return-value]


def test_only_the_changed_words_of_a_changed_line_are_marked() -> None:
    (row,) = side_by_side("LR = 0.1  # of the decay", "LR = 0.25  # of the decay")
    assert marked(row) == (["0.1"], ["0.25"])
    assert row.to_json() == [[1, "LR = ", "0.1", "  # of the decay"], [1, "LR = ", "0.25", "  # of the decay"]]


def test_equal_texts_have_no_rows() -> None:
    assert side_by_side("a\nb\n", "a\nb\n") == []


def test_unchanged_lines_far_from_a_change_are_folded() -> None:
    before = [f"line {n}" for n in range(40)]
    after = [*before[:20], "one more", *before[20:]]
    rows = side_by_side("\n".join(before), "\n".join(after))
    assert [row.n_folded for row in rows if row.n_folded] == [20 - CONTEXT, 20 - CONTEXT]
    assert right(rows) == [*before[20 - CONTEXT : 20], "one more", *before[20 : 20 + CONTEXT]]
    (new,) = [row for row in rows if row.is_changed]
    assert (new.left, new.right.number if new.right else None) == (None, 21)


def test_a_line_stands_beside_the_version_of_it_not_beside_the_next_one() -> None:
    (alone, pair) = side_by_side("y = compute(a, b)", "import os\ny = compute(a, c)")
    assert (alone.left, right([alone])) == (None, ["import os"])
    assert marked(pair) == (["b"], ["c"])


def test_no_line_is_lost_whatever_the_change() -> None:
    chance = random.Random(0)
    for _ in range(200):
        before = [chance.choice("abcdef") * chance.randint(1, 3) for _ in range(chance.randint(0, 12))]
        after = [line for line in before if chance.random() > 0.3] + [chance.choice("xyz")] * chance.randint(0, 2)
        chance.shuffle(after)
        rows = side_by_side("\n".join(before), "\n".join(after))
        if not rows:
            assert before == after or (before in ([], [""]) and after in ([], [""]))
            continue
        assert len(left(rows)) + sum(row.n_folded for row in rows) == max(1, len(before))
        assert len(right(rows)) + sum(row.n_folded for row in rows) == max(1, len(after))
        numbers = [row.left.number for row in rows if row.left is not None]
        assert numbers == sorted(numbers)


def test_invisible_characters_are_shown_by_their_numbers() -> None:
    rows = side_by_side("a", "a\x1b[31m\u202eb")
    assert right(rows) == ["a\\x1b[31m\\u202eb"]


def test_texts_that_cannot_be_aligned_are_shown_all_the_same() -> None:
    rows = side_by_side("x\n" * 5_000, "x\n" * 4_000 + "y\n" * 5_000)
    assert sum(row.is_changed for row in rows) > 0
