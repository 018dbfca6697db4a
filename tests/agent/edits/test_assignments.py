"""Assignments: what is written is what is read back, and nothing else changes."""

import ast
import io
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edits.assignments import Assignments, read_constants
from agent.edits.codec import decode, encode
from agent.edits.edit import Value
from agent.errors import EditError

SCRIPT = '''"""Trains."""
import math

DEPTH = 8               # layers — über alles
TOTAL_BATCH_SIZE = 2**19  # tokens a step
LR: float = 0.04
LOW = -1.5; PATTERN = 'SSSL'  # two on a line
TEXT = (
    "a"
    "b"
)

def train(DEPTH=3):
    LR = DEPTH  # a local name, not the constant
    return math.sqrt(LR)
'''
NAMES = ["DEPTH", "TOTAL_BATCH_SIZE", "LR", "LOW", "PATTERN", "TEXT"]

values = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(codec="utf-8"))
)
assignments = st.fixed_dictionaries({name: values for name in NAMES})


def test_reads_literals_arithmetic_and_strings() -> None:
    assert read_constants(SCRIPT, NAMES) == {
        "DEPTH": 8,
        "TOTAL_BATCH_SIZE": 524288,
        "LR": 0.04,
        "LOW": -1.5,
        "PATTERN": "SSSL",
        "TEXT": "ab",
    }


def test_changes_only_the_literals() -> None:
    changed = Assignments({"DEPTH": 12, "LR": 0.031, "PATTERN": "SSLL"}).apply(SCRIPT)
    assert changed == SCRIPT.replace("DEPTH = 8 ", "DEPTH = 12 ").replace("0.04", "0.031").replace("'SSSL'", '"SSLL"')


@given(assignments)
def test_what_is_written_is_read_back(wanted: dict[str, Value]) -> None:
    changed = Assignments(wanted).apply(SCRIPT)
    read = read_constants(changed, NAMES)
    assert {n: (type(v), v) for n, v in read.items()} == {n: (type(v), v) for n, v in wanted.items()}
    assert Assignments(wanted).apply(changed) == changed


@given(assignments, assignments)
def test_the_text_depends_on_the_values_alone(first: dict[str, Value], second: dict[str, Value]) -> None:
    detour = Assignments(second).apply(Assignments(first).apply(SCRIPT))
    assert detour == Assignments(second).apply(SCRIPT)


@given(assignments)
def test_everything_but_the_values_stays(wanted: dict[str, Value]) -> None:
    def skeleton(source: str) -> str:
        module = ast.parse(source)
        for node in module.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                node.value = ast.Constant(0)
        return ast.dump(module)

    def comments(source: str) -> list[str]:
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        return [token.string for token in tokens if token.type == tokenize.COMMENT]

    changed = Assignments(wanted).apply(SCRIPT)
    assert skeleton(changed) == skeleton(SCRIPT)
    assert comments(changed) == comments(SCRIPT)


def test_keeps_windows_line_ends() -> None:
    assert Assignments({"A": 2}).apply("A = 1  # a\r\nB = 1\r\n") == "A = 2  # a\r\nB = 1\r\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("B = 1\n", "no module-level constant A, C"),
        ("A = 1\nA = 2\nC = 1\n", "assigns A more than once"),
        ("A = 1\nC = 1\nif C:\n    A = 2\n", "assigns A more than once"),
        ("A = 1\nC = 1\nC += 1\n", "assigns C more than once"),
        ("A, C = 1, 2\n", "no module-level constant A, C"),
        ("A = min(1, 2)\nC = 1\n", "A = min(1, 2) is not a plain number or string"),
        ("A = True\nC = 1\n", "A = True is not a plain number"),
        ("A = 9**9**9\nC = 1\n", "is not a plain number"),
        ("A = ((((9**64)**64)**64)**64)**64\nC = 1\n", "is not a plain number"),
        (f"A = 0x{'f' * 20_000}\nC = 1\n", "A = ... is not a plain number"),
        (f"A = {'1+' * 800}1\nC = 1\n", ""),
        (f"A = {'-' * 9000}1\nC = 1\n", "does not parse: it is nested too deeply"),
        ("A = 1 / 0\nC = 1\n", "is not a plain number"),
        ("A = (1\n", "does not parse"),
    ],
)
def test_names_what_it_cannot_assign(source: str, message: str) -> None:
    with pytest.raises(EditError) as error:
        Assignments({"A": 1, "C": 2}).apply(source)
    assert message in str(error.value)


def test_a_long_sum_elsewhere_in_the_script_does_not_matter() -> None:
    rest = f"B = {'1 + ' * 1500}1\n"
    assert Assignments({"A": 2}).apply(f"A = 1\n{rest}") == f"A = 2\n{rest}"
    with pytest.raises(EditError, match="assigns A more than once"):
        Assignments({"A": 2}).apply(f"A = 1\nif A:\n    {rest}    A = 3\n")


def test_survives_the_journal() -> None:
    edit = Assignments({"A": 1, "B": 0.5, "C": "x"})
    assert decode(encode(edit)) == edit
