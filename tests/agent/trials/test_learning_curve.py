"""What is read of the curve that a script prints."""

import pytest

from agent.task.curve_format import PATTERN, CurveFormat, compiled
from agent.trials.learning_curve import LearningCurve, Point, PruningDecision, level
from agent.trials.trial import Outcome, Status

FORMAT = CurveFormat(compiled(PATTERN), 40.0)


def falling(n_points: int, start: float = 4.0, end: float = 1.0) -> list[Point]:
    return [Point(n / n_points, start + (end - start) * n / n_points) for n in range(n_points + 1)]


@pytest.mark.parametrize(
    ("line", "point"),
    [
        ("step 00120 progress 0.512 loss 4.1234 elapsed 6 s", Point(0.512, 4.1234)),
        ("progress=0.5, loss=-1.5e-3", Point(0.5, -1.5e-3)),
        ("progress: 1 val_loss 2.5 loss: 2", Point(1.0, 2.0)),
        ("progress .5, then progress 0.7x loss 3.", Point(0.5, 3.0)),
        ("progress 0.7x, progress 0.5. loss 3", Point(0.5, 3.0)),
    ],
)
def test_the_default_pattern_reads_what_scripts_print(line: str, point: Point) -> None:
    assert FORMAT.point(line) == point


@pytest.mark.parametrize(
    "line",
    [
        "",
        "loss 4.1",
        "progress 0.5",
        "progress 0.5.1 loss 3",
        "progress 0.5 train_loss 3",
        "progress 0.5x loss 3",
        "progress 1e3 loss 3",
        "in progress loss 2",
    ],
)
def test_other_lines_are_no_points(line: str) -> None:
    assert FORMAT.point(line) is None


def test_a_loss_that_is_not_finite_is_read_as_such() -> None:
    point = FORMAT.point("progress 0.1 loss nan")
    assert point is not None
    assert point.loss != point.loss


def test_no_line_claims_more_than_can_be_counted_with() -> None:
    found = FORMAT.point(f"progress {'9' * 300} loss 3")
    assert found == Point(1.0, 3.0)
    assert FORMAT.point("progress 0.5 loss 1e200") == Point(0.5, float("inf"))
    assert FORMAT.point("progress 0.5 loss -1e200") == Point(0.5, float("-inf"))
    largest = [Point(n / 100, (-1) ** n * 1e100) for n in range(101)]
    assert LearningCurve.of(largest) is not None


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize(
    "line", ["progress " + "1." * 450 + "loss=" * 18, "progress 1" + ".1" * 225 + " loss" + "=" * 500]
)
def test_no_line_keeps_the_default_pattern_busy(line: str) -> None:
    assert {FORMAT.point(line) for _ in range(1000)} == {None}


@pytest.mark.usefixtures("alarm")
def test_no_line_keeps_a_pattern_of_the_user_busy() -> None:
    form = CurveFormat(compiled(r"(?:\w+ *)+: (?P<used>\d+) (?P<loss>\S+)"), 40.0)
    assert form.point("step so and so: 10 3.5") == Point(0.25, 3.5)
    assert form.point("a" * 990 + "!") is None  # re takes longer than a night


def test_what_the_engine_does_not_know_is_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"^not a valid regular expression \(RE2\): bad repetition operator: \+\+; look-around"
    ):
        compiled(r"(?P<loss>\d++)")
    with pytest.raises(ValueError, match=r"^not a valid regular expression \(RE2\): missing \): \($"):
        compiled("(")


def test_what_is_used_of_the_budget_is_a_share_of_it() -> None:
    steps = CurveFormat(compiled(r"^(?P<used>\d+)/40: (?P<loss>\S+)"), 40.0)
    assert steps.point("10/40: 3.5") == Point(0.25, 3.5)


def test_a_level_is_the_mean_of_the_tenth_before() -> None:
    found = level(falling(100), 0.5)
    assert found is not None
    assert found[0] == pytest.approx(4.0 - 3.0 * 0.45)


def test_a_curve_that_falls_is_not_noisy_for_that() -> None:
    calm, rough = falling(100), [Point(p.share, p.loss + 0.2 * (-1) ** n) for n, p in enumerate(falling(100))]
    assert level(calm, 0.5)[1] == pytest.approx(0.0, abs=1e-9)  # type: ignore[index]
    assert level(rough, 0.5)[1] == pytest.approx(0.2 / 11**0.5, rel=0.2)  # type: ignore[index]


def test_without_points_there_is_no_level() -> None:
    assert level([Point(0.0, 4.0), Point(0.55, 2.0)], 0.5) is None
    assert LearningCurve.of([]) is None
    assert LearningCurve.of([Point(0.0, float("nan"))]) is None


def test_a_curve_is_remembered_by_its_start_its_half_and_its_end() -> None:
    curve = LearningCurve.of(falling(100))
    assert curve is not None
    assert (curve.start, curve.half, curve.end) == pytest.approx((4.0, 2.65, 1.15))
    stopped = LearningCurve.of(falling(100)[:51])
    assert stopped is not None
    assert (stopped.half, stopped.end) == (curve.half, None)


def test_a_curve_comes_back_from_the_journal() -> None:
    condemned = PruningDecision(2.65, 0.1 + 0.2, 1 / 3)
    outcome = Outcome(
        Status.PRUNED, None, curve=LearningCurve.of(falling(100)[:51]), condemned=condemned, stopped_at=0.5
    )
    assert Outcome.from_json(outcome.to_json()) == outcome
    assert PruningDecision.from_trailer(condemned.to_trailer) == condemned


@pytest.mark.parametrize("line", ["progress 0.5 loss 1,234.5", "progress 0,5 loss 1.5", "progress 0.5 loss 12:30"])
def test_a_part_of_a_number_is_no_point(line: str) -> None:
    assert FORMAT.point(line) is None
    assert FORMAT.point(line.replace(",", "").replace(":", "")) is not None
