"""The numbers of a script that are tuned: the task's names that survived, commented ones, and guessed new ones."""

import ast

import pytest

from agent.edits import assignments
from agent.errors import EditError
from agent.modes.centaur_code.tunable_space import check_ranges, own_point, tunable_space
from agent.search.space import SearchSpace

SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 1, "high": 8},
        "WIDTH": {"type": "power_of_two", "low": 32, "high": 512},
    },
    constraints=["WIDTH % DEPTH == 0"],
)
BASELINE = "DEPTH = 4\nWIDTH = 128\nLR = 0.01\nMAX_STEPS = 100\n\n\ndef f():\n    return DEPTH, WIDTH, LR, MAX_STEPS\n"


def names(source: str, declared: SearchSpace | None = SPACE) -> list[str]:
    space = tunable_space(source, BASELINE, declared)
    return [] if space is None else list(space.names)


def test_of_a_task_with_a_space_its_names_are_tuned_and_no_other_constant_of_the_baseline() -> None:
    assert names(BASELINE) == ["DEPTH", "WIDTH"]
    space = tunable_space(BASELINE, BASELINE, SPACE)
    assert space is not None
    assert [rule.text for rule in space.constraints] == ["WIDTH % DEPTH == 0"]
    assert own_point(BASELINE, space) == {"DEPTH": 4, "WIDTH": 128}


def test_new_constants_are_tuned_with_the_range_of_their_comment_or_a_guessed_one() -> None:
    edited = BASELINE.replace("LR", "WARMUP = 0.1  # tune: 0..0.4\nDROP = 0.2\nLR", 1).replace(
        "return", "WARMUP, DROP\n    return"
    )
    space = tunable_space(edited, BASELINE, SPACE)
    assert space is not None
    rows = {row.name: (row.kind, row.low, row.high) for row in space.table()}
    assert rows["WARMUP"] == ("float", 0.0, 0.4)
    assert rows["DROP"] == ("float", 0.0, 0.5)  # as `agent init` guesses a dropout
    assert list(rows) == ["DEPTH", "WIDTH", "WARMUP", "DROP"]


def test_a_name_that_is_gone_or_out_of_its_range_is_left_out_with_its_constraints() -> None:
    for edited in (
        BASELINE.replace("WIDTH = 128", "WIDTH = 2 * DEPTH"),
        BASELINE.replace("WIDTH = 128", "WIDTH = 100"),
    ):
        space = tunable_space(edited, BASELINE, SPACE)
        assert space is not None
        assert space.names == ("DEPTH",)
        assert space.constraints == ()


def test_a_constraint_that_the_script_itself_breaks_is_left_out() -> None:
    space = tunable_space(BASELINE.replace("DEPTH = 4", "DEPTH = 3"), BASELINE, SPACE)
    assert space is not None
    assert (space.names, space.constraints) == (("DEPTH", "WIDTH"), ())


def test_the_range_of_the_task_comes_before_that_of_a_comment() -> None:
    space = tunable_space(BASELINE.replace("DEPTH = 4", "DEPTH = 4  # tune: 2..64"), BASELINE, SPACE)
    assert space is not None
    assert next((row.low, row.high) for row in space.table()) == (1, 8)


def test_of_a_task_without_a_space_every_constant_counts_but_those_that_a_search_leaves_alone() -> None:
    assert names(BASELINE, None) == ["DEPTH", "WIDTH", "LR"]
    assert names("def f():\n    return 3\n", None) == []


@pytest.mark.parametrize("value", ["2**60", "2**63 - 1", "1e-305"])
def test_a_constant_of_which_no_range_can_be_guessed_is_left_alone(value: str) -> None:
    assert names(f"{BASELINE}BIG = {value}\n") == ["DEPTH", "WIDTH"]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("X = 3  # tune: 5..9", "X = 3 and its comment .* do not fit: 3 is outside 5 to 9; change one of them"),
        ("X = 96  # tune: 32..1024 log2", "96 is not one of 32, 64"),
        ("X = 64  # tune: 30..1024 log2", "30 is not a power of two"),
        ("X = 0.1  # tune: 0..1 log", "a log scale needs low > 0"),
        ("X = 'a'  # tune: b|c", "'a' is not one of 'b', 'c'"),
        ("X = 3  # tune: 9..1", "low = 9 is not below high = 1"),
        ("X = 0.0  # tune: -1.7e308..1.7e308", "is too wide a range for floats; give a narrower one"),
    ],
)
def test_a_range_that_does_not_fit_the_value_is_refused(line: str, advice: str) -> None:
    with pytest.raises(EditError, match=advice):
        check_ranges(f"{line}\n")


@pytest.mark.parametrize("comment", ["later", "5..9", f"1..{'9' * 400}"])
def test_a_message_about_many_or_long_ranges_is_short(comment: str) -> None:
    script = "".join(f"X{n} = 3  # tune: {comment}\n" for n in range(400))
    with pytest.raises(EditError) as refused:
        check_ranges(script)
    assert len(str(refused.value)) < 2000
    assert str(refused.value).endswith("and 395 more comments `# tune:` are wrong")


def test_a_script_with_many_ranges_is_parsed_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counted(source: str) -> ast.Module:
        parsed.append(source)
        return ast.parse(source)

    monkeypatch.setattr(assignments, "parse_script", counted)
    check_ranges("".join(f"X{n} = 3  # tune: 1..9\n" for n in range(200)))
    assert 0 < len(parsed) < 5
