"""The measures against numbers worked out by hand from scikit-learn's definitions, and what must not change them."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.execution.scoring.measures import checked_labels, measured
from agent.task.measure_table import MEASURES, NUMBER
from agent.task.spec import ScoreSpec

TASKS_PAGE = Path(__file__).parents[4] / "docs" / "tasks.md"
HUGE = float(np.finfo(np.float32).max)
BY_HAND = [
    # Three of four right; among equal outputs the first class is taken.
    ("accuracy", [[2, 1], [0, 1], [1, 1], [1, 1]], [0, 1, 0, 1], 3 / 4),
    # Ranks of the labels, from 0: 1, 0, 2, 0.
    ("top_k_accuracy", [[3, 2, 1], [3, 2, 1], [3, 2, 1], [5, 5, 5]], [1, 0, 2, 0], 3 / 4),
    # All equal: classes 0 and 1 are the two largest.
    ("top_k_accuracy", [[7, 7, 7]] * 3, [0, 1, 2], 2 / 3),
    # Predicted 1, 1, 0, 1, 0 for 1, 0, 1, 1, 0: TP 2, FP 1, FN 1.
    ("f1", [[0, 1], [0, 1], [1, 0], [0, 1], [1, 0]], [1, 0, 1, 1, 0], 4 / 6),
    ("f1", [[1, 0], [1, 0], [1, 0]], [1, 0, 1], 0.0),
    # Predicted 0, 2, 1, 0, 0, 1 for 0, 1, 2, 0, 1, 2: F1 .8, 0 and 0. An example of scikit-learn's pages.
    ("f1", np.eye(3)[[0, 2, 1, 0, 0, 1]].tolist(), [0, 1, 2, 0, 1, 2], 0.8 / 3),
    # Class 3 is nowhere and does not count; class 2 is predicted only and has 0. F1 1, 2/3 and 0.
    ("f1", np.eye(4)[[0, 1, 2]].tolist(), [0, 1, 1], (1 + 2 / 3) / 3),
    # Pairs (one, zero): (.35, .1) and both of .8 right, (.35, .4) wrong: the example of scikit-learn's pages.
    ("auc", [[0.1], [0.4], [0.35], [0.8]], [0, 0, 1, 1], 3 / 4),
    # The second less the first: 1 and 0 for class 1, 0 and -1 for class 0. Three pairs right, one tie.
    ("auc", [[1, 2], [5, 5], [3, 3], [0, -1]], [1, 1, 0, 0], 3.5 / 4),
    ("auc", [[4]] * 5, [0, 1, 1, 0, 1], 1 / 2),
    ("auc", [[0], [1]], [1, 0], 0.0),
    ("log_loss", [[0, 0], [math.log(3), 0]], [1, 0], (math.log(2) + math.log(4 / 3)) / 2),
    ("log_loss", [[0, 0, 0, 0]], [2], math.log(4)),
    # Errors .5, -.5, 0, 1: the example of scikit-learn's pages for all three.
    ("mean_squared_error", [[2.5], [0.0], [2], [8]], [3, -0.5, 2, 7], 0.375),
    ("mean_absolute_error", [[2.5], [0.0], [2], [8]], [3, -0.5, 2, 7], 0.5),
    ("r2", [[2.5], [0.0], [2], [8]], [3, -0.5, 2, 7], 1 - 1.5 / 29.1875),
    ("r2", [[2], [2], [2]], [1, 2, 3], 0.0),
    ("r2", [[3], [2], [1]], [1, 2, 3], -3.0),
    # One example.
    ("accuracy", [[0, 1]], [0], 0.0),
    ("mean_absolute_error", [[-1]], [2], 3.0),
    # Huge outputs: no overflow.
    ("accuracy", [[HUGE, -HUGE], [-HUGE, HUGE]], [0, 0], 1 / 2),
    ("auc", [[-HUGE, HUGE], [HUGE, -HUGE]], [1, 0], 1.0),
    ("log_loss", [[HUGE, -HUGE], [HUGE, -HUGE]], [0, 1], HUGE),
    ("mean_squared_error", [[HUGE]], [-HUGE], 4 * HUGE**2),
    ("mean_absolute_error", [[HUGE]], [-HUGE], 2 * HUGE),
    ("r2", [[HUGE], [-HUGE]], [-HUGE, HUGE], -3.0),
]


def spec(name: str, k: int = 2) -> ScoreSpec:
    return ScoreSpec(kind="predictions", measure=name, top_k=k if name == "top_k_accuracy" else None)


def value(name: str, outputs: object, labels: object, k: int = 2) -> float:
    answered = np.asarray(outputs, dtype=np.float32).astype(np.float64)
    return measured(spec(name, k), answered, checked_labels(spec(name, k), answered.shape[1], np.asarray(labels)))


@pytest.mark.parametrize(("name", "outputs", "labels", "expected"), BY_HAND)
def test_what_was_worked_out_by_hand(
    name: str, outputs: list[list[float]], labels: list[float], expected: float
) -> None:
    assert value(name, outputs, labels) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_every_measure_was_worked_out_and_is_in_the_documentation() -> None:
    assert {name for name, *_ in BY_HAND} == set(MEASURES)
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (m\w+ise) \|", TASKS_PAGE.read_text(), re.MULTILINE)
    assert dict(rows) == {name: row.goal for name, row in MEASURES.items()}


@st.composite
def classified(draw: st.DrawFn, most: int = 5) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Outputs with many ties, (N, C), and labels of at least two classes."""
    n_classes = draw(st.integers(2, most))
    labels = [0, 1, *draw(st.lists(st.integers(0, n_classes - 1), max_size=12))]
    row = st.lists(st.integers(-3, 3), min_size=n_classes, max_size=n_classes)
    outputs = draw(st.lists(row, min_size=len(labels), max_size=len(labels)))
    return np.asarray(outputs, dtype=np.float64), np.asarray(labels)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted numbers, (N, 1), and labels that differ."""
    labels = [0, 1, *draw(st.lists(st.integers(-50, 50), max_size=12))]
    outputs = draw(st.lists(st.integers(-50, 50), min_size=len(labels), max_size=len(labels)))
    return np.asarray(outputs, dtype=np.float64)[:, np.newaxis], np.asarray(labels, dtype=np.float64)


@given(classified(), st.permutations(range(14)))
def test_the_order_of_examples_is_of_no_matter(
    given_: tuple[NDArray[np.float64], NDArray[np.int64]], order: list[int]
) -> None:
    outputs, labels = given_
    chosen = [index for index in order if index < len(labels)]
    for name, row in MEASURES.items():
        if row.outputs.most is None and outputs.shape[1] > 2:
            assert value(name, outputs[chosen], labels[chosen]) == pytest.approx(value(name, outputs, labels))


@given(classified())
def test_accuracy_is_top_1_and_top_k_grows_with_k(given_: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    outputs, labels = given_
    by_k = [value("top_k_accuracy", outputs, labels, k) for k in range(1, outputs.shape[1])]
    assert by_k[0] == value("accuracy", outputs, labels)
    assert by_k == sorted(by_k)
    # All classes but one: the label is not the last.
    last = [max(range(len(row)), key=lambda c: (-row[c], c)) for row in outputs.tolist()]
    assert by_k[-1] == pytest.approx(np.mean(np.asarray(last) != labels))


@given(classified(most=2))
def test_auc_is_the_share_of_pairs_in_order_and_only_the_order_counts(
    given_: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    outputs, labels = given_
    single = outputs[:, 1:] - outputs[:, :1]
    pairs = [(one, zero) for one in single[labels == 1, 0] for zero in single[labels == 0, 0]]
    expected = sum((one > zero) + 0.5 * (one == zero) for one, zero in pairs) / len(pairs)
    found = value("auc", outputs, labels)
    assert found == pytest.approx(expected)
    assert value("auc", single, labels) == found
    rising: list[Callable[[NDArray[np.float64]], NDArray[np.float64]]] = [np.exp, lambda x: 3 * x - 7, lambda x: x**3]
    assert all(value("auc", transform(single), labels) == found for transform in rising)
    assert value("auc", -single, labels) == pytest.approx(1 - found)
    assert value("auc", single, 1 - labels) == pytest.approx(1 - found)


@given(classified())
def test_f1_is_the_harmonic_mean_of_precision_and_recall(
    given_: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    outputs, labels = given_
    predicted = [row.index(max(row)) for row in outputs.tolist()]
    by_class = {}
    for c in {*predicted, *labels.tolist()}:
        right = sum(p == c == y for p, y in zip(predicted, labels, strict=True))
        precision, recall = right / max(predicted.count(c), 1), right / max(labels.tolist().count(c), 1)
        by_class[c] = 2 * precision * recall / (precision + recall) if right else 0.0
    binary = outputs.shape[1] == 2
    assert value("f1", outputs, labels) == pytest.approx(
        by_class[1] if binary else sum(by_class.values()) / len(by_class)
    )


@given(classified(), st.integers(-1000, 1000))
def test_logits_count_up_to_a_constant(given_: tuple[NDArray[np.float64], NDArray[np.int64]], shift: int) -> None:
    outputs, labels = given_
    chances = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    expected = np.mean([-math.log(row[label]) for row, label in zip(chances, labels, strict=True)])
    assert value("log_loss", outputs, labels) == pytest.approx(expected)
    assert value("log_loss", outputs + shift, labels) == pytest.approx(expected)


@given(numbers(), st.sampled_from([0.5, 2.0, -4.0]), st.integers(-100, 100))
def test_units_scale_the_errors_and_leave_r2(
    given_: tuple[NDArray[np.float64], NDArray[np.float64]], factor: float, shift: int
) -> None:
    outputs, labels = given_
    scaled = (factor * outputs + shift, factor * labels + shift)
    mean, square = value("mean_absolute_error", outputs, labels), value("mean_squared_error", outputs, labels)
    assert value("mean_absolute_error", *scaled) == pytest.approx(abs(factor) * mean)
    assert value("mean_squared_error", *scaled) == pytest.approx(factor**2 * square)
    assert value("r2", *scaled) == pytest.approx(value("r2", outputs, labels))
    assert mean**2 <= square * (1 + 1e-12)
    assert value("r2", outputs, labels) == pytest.approx(1 - square / labels.var())


@given(classified(), numbers())
def test_no_prediction_is_better_than_the_labels(
    classes: tuple[NDArray[np.float64], NDArray[np.int64]], regression: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    for name, row in MEASURES.items():
        outputs, labels = regression if row.outputs is NUMBER else classes
        if row.outputs.most == 2:
            outputs, labels = outputs[:, :2], np.minimum(labels, 1)
        if name == "top_k_accuracy" and outputs.shape[1] == 2:
            continue
        best = labels[:, np.newaxis] if row.outputs is NUMBER else 100 * np.eye(outputs.shape[1])[labels.astype(int)]
        worse, better = value(name, outputs, labels), value(name, best, labels)
        assert worse >= better - 1e-12 if row.goal == "minimise" else worse <= better
        assert better == pytest.approx(0 if row.goal == "minimise" else 1)


WHOLE = "takes whole numbers from 0 to"
SHAPE = "labels must be numbers of shape (N,), one for each example, but are"


@pytest.mark.parametrize(
    ("name", "n_outputs", "labels", "expected"),
    [
        ("accuracy", 1, [0, 0], "accuracy needs two outputs or more, one per class, and meta.json says n_outputs = 1"),
        ("auc", 3, [0, 1], "auc needs one or two outputs, for two classes, and meta.json says n_outputs = 3"),
        ("r2", 2, [0, 1], "r2 needs one output, the predicted number, and meta.json says n_outputs = 2"),
        ("top_k_accuracy", 5, [0, 1], "top_k = 5 of 5 classes is always right; choose a lower one"),
        ("top_k_accuracy", 3, [0, 1], "top_k = 5 of 3 classes is always right; choose a lower one"),
        ("f1", 3, [0, 3], f"f1 {WHOLE} 2 as labels, but one is 3"),
        ("log_loss", 3, [0, -1], f"log_loss {WHOLE} 2 as labels, but one is -1"),
        ("accuracy", 3, [0, 0.5], f"accuracy {WHOLE} 2 as labels, but one is 0.5"),
        ("accuracy", 3, [0, math.nan], f"accuracy {WHOLE} 2 as labels, but one is nan"),
        ("auc", 1, [0, 2], f"auc {WHOLE} 1 as labels, but one is 2"),
        ("auc", 2, [1, 1], "auc needs labels that differ as float32, but all are 1"),
        ("f1", 3, [2], "f1 needs labels that differ as float32, but all are 2"),
        ("r2", 1, [0.1, 0.1, 0.1], "r2 needs labels that differ as float32, but all are 0.1"),
        ("r2", 1, [0.0, 1e-200], "r2 needs labels that differ as float32, but all are 0"),
        ("r2", 1, [1, math.inf], "r2 takes labels that a float32 can hold, but one is inf"),
        ("r2", 1, [1, 1e39], "r2 takes labels that a float32 can hold, but one is 1e+39"),
        ("r2", 1, [[1], [2]], f"{SHAPE} int64 of shape (2, 1)"),
        ("accuracy", 2, [], f"{SHAPE} float64 of shape (0,)"),
        ("accuracy", 2, ["cat"], f"{SHAPE} <U3 of shape (1,)"),
    ],
)  # fmt: skip
def test_labels_of_no_use_are_one_sentence(name: str, n_outputs: int, labels: list[object], expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        checked_labels(spec(name, k=5), n_outputs, np.asarray(labels))


@pytest.mark.parametrize("kind", ["bool", "int8", "uint64", "float32"])
def test_labels_of_any_kind_of_number_are_taken(kind: str) -> None:
    labels = np.asarray([0, 1, 1], dtype=kind)
    assert value("accuracy", [[1, 0], [1, 0], [0, 1]], labels) == pytest.approx(2 / 3)
    assert value("mean_absolute_error", [[1], [1], [1]], labels) == pytest.approx(1 / 3)
