"""What is written can be handed back: short, within its range, and no two points of a range look alike."""

import json
import random

import pytest

from agent.edits.edit import Value
from agent.modes.prompting.space_text import as_json, changes, same, written, written_mean, written_spread
from agent.search.parameters import Categorical, Float, Int, Parameter
from agent.search.space import SearchSpace

EMA = Float("EMA", 0.9996, 0.999975)
RATE = Float("RATE", 0.0005, 0.05, log=True)
DECAY = Float("DECAY", 0.0, 0.5)
AWKWARD = [
    EMA,
    RATE,
    DECAY,
    Float("BETA", 0.8, 0.9875),
    Float("LOW", 0.00012345, 1.0, log=True),
    Float("NARROW", 0.99, 0.99123456, log=True),
    Float("NEAR_ONE", 0.99999996, 0.9999999975),
    Float("SIGNED", -0.123456, 0.0),
    Float("LARGE", 1234567.0, 1234999.0),
]


@pytest.mark.parametrize("parameter", AWKWARD, ids=lambda parameter: parameter.name)
def test_what_is_written_lies_in_its_range_and_moves_by_a_thousandth_of_it_at_most(parameter: Float) -> None:
    chance = random.Random(0)
    for u in [0.0, 1.0, *(chance.random() for _ in range(200)), 1e-9, 1 - 1e-9]:
        value = parameter.decode(u)
        back = parameter.read(json.loads(written(parameter, value)))
        assert abs(parameter.encode(back)[0] - parameter.encode(value)[0]) <= 1.0001e-3


@pytest.mark.parametrize("parameter", AWKWARD, ids=lambda parameter: parameter.name)
def test_hundredths_of_a_range_are_distinguished(parameter: Float) -> None:
    assert len({written(parameter, parameter.place(i / 100)) for i in range(101)}) == 101


@pytest.mark.parametrize(
    ("parameter", "value", "short"),
    [
        (RATE, 0.037149, "0.0371"),
        (RATE, 0.04, "0.04"),
        (DECAY, 0.213678, "0.214"),
        (DECAY, 0.0, "0"),
        (Float("STEPS", 1e3, 1e6, log=True), 61234.5, "61200"),
        (EMA, 0.9999, "0.9999"),
        (EMA, 0.99987654, "0.9998765"),
        (Float("BETA", 0.8, 0.9875), 0.9875, "0.9875"),
        (Int("DEPTH", 1, 8), 3, "3"),
        (Categorical("ACT", ("relu", "gelu")), "gelu", "gelu"),
        (Categorical("MOMENTUM", (0.9, 0.99975)), 0.99975, "0.99975"),
    ],
)
def test_it_is_as_short_as_that_allows(parameter: Parameter, value: Value, short: str) -> None:
    assert written(parameter, value) == short


def test_a_mean_and_a_spread_tell_where_a_narrow_search_stands() -> None:
    assert written_mean(EMA, 0.99987654) == "0.999877"
    assert written_mean(Int("DEPTH", 1, 8), 4.13) == "4.1"
    assert written_mean(Int("TOKENS", 1000, 1010), 1004.31) == "1004.3"
    assert written_spread(0.0000623, is_factor=False) == "6.2e-05"
    factors = [written_spread(factor, is_factor=True) for factor in (1.8, 1.312, 1.000342, 2.44)]
    assert factors == ["x1.8", "x1.31", "x1.00034", "x2.4"]


def test_a_configuration_comes_back_as_itself_at_the_digits_written_and_as_no_other() -> None:
    space = SearchSpace((EMA, RATE, Int("DEPTH", 1, 8), Categorical("MOMENTUM", (0.9, 0.99975))))
    params = {"EMA": 0.99985963, "RATE": 0.0123456, "DEPTH": 3, "MOMENTUM": 0.99975}
    back = json.loads(as_json(space, params))
    assert space.validate(back) == []
    assert same(space, space.canonical(back), params)
    assert not same(space, {**params, "EMA": 0.99986}, params)
    assert not same(space, {**params, "MOMENTUM": 0.9}, params)


def test_a_title_says_what_has_changed() -> None:
    space = SearchSpace((EMA, RATE))
    assert changes(space, {"EMA": 0.9998, "RATE": 0.01}, {"EMA": 0.99985, "RATE": 0.01}) == "EMA 0.9998→0.99985"
