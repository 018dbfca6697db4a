"""A JSON answer is read strictly, and a fault names the key."""

import math

import pytest

from agent.edits.replies.json_object import json_object
from agent.edits.replies.single_line import parse
from agent.errors import EditError


@pytest.mark.parametrize("value", ["1_000", "0x10", "1,000", "+1", ".5", "１２", "0,5", "1e", "'3'", "01"])
def test_a_value_that_is_no_json_is_refused_with_its_key(value: str) -> None:
    with pytest.raises(EditError, match="LR: `"):
        json_object(f'{{"DEPTH": 4, "LR": {value}, "WIDTH": 2}}')


@pytest.mark.parametrize("value", ["1e999", "9" * 5_000, "-" + "9" * 5_000, "Infinity"])
def test_numbers_beyond_floats_are_infinite(value: str) -> None:
    assert math.isinf(float(str(json_object(f'{{"LR": {value}}}')["LR"])))


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ('{"LR": 1, "LR": 2}', "LR is given twice, as 1 and 2"),
        ('{"a": {"LR": 1, "LR": 2}}', "LR is given twice"),
        ('{"LR": 1} {"LR": 2}', "more than one JSON object"),
        ('[{"LR": 1}, {"LR": 2}]', "more than one JSON object"),
        ("none", "no JSON object"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"LR": 1', "not one JSON object"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(reply: str, problem: str) -> None:
    with pytest.raises(EditError, match=problem):
        json_object(reply)


def test_prose_and_fences_around_it_do_not_matter() -> None:
    assert json_object('So:\n```json\n{"LR": 1}\n```\nThat is all.') == {"LR": 1}


def test_one_line_takes_no_other_keys() -> None:
    with pytest.raises(EditError, match="has a key 'search2'"):
        parse('{"title": "t", "search": "a", "replace": "b", "search2": "c", "replace2": "d"}')
