"""No edit that cannot run reaches a sandbox, and one that says the same is known for it."""

import pytest

from agent.edits.guard import Guard, fingerprint, imports_of
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
    with pytest.raises(EditError, match=r"does not parse: \S"):
        Guard().check(text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_number_that_python_cannot_print_is_named_with_its_line(end: str) -> None:
    with pytest.raises(EditError, match="line 3 has a number of more than 4300 digits: b = 0xfff"):
        Guard().check(f"a = 1{end}a = 2{end}b = 0x{'f' * 4000}{end}")


@pytest.mark.parametrize("definition", ["from a import load", "import load", "load, x = 1, 2", "class load: pass"])
def test_a_required_name_may_be_defined_in_any_way(definition: str) -> None:
    Guard(required=("load",)).check(definition + "\n")


@pytest.mark.parametrize("text", ["x = 1\n", "def f():\n    load = 1\n", "load: int\n", "load\n"])
def test_a_required_name_that_is_gone_is_named(text: str) -> None:
    with pytest.raises(EditError, match="no longer defines load"):
        Guard(required=("load",)).check(text)


def test_size_is_capped() -> None:
    with pytest.raises(EditError, match="the limit is 50"):
        Guard(max_bytes=50).check("x = 1\n" * 20)


@pytest.mark.parametrize("signature", ["()", "(path, device)", "(*, path)", "(path, *, device)"])
def test_load_must_take_one_argument(signature: str) -> None:
    with pytest.raises(EditError, match="calls load with one argument"):
        Guard(required=("load",)).check(f"def load{signature}:\n    pass\n")


@pytest.mark.parametrize("signature", ["(path)", "(path, device='cpu')", "(*paths)", "(path, /, *, device=None)"])
def test_load_may_have_defaults(signature: str) -> None:
    Guard(required=("load",)).check(f"def load{signature}:\n    pass\n")


USES_FROZEN = "from prepare import MAX_LEN, evaluate\nimport score\nimport os\n"


def test_what_comes_from_frozen_files_is_known() -> None:
    assert imports_of(USES_FROZEN, ["prepare.py", "score.py"]) == {"prepare.MAX_LEN", "prepare.evaluate", "score"}


@pytest.mark.parametrize(
    ("edited", "problem"),
    [
        ("from prepare import MAX_LEN\nimport score\n", "no longer imports prepare.evaluate"),
        (USES_FROZEN + "def evaluate():\n    return 0.0\n", "redefines evaluate, which a fixed file defines"),
        (USES_FROZEN + "for MAX_LEN in (1, 2): pass\n", "defines MAX_LEN"),
    ],
)
def test_what_comes_from_frozen_files_stays(edited: str, problem: str) -> None:
    guard = Guard(frozen_imports=imports_of(USES_FROZEN, ["prepare.py", "score.py"]))
    guard.check(USES_FROZEN + "evaluate(MAX_LEN)\n")
    with pytest.raises(EditError, match=problem):
        guard.check(edited)


def test_where_to_save_must_stay() -> None:
    guard = Guard(texts=("TRAIN_OUTPUT",))
    guard.check("save(os.environ['TRAIN_OUTPUT'])\n")
    with pytest.raises(EditError, match="no longer uses 'TRAIN_OUTPUT'"):
        guard.check("save('model.bin')  # TRAIN_OUTPUT\n")


@pytest.mark.parametrize("number", ["0x" + "f" * 5_000, "-0x" + "f" * 5_000, "0b1" + "0" * 20_000, "0o7" + "7" * 9_000])
def test_an_integer_that_python_cannot_print_is_refused_with_its_line(number: str) -> None:
    with pytest.raises(EditError, match=r"line 2 has a number of more than 4300 digits: SEED = -?0"):
        Guard().check(f"import os\nSEED = {number}\n")
