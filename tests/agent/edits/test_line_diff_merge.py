"""Carrying changes over: what two sides changed apart is in the result, and what both changed is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edits.line_diff import _any_clash, _clash, _hunks, merged, n_changed_lines

BASE = "A = 1\nB = 2\nC = 3\n"
TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=12).map("".join)


def test_changes_of_neighbouring_lines_are_both_made() -> None:
    assert merged(BASE, "A = 9\nB = 2\nC = 3\n", "A = 1\nB = 8\nC = 3\n") == "A = 9\nB = 8\nC = 3\n"


def test_a_line_that_both_have_changed_is_refused_unless_they_agree() -> None:
    ours, theirs = "A = 9\nB = 2\nC = 3\n", "A = 8\nB = 2\nC = 3\n"
    assert merged(BASE, ours, theirs) is None
    assert merged(BASE, ours, ours) == ours


def test_two_insertions_at_one_place_have_no_order() -> None:
    assert merged(BASE, BASE + "D = 4\n", BASE + "E = 5\n") is None


def test_an_insertion_beside_a_changed_line_keeps_its_side() -> None:
    ours = "A = 1\nN = 0\nB = 2\nC = 3\n"
    assert merged(BASE, ours, "A = 1\nB = 8\nC = 3\n") == "A = 1\nN = 0\nB = 8\nC = 3\n"


def test_a_line_within_what_the_other_took_out_is_refused() -> None:
    assert merged(BASE, "", "A = 1\nB = 2\nX = 0\nC = 3\n") is None


@given(TEXTS, TEXTS)
def test_with_one_side_unchanged_the_other_is_the_result(base: str, other: str) -> None:
    assert merged(base, base, other) == other
    assert merged(base, other, base) == other
    assert merged(base, other, other) == other


@given(TEXTS, TEXTS, TEXTS)
def test_it_does_not_matter_which_side_is_ours(base: str, one: str, other: str) -> None:
    assert merged(base, one, other) == merged(base, other, one)


@given(TEXTS, TEXTS)
def test_no_line_is_changed_exactly_where_the_texts_are_equal(old: str, new: str) -> None:
    assert (n_changed_lines(old, new) == 0) == (old == new)


@given(TEXTS, TEXTS, TEXTS)
def test_a_clash_is_found_wherever_it_is(base: str, one: str, other: str) -> None:
    lines = base.splitlines(keepends=True)
    own, others = _hunks(lines, one), _hunks(lines, other)
    assert _any_clash(own, others) == any(_clash(a, b) for a in own for b in others)


@pytest.mark.usefixtures("alarm")
def test_thousands_of_lines_that_come_and_go_are_merged_or_refused_at_once() -> None:
    base, swapped = "a\nb\n" * 20_000, "b\na\nc\n" * 15_000
    assert n_changed_lines(base, swapped) == 85_000  # as one block: to align 1,000 of them took 25 s
    assert merged(base, swapped, base + "d\n") == swapped + "d\n"
    assert merged(base, swapped, "b\nc\n" + base[2:]) is None
    numbered = [f"{number}\n" for number in range(40_000)]
    odd = "".join(line if n % 2 else "x" + line for n, line in enumerate(numbered))
    assert merged("".join(numbered), odd, "".join(numbered)) == odd
