"""Every line of a diff counts: it is applied, or the reply is refused with the line named."""

import pytest

from agent.edits.line_diff import diff_of
from agent.edits.replies.unified_diff import parse
from agent.errors import EditError

SOURCE = "a = 1.0\nb = 2.0\ndef f():\n    return 0\nc = 3.0\nd = 5.0\n"
HUNK = "@@ -1,6 +1,6 @@\n a = 1.0\n-b = 2.0\n+b = 1.0\n def f():\n     return 0\n c = 3.0\n-d = 5.0\n+d = 1.0\n"
CHANGED = SOURCE.replace("b = 2.0", "b = 1.0").replace("d = 5.0", "d = 1.0")
HEAD = "--- a/train.py\n+++ b/train.py\n"


def edited(reply: str, source: str = SOURCE) -> str:
    return parse(reply, "train.py", source).apply(source)


@pytest.mark.parametrize("lost", [" a = 1.0", " def f():", " c = 3.0"])
def test_context_that_lost_its_blank_is_context(lost: str) -> None:
    assert edited(f"TITLE: x\n```diff\n{HEAD}{HUNK.replace(lost, lost[1:])}```\n") == CHANGED


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (f"```diff\n{HUNK.replace(' def f():', 'def g():')}```\n", 6),
        (f"```diff\n{HUNK.replace('+b = 1.0', 'b = 1.0')}```\n", 5),
        (HUNK.replace("+d = 1.0", "d = 1.0"), 9),
        (f"{HUNK}\nThen:\n+e = 1\n", 12),
        (f"```diff\n{HUNK}```\n```diff\n-d = 5.0\n+d = 0.0\n```\n", 13),
        (f"{HUNK}@@\n```python-d = 5.0\n+d = 0.0\n```\n", 12),
        (f"{HUNK}\nAnd\n- a = 1.0\n", 12),
        (f"{HUNK}```\n\n<<<<<<< SEARCH\na = 1.0\n=======\na = 2.0\n>>>>>>> REPLACE\n", 12),
    ],
)
def test_a_line_that_belongs_to_no_hunk_is_named(reply: str, line: int) -> None:
    source = SOURCE if "- a" not in reply else SOURCE + " a = 1.0\n"
    with pytest.raises(EditError, match=f"line {line} of the reply"):
        edited(reply, source)


@pytest.mark.parametrize(
    "prose",
    [
        "\nLower values:\n- a is steeper\n- d is smaller\n",
        "\n---\nThat is all.\n",
        "-- \n2.39.5\n",
        "\n**Why**\n+ it is fast\n",
    ],
)
def test_prose_and_signatures_behind_a_diff_are_no_part_of_it(prose: str) -> None:
    assert edited(f"{HEAD}{HUNK}{prose}") == CHANGED


def test_lines_with_signs_of_their_own_are_lines_of_the_script() -> None:
    source = 'q = """\n-- old\nselect\n"""\na = 1\n'
    hunk = '@@\n q = """\n--- old\n+++ new\n select\n """\n-a = 1\n+a = 2\n'
    assert edited(HEAD + hunk, source) == source.replace("-- old", "++ new").replace("a = 1", "a = 2")


@pytest.mark.parametrize("margin", [" ", ""])
def test_fences_of_the_script_end_no_hunk(margin: str) -> None:
    source = 'H = """\n```\nuse\n```\n"""\nW = 2.0\n'
    hunk = f'@@\n H = """\n{margin}```\n-use\n+use it\n ```\n """\n-W = 2.0\n+W = 1.0\n'
    assert edited(f"```diff\n{hunk}```\nDone.\n", source) == source.replace("use", "use it").replace("2.0", "1.0")


@pytest.mark.parametrize("odd", ["\x0c", "\x1c", "\u2028", "\x85", "\x0b"])
def test_a_diff_of_ours_applies_whatever_the_lines_hold(odd: str) -> None:
    before, after = f"a = 1\n{odd}\nb = '{odd}'\nc = 1", f"a = 2\n{odd}\nb = '{odd}'\nc = 2"
    assert edited(diff_of("train.py", before, after), before) == after


def test_code_that_is_left_out_is_refused() -> None:
    with pytest.raises(EditError, match="hunk 1: line 1 replaces lines that are left out"):
        edited("@@\n-a = 1.0\n+# ... the rest stays unchanged ...\n b = 2.0\n")
