"""No edit that cannot run reaches a sandbox, and one that says the same is known for it."""

import pytest

from agent.edits.guard import Guard, fingerprint
from agent.errors import EditError

PARENT = '"""A script."""\n\nDEPTH = 4  # layers\n\n\ndef load(path):\n    """Read it."""\n    return path\n'


def test_an_edit_that_changes_something_passes() -> None:
    edited = PARENT.replace("DEPTH = 4", "DEPTH = 6")
    assert Guard(required=("load", "DEPTH")).check(edited) == fingerprint(edited)


@pytest.mark.parametrize(
    "same",
    [
        PARENT + "# the end\n",
        PARENT.replace("# layers", "# how deep"),
        PARENT.replace("A script.", "Another."),
        PARENT.replace('    """Read it."""\n', ""),
        PARENT.replace("DEPTH = 4", "DEPTH=( 4 )"),
    ],
)
def test_comments_docstrings_and_formatting_are_no_change(same: str) -> None:
    assert fingerprint(same) == fingerprint(PARENT)


def test_a_string_that_is_no_docstring_counts() -> None:
    assert fingerprint("x = 'a'\n") != fingerprint("x = 'b'\n")


def test_a_syntax_error_is_named_with_its_line() -> None:
    with pytest.raises(EditError, match="in line 3: DEPTH = = 4"):
        Guard().check(PARENT.replace("DEPTH = 4", "DEPTH = = 4"))


@pytest.mark.parametrize("text", ["x = 1\x00\n", "x = '\ud800'\n", "(" * 1000 + ")" * 1000, "-" * 100_000 + "1"])
def test_what_no_python_can_read_is_an_edit_error(text: str) -> None:
    with pytest.raises(EditError):
        Guard().check(text)


@pytest.mark.parametrize("definition", ["from a import load", "import load", "load, x = 1, 2", "class load: pass"])
def test_a_required_name_may_be_defined_in_any_way(definition: str) -> None:
    Guard(required=("load",)).check(definition + "\n")


@pytest.mark.parametrize("text", ["x = 1\n", "def f():\n    load = 1\n", "load: int\n", "load\n"])
def test_a_required_name_that_is_gone_is_named(text: str) -> None:
    with pytest.raises(EditError, match="no longer defines load"):
        Guard(required=("load",)).check(text)


def test_size_is_capped() -> None:
    with pytest.raises(EditError, match="50 are allowed"):
        Guard(max_bytes=50).check("x = 1\n" * 20)
