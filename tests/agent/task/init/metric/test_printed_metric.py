"""The metric that a script prints: its name, its direction, and the text around it."""

import ast

import pytest

from agent.errors import UsageError
from agent.execution.scoring.printed import number_of_line, number_of_summary
from agent.task.init.metric.direction import known_goal
from agent.task.init.metric.printed_metric import PrintedMetric, find_metric, named_by_user, with_goal
from agent.task.init.python_file import Source
from agent.trials.metric import Metric


def metrics_in(code: str) -> list[PrintedMetric]:
    return find_metric(Source("train.py", code, ast.parse(code)))


@pytest.mark.parametrize(
    ("code", "name", "goal", "line"),
    [
        ('print("---")\nprint(f"val_bpb:          {bpb:.6f}")', "val_bpb", "minimise", None),
        ('print(f"---\\nval_loss: {x}\\nsteps: {n}")', "val_loss", "minimise", None),
        ('print("---"); print("test_accuracy:", acc)', "test_accuracy", "maximise", None),
        ('print(f"val_loss: {x}")', "val_loss", "minimise", "val_loss: {}"),
        ('print(f"step {i}: train loss {a:.4f}, val loss {b:.4f}")', "val_loss", "minimise", "val loss {}"),
        ('print("Epoch %d | valid acc = %.3f" % (e, a))', "valid_acc", "maximise", "valid acc = {}"),
        (
            'print("validation accuracy: {:.1%}".format(acc))',
            "validation_accuracy",
            "maximise",
            "validation accuracy: {}",
        ),
        ('logger.info("eval perplexity: " + str(p))', "eval_perplexity", "minimise", "eval perplexity: {}"),
        ('print("Test RMSE", rmse)', "test_rmse", "minimise", "Test RMSE {}"),
        ('print(f"---\\nbest_val_loss: {x}")', "best_val_loss", "minimise", None),
        ('print(f"val loss {a:.3f} val acc {b:.3f}")', "val_loss", "minimise", "val loss {}"),
        ('print(f"val acc {b:.3f}, val loss {a:.3f}")', "val_loss", "minimise", "val loss {}"),
        ('print(f"val loss {a} test loss {b}")', "val_loss", "minimise", "val loss {}"),
        ('print(f"val loss {a}")\nprint(f"val acc {b}")', "val_acc", "maximise", "val acc {}"),
        ('print(f"---\\nval_loss: {a}\\nval_acc: {b}\\ntest_loss: {c}")', "val_loss", "minimise", None),
        (
            'm = evaluate.load("glue", "mrpc")\nr = m.compute()\naccelerator.print(f"epoch {e}:", r)',
            "accuracy",
            "maximise",
            "'accuracy': {}",
        ),
        ('print(f"Test Error: \\n Accuracy: {a}%, Avg loss: {b} \\n")', "test_avg_loss", "minimise", "Avg loss: {}"),
        ('print(json.dumps({"epoch": e, "val_loss": v}))', "val_loss", "minimise", '"val_loss": {}'),
        ('print("a", "val ppl", p, sep="|")', "val_ppl", "minimise", "val ppl|{}"),
        ("log(Epoch=e, Train=t, Valid_acc=v)", "valid_acc", "maximise", "Valid_acc: {}"),
        ("model.fit(x, y, validation_split=0.1)", "val_loss", "minimise", "val_loss: {}"),
    ],
)
def test_a_metric_is_read_off_the_print_statement(code: str, name: str, goal: str, line: str | None) -> None:
    found = metrics_in(code)[0]
    assert (found.name, found.goal, found.line) == (name, goal, line)


def test_held_out_numbers_come_before_summaries_and_both_before_training_losses() -> None:
    code = (
        'print(f"loss {a}")\nprint(f"val loss {b}")\nprint("---")\nprint(f"loss: {a}")\nprint(f"val_loss: {b}")\n'
        'print(f"train_loss: {c}")\n'
    )
    assert [(m.name, m.line, m.where) for m in metrics_in(code)] == [
        ("val_loss", None, "train.py:5"),
        ("val_loss", "val loss {}", "train.py:2"),
        ("loss", None, "train.py:4"),
        ("loss", "loss {}", "train.py:1"),
    ]
    assert [m.of_training for m in metrics_in(code)] == [False, False, True, True]


def test_a_name_printed_twice_after_the_marker_is_no_summary() -> None:
    found = metrics_in('print("---")\nprint(f"val_loss: {a}")\nprint(f"val_loss: {b}")')
    assert found == []  # the printed score wants exactly one


@pytest.mark.parametrize(
    "code",
    [
        'self.log("val_loss", x)',
        'file.write(f"val_loss {x}")',
        "x = 1",
        'print("done")',
        'print(f"train loss {x}")',
        'print(f"{x} {y}")',
        'print("val loss")',
        'f = open("log.txt", "w")\nprint(f"val loss {x}", file=f)',
        'print(f"val time {x}, val size {n}, epoch {e}, lr {lr}")',
        'print(f"Validation loss decreased ({best} --> {x}); saving")',
        'if False:\n    print(f"val loss {x}")',
        'raise ValueError(f"val loss {x}")',
    ],
)
def test_no_metric_is_made_up(code: str) -> None:
    assert metrics_in(code) == []


@pytest.mark.parametrize(
    "code",
    [
        'print(f"step {1}: train loss {4.5:.4f}, val loss {3.25:.4f}")',
        'print("Epoch %d | valid acc = %.3f" % (2, 3.25))',
        'print("validation accuracy: {:.1%}".format(0.0325))',
        'print("val   loss:", 3.25)',
        'print(f"---\\nval_loss: {3.25}\\nseconds: {9.1}")',
        'print(f"loss {3.25:.3f} after {7} steps")',
    ],
)
def test_what_is_proposed_finds_the_number_in_what_the_script_prints(
    code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = metrics_in(code)[0]
    exec(code)  # one print statement of this test's own
    log = "begin\n" + capsys.readouterr().out
    value = number_of_line(log, found.line) if found.line else number_of_summary(log, found.name)
    assert round(value, 2) in (3.25, 3.2)


def test_the_user_may_name_it() -> None:
    assert named_by_user("val_bpb") == PrintedMetric("val_bpb", "minimise", None, "--metric")
    assert named_by_user("top-1 acc {}%") == PrintedMetric("top_1_acc", "maximise", "top-1 acc {}%", "--metric")
    assert named_by_user("metrics.jsonl:val/loss") == PrintedMetric(
        "val_loss", "minimise", None, "--metric", file="metrics.jsonl", key="val/loss"
    )
    assert named_by_user("so far {}") == PrintedMetric("metric", None, "so far {}", "--metric")
    assert Metric(name="x").goal == known_goal("cross_entropy")
    with pytest.raises(UsageError, match=r"name the value in the file too, such as metrics\.csv:val_loss"):
        named_by_user("metrics.csv:")


def test_a_direction_that_nobody_knows_is_asked_or_refused() -> None:
    unknown = named_by_user("val zorp {}")
    assert unknown.goal is None
    assert with_goal(unknown, "maximise", None).goal == "maximise"
    assert with_goal(unknown, None, lambda metric: "minimise").goal == "minimise"
    with pytest.raises(UsageError, match=r"is a higher or a lower `val zorp \{\}` better .*add --goal maximise or"):
        with_goal(unknown, None, None)


def test_two_holes_in_the_named_text_are_the_user_s_mistake() -> None:
    with pytest.raises(UsageError, match=r"^--metric 'a \{\} \{\}': write one \{\}, for the number"):
        named_by_user("a {} {}")
