"""Numbers of a log: metrics by the rules for print calls, and whether runs printed the same."""

from agent.analysis.try_script.effects import other_values
from agent.analysis.try_script.log_numbers import Printed, Repeatable, metrics_in, numbered_lines, text_before_number
from agent.search.parameters import Categorical, Float, Int, PowerOfTwo

LOG = "step 1 loss 0.9 val loss 0.8\n\rstep 2\rstep 3 (1.5s)\nval loss: 0.7 acc 0.25\n---\nval_bpb: 1.25\n"


def test_the_metrics_of_a_log_are_those_of_print_calls() -> None:
    found = metrics_in(LOG)
    assert [(metric.name, metric.line) for metric in found[:2]] == [("val_bpb", None), ("val_loss", "val loss: {}")]
    assert found[0].where == "the log:5"


def test_the_number_in_a_name_is_no_value() -> None:
    assert [metric.option for metric in metrics_in("Test: Acc@1:  29.0\n")] == ["Test: Acc@1: {}"]


def test_the_last_lines_with_numbers_are_quoted_once_each() -> None:
    assert numbered_lines("a 1\na 2\nnothing\nb 3\n") == ["b 3", "a 2"]


def test_the_text_before_the_last_number_of_a_line_names_a_metric() -> None:
    assert text_before_number("The RMSE of prediction is: 1.88") == "The RMSE of prediction is: {}"
    assert text_before_number("step 3, score=0.5 (best)") == "score= {}"
    assert text_before_number("0.5") == "{}"
    (line,) = numbered_lines(f"{'a' * 200} error 0.5\n")  # its number stands behind what a message would show
    assert text_before_number(line).endswith("a error {}")


def test_a_long_row_of_digits_that_is_no_number_is_read_in_one_pass() -> None:
    assert numbered_lines(f"{'1' * 300_000}x\n") == []


def test_values_that_break_a_constraint_are_not_tried() -> None:
    assert other_values(Int("HEADS", 1, 16), 4, lambda value: 64 % int(value) == 0) == [1, 16]
    assert other_values(Int("HEADS", 4, 7), 4, lambda value: value == 6) == [6]


def test_what_differs_between_two_equal_runs_does_not_count() -> None:
    one, two = (Printed.of(f"took {seconds} s\nval loss 0.5\n") for seconds in (1.5, 1.7))
    repeatable = Repeatable.of(one, two)
    assert repeatable is not None
    assert not repeatable.differs(Printed.of("took 9.9 s\nval loss 0.5\n"))
    assert repeatable.differs(Printed.of("took 1.5 s\nval loss 0.6\n"))
    assert repeatable.differs(Printed.of("val loss 0.5\n"))
    assert Repeatable.of(one, Printed.of("val loss 0.5\n")) is None
    assert Repeatable.of(Printed.of("took 1.5 s\n"), Printed.of("took 1.7 s\n")) is None
    assert Repeatable.of(Printed.of("done\n"), Printed.of("done\n")) == Repeatable(())  # its metric is in a file
    assert not repeatable.differs(Printed.of("took 2 s\nval loss 0.6\n"), {"X": (0.5, 0.6)})


def test_other_values_are_far_from_the_scripts_own() -> None:
    assert other_values(Categorical("C", ("a", "b", "c")), "b") == ["a", "c"]
    assert other_values(PowerOfTwo("P", 8, 32), 16) == [8, 32]
    values = other_values(Float("F", 0.0, 1.0), 0.75)
    assert values == [0.02, 0.98]
