"""An edit that touches a schedule, a batch or a seed is found, and others are let be."""

import pytest

from agent.edits.line_diff import touched

SOURCE = """\
WARMUP_RATIO = 0.1
WIDTH = 64

def lr_factor(progress):
    if progress < WARMUP_RATIO:
        return progress / WARMUP_RATIO
    return 1.0

def forward(x):
    x = x + 1
    return x  # seed of all
"""
NAMES = ("warmup", "lr_factor", "SEED")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("WARMUP_RATIO = 0.1", "WARMUP_RATIO = 0.2", "warmup"),
        ("    return 1.0\n", "    return 0.5\n", "lr_factor"),
        ("    return 1.0\n", "", "lr_factor"),
        ("    return x  # seed of all\n", "", "SEED"),
        ("WIDTH = 64\n", "WIDTH = 64\ntorch.manual_seed(3)\n", "SEED"),
        ("WIDTH = 64", "WIDTH = 32", None),
        ("    x = x + 1\n", "    x = x + 2\n", None),
        ("\ndef forward", "\n# no more\ndef forward", None),
    ],
)
def test_lines_and_functions_that_name_it_count(old: str, new: str, found: str | None) -> None:
    assert SOURCE.count(old) == 1
    assert touched(SOURCE, SOURCE.replace(old, new), NAMES) == found


def test_the_same_source_touches_nothing() -> None:
    assert touched(SOURCE, SOURCE, NAMES) is None


def test_a_script_that_does_not_parse_is_judged_by_its_lines() -> None:
    assert touched("WIDTH = (\n", "WIDTH = (\nSEED = 1\n", NAMES) == "SEED"


def test_a_script_that_nobody_can_parse_is_compared_by_its_lines() -> None:
    nested = f"x = {'-' * 9000}1\n"
    assert touched("x = 1\n", nested, ("warm",)) is None
    assert touched("x = 1\n", f"{nested}warmup = 1\n", ("warm",)) == "warm"


def test_thousands_of_equal_lines_are_not_aligned_and_all_between_counts() -> None:
    def script(number: int, n_lines: int) -> str:
        return f"A = {number}\n" + "x\n" * n_lines + f"SEED = 1\nB = {number}\n"

    assert touched(script(1, 20), script(2, 20), NAMES) is None
    assert touched(script(1, 30_000), script(2, 30_000), NAMES) == "SEED"
