"""Ranges in the comments of a script: which are found, which are refused with what advice, and that they count."""

import pytest

from agent.edits.guard import fingerprint
from agent.edits.tune_comments import declared_ranges, ranges_text
from agent.errors import EditError


@pytest.mark.parametrize(
    ("line", "table"),
    [
        ("X = 128  # tune: 32..1024 log2", {"type": "power_of_two", "low": 32, "high": 1024}),
        ("X = 0.01  # tune: 1e-4..1e-1 log", {"type": "float", "low": 1e-4, "high": 0.1, "log": True}),
        ("X = 4  # tune: 1..8", {"type": "int", "low": 1, "high": 8, "log": False}),
        ("X = 2**14  # tune: 2**10 .. 2**18 log", {"type": "int", "low": 1024, "high": 2**18, "log": True}),
        ("X = 0  # tune: 0..0.5", {"type": "float", "low": 0, "high": 0.5, "log": False}),
        ("X = 1.0  # tune: -1..1", {"type": "float", "low": -1, "high": 1, "log": False}),
        ("X: float = 1.0  # layers  # tune: 0..2 # more is slow", {"type": "float", "low": 0, "high": 2, "log": False}),
        ("X = 'relu'  # tune: relu|gelu", {"type": "categorical", "choices": ["relu", "gelu"], "ordered": False}),
        ("X = 8  #tune:16|8|32", {"type": "categorical", "choices": [8, 16, 32], "ordered": True}),
    ],
)
def test_a_comment_is_a_range(line: str, table: dict[str, object]) -> None:
    assert declared_ranges(f"import os\n{line}\n") == {"X": table}


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("X = 3  # tune: 9", "line 1: `# tune: 9` is no range for X; write"),
        ("X = 3  # tune: a..9", "is no range for X"),
        ("X = 3  # tune: 1..9 logg", "'logg' is not one of log, log2, int"),
        ("X = 'a'  # tune: 1..9", "is a text, so it has choices"),
        ("X = 'a'  # tune: a||b", "one of the choices is empty"),
        ("def f():\n    x = 3  # tune: 1..9\n", "line 2: .*assigns no constant NAME = value at module level"),
        ("X = 3; Y = 4  # tune: 1..9", "assigns X and Y; give each number"),
        ("X = f(3)  # tune: 1..9", r"X = f\(3\) is not a plain number or string"),
        ("X = 3  # tune: 1..9\nX = 4  # tune: 1..9\n", "X"),
    ],
)
def test_a_broken_range_is_refused_with_advice(source: str, advice: str) -> None:
    with pytest.raises(EditError, match=advice):
        declared_ranges(source)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(EditError, match=r"line 1: .*\nline 3: "):
        declared_ranges("X = 3  # tune: 9\nY = 2  # tune: 1..3\nZ = 1  # tune: 1..2 up\n")


def test_ranges_count_in_the_fingerprint_and_other_comments_do_not() -> None:
    plain = "X = 128\n"
    assert fingerprint("X = 128  # tokens\n") == fingerprint(plain)
    narrow, wide = fingerprint("X = 128  # tune: 32..256\n"), fingerprint("X = 128  # tune: 32..1024\n")
    assert len({fingerprint(plain), narrow, wide}) == 3
    assert fingerprint("X = 128  #  tune:  32..1024  # tokens\n") == wide


def test_a_text_that_looks_like_a_comment_is_none() -> None:
    assert ranges_text('X = "# tune: 1..2"\n"""\n# tune: 3\n"""\n') == ""
    assert ranges_text("X = 3  # tuned by hand: 1..2\n") == ""
