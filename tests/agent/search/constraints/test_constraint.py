"""Constraints of a space: a small language of comparisons, read without running anything."""

from collections.abc import Mapping

import pytest

from agent.edits.edit import Value
from agent.search.constraints.constraint import read_constraint
from agent.search.space import SearchSpace

NAMES = {"N_EMBD": True, "N_HEAD": True, "LR": True, "MIN_LR": True, "ACT": False}
CONSTANTS: Mapping[str, Value] = {"TOTAL": 100, "KIND": "gelu", "N_EMBD": 1}
AT: Mapping[str, Value] = {"N_EMBD": 384, "N_HEAD": 6, "LR": 1e-3, "MIN_LR": 1e-4, "ACT": "gelu"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("N_EMBD % N_HEAD == 0", True),
        ("N_EMBD % (N_HEAD + 1) == 0", False),
        ("MIN_LR <= LR", True),
        ("0 < MIN_LR <= LR < 1", True),
        ("N_HEAD < TOTAL and not N_EMBD // N_HEAD > TOTAL", True),
        ("N_EMBD < 9 or ACT == 'gelu'", True),
        ("ACT != KIND", False),
        ("N_EMBD == 384", True),  # the space's value, not the script's
        ("N_EMBD % (N_HEAD - 6) == 0", False),  # undefined
        ("9 ** 300 * 9 ** 300 > 1", False),  # undefined: too large
        ("max(N_HEAD, 8) == 2 ** 3", True),
        ("(N_EMBD\n % N_HEAD) == 0", True),
    ],
)
def test_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert read_constraint(text, NAMES, CONSTANTS).holds(AT) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("N_EMB % N_HEAD == 0", "N_EMB in 'N_EMB % N_HEAD == 0' is neither a name in"),
        ("N_EMBD % N_HEAD", "'N_EMBD % N_HEAD' in 'N_EMBD % N_HEAD' is no condition; compare formulas"),
        ("N_EMBD %", "'N_EMBD %' is not a condition"),
        ("N_EMBD\0 < 1", "is not a condition"),
        ("__import__('os').system('x') == 0", "is not allowed"),
        ("N_EMBD.real == 0", "is not allowed"),
        ("(lambda: 1)() == 1", "is not allowed"),
        ("[1 for x in N_HEAD] == 1", "is not allowed"),
        ("N_EMBD in (1, 2)", "is no condition"),
        ("N_EMBD is N_HEAD", "is no condition"),
        ("True", "is no condition"),
        ("N_EMBD == True", "is not allowed"),
        ("(x := 3) == 3", "is not allowed"),
        ("ACT < 'relu'", "compare a text only with a text"),
        ("ACT == 3", "compare a text only with a text"),
        ("ACT * 2 > 1", "ACT in 'ACT * 2 > 1' is a text"),
        ("not " * 400 + "N_EMBD > 1", "nested too deeply"),
        (3, "3 is not a string; write the condition in quotes"),
    ],
)
def test_all_else_is_refused(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"condition|name|allowed|text|nested") as refused:
        read_constraint(text, NAMES, CONSTANTS)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_point_that_breaks_a_constraint_is_no_point_and_the_fault_has_its_values() -> None:
    tables = {"WIDTH": {"type": "int", "low": 1, "high": 99}, "HEADS": {"type": "int", "low": 1, "high": 9}}
    space = SearchSpace.from_tables(tables, constraints=["WIDTH % HEADS == 0"])
    assert space.validate({"WIDTH": 8, "HEADS": 4}) == []
    assert space.validate({"WIDTH": 8, "HEADS": 3}) == ["WIDTH % HEADS == 0 does not hold with WIDTH = 8, HEADS = 3"]
    assert space.plain().validate({"WIDTH": 8, "HEADS": 3})
    assert all(int(point["WIDTH"]) % int(point["HEADS"]) == 0 for point in space.all_points())
    with pytest.raises(ValueError, match=r"^space\.constraints: 'WIDTH < 1' is not a list"):
        SearchSpace.from_tables(tables, constraints="WIDTH < 1")
