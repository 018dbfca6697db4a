"""Formulas of task.toml: arithmetic over names, and nothing else."""

import pytest

from agent.search.formula import Expression

NAMES = ("DEPTH", "RATIO", "HEAD_DIM")
AT = {"DEPTH": 5, "RATIO": 50, "HEAD_DIM": 64}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DEPTH * RATIO", 250),
        ("(DEPTH + 1) * 2 - 1", 11),
        ("ceil(DEPTH * RATIO / HEAD_DIM) * HEAD_DIM", 256),
        ("RATIO // HEAD_DIM + floor(2.5)", 2),
        ("max(DEPTH, RATIO, 7) / min(DEPTH, 10)", 10),
        ("RATIO % HEAD_DIM - 7 ** 2", 1),
        ("-DEPTH ** 2", -25),
    ],
)
def test_a_formula_has_its_value(text: str, value: float) -> None:
    assert Expression(text, NAMES)(AT) == value


def test_definitions_name_parts_and_may_use_each_other() -> None:
    parts = {"width": "ceil(raw / HEAD_DIM) * HEAD_DIM", "raw": "DEPTH * RATIO"}
    assert Expression("width * width", NAMES, parts)(AT) == 256**2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DEPTH * WIDTH", "WIDTH in 'DEPTH * WIDTH' is not a name"),
        ("DEPTH *", "is not a formula"),
        ("__import__('os')", "is not allowed"),
        ("DEPTH.real", "is not allowed"),
        ("DEPTH << 9", "is not allowed"),
        ("min(DEPTH)", "is not allowed"),
        ("ceil(DEPTH, 2)", "is not allowed"),
        ("DEPTH * 1" + "0" * 400, "is not allowed"),
        ("+".join(["DEPTH"] * 5000), "nested too deeply"),
        ("'a' * 3", "is not allowed"),
        ("ceil(x=1)", "is not allowed"),
        ("DEPTH if RATIO else 1", "is not allowed"),
    ],
)
def test_all_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"formula|name|none of|nested") as error:
        Expression(text, NAMES)
    assert message in str(error.value)


def test_circles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"is not a name in \[space\]"):
        Expression("a", NAMES, {"a": "b", "b": "a"})


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("text", ["9 ** 9 ** 9 ** 9", "(0 - DEPTH) ** 0.5", "DEPTH % 0", "ceil(9 ** 300 * 9 ** 300)"])
def test_what_is_undefined_or_too_large_ends_at_once(text: str) -> None:
    with pytest.raises(ArithmeticError):
        Expression(text, NAMES)(AT)
