"""Numbers as scripts print them: read whole, or not at all."""

import pytest

from agent.task.printed_number import plain_log, values_in, whole_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.31", 0.31), ("-3.", -3.0), ("+.5", 0.5), ("3e-2", 0.03), ("1,235.00", 1235.0), ("1,235,000", 1235000.0),
        ("1_000", 1000.0), ("45.2%", 45.2), ("45.2 %", 45.2), ("tensor(0.31)", 0.31), ("tensor(1_000)", 1000.0),
        ("tensor(0.31, device='cuda:0')", 0.31), ("tensor(0.31, grad_fn=<NllLossBackward0>)", 0.31),
        ("tensor([0.31], dtype=torch.float64)", 0.31), ("[30.]", 30.0), ("[[30.]]", 30.0), ("array([30.])", 30.0),
        ("array([[30.]], dtype=float32)", 30.0), ("np.float64(0.3)", 0.3), ("[np.float64(0.3)]", 0.3), ("(0.3,)", 0.3),
        ("Array(0.31, dtype=float32, weak_type=True)", 0.31), ("tf.Tensor(0.31, shape=(), dtype=float32)", 0.31),
        ("<tf.Tensor: shape=(), dtype=float32, numpy=0.31>", 0.31), ("'0.25'", 0.25), ("Decimal('0.5')", 0.5),
    ],
)  # fmt: skip
def test_a_number_is_read_whole(text: str, value: float) -> None:
    assert whole_number(text) == value
    assert [found.value for found in values_in(f"epoch 1 val loss: {text}, next 7", "val loss: {}")] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "0.31s", "0.31ms", "1.2.3", "0,31", "1.235,00", "1,2", "12,34", "1,2350", "1_00", "12:30", "2026-11-30", "0x1f",
        "45/100", "0.3-0.4", "1e", "1*10^3", "3x", "1'000", "1 235.00", "1\u202f235", "\u0663", "\u22120.3", "[0.3",
        "tensor([0.3, 0.4])", "(0.3, 0.4)", "[0.3 0.4]", "tensor(0.3", "3+4j", "0.62\u2026",
    ],
)  # fmt: skip
def test_a_part_of_something_else_is_no_number(text: str) -> None:
    assert whole_number(text) is None
    assert [found.value for found in values_in(f"val loss: {text}", "val loss: {}")] == [None]


@pytest.mark.parametrize("text", ["improved", "did not improve in 3 epochs", "$3", "", "info"])
def test_words_in_the_place_of_a_number_are_no_value(text: str) -> None:
    assert list(values_in(f"val loss: {text}", "val loss: {}")) == []


def test_a_fraction_is_a_number_where_the_pattern_goes_on_with_the_sign() -> None:
    log = "Accuracy: 45/100\nAccuracy: 46/100"
    assert [found.value for found in values_in(log, "Accuracy: {}/100")] == [45.0, 46.0]


def test_any_text_ends_at_the_next_place_that_fits() -> None:
    line = "Test: Loss 0.3 (0.25) Acc@1 90 (80.5)"
    assert [found.value for found in values_in(line, "Loss {*} ({}")] == [0.25]
    assert [found.value for found in values_in(line, "Test: {*} Acc@1 {*} ({}")] == [80.5]


def test_colours_and_bars_are_no_part_of_a_log() -> None:
    assert plain_log("\u241b[1;32m0.5\u241b[0m │ 3") == "0.5   3"
