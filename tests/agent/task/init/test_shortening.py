"""A training is made short where its budget is set: in the command, the script or another file; else not at all."""

import pytest

from agent.task.init.shortening import Training, find_budget_setting, reads_variable, shortest


def training(code: str, *command: str, **files: str) -> Training:
    return Training(
        {"train.py": code.encode(), **{f"{k}.py": v.encode() for k, v in files.items()}}, "train.py", command
    )


@pytest.mark.parametrize(
    ("code", "short"),
    [
        ("MAX_STEPS = 2_000  # é\n", "MAX_STEPS = 1  # é\n"),
        ("TIME_BUDGET = 300\n", "TIME_BUDGET = 1\n"),
        ("p.add_argument('--epochs', type=int, default=14)\n", "p.add_argument('--epochs', type=int, default=1)\n"),
        ("class Config:\n    é = 1; max_iters = 600\n", "class Config:\n    é = 1; max_iters = 1\n"),
        ("max_minutes = 5\n", f"max_minutes = {5 / 300!r}\n"),
        ("\ufeffEPOCHS = 3\n", "\ufeffEPOCHS = 1\n"),
    ],
)
def test_the_budget_of_the_script_becomes_one(code: str, short: str) -> None:
    found = shortest(training(code, "python", "train.py"))
    assert found is not None
    assert found.files["train.py"].decode() == short
    assert found.command == ("python", "train.py")


@pytest.mark.parametrize(
    ("words", "short"),
    [
        (("--epochs", "9", "--lr", "3"), ("--epochs", "1", "--lr", "3")),
        (("--max_iters=500",), ("--max_iters=1",)),
        (("trainer.max_epochs=7", "x=1"), ("trainer.max_epochs=1", "x=1")),
    ],
)
def test_what_the_command_sets_comes_before_what_the_script_says(
    words: tuple[str, ...], short: tuple[str, ...]
) -> None:
    found = shortest(training("EPOCHS = 3\n", "python", "train.py", *words))
    assert found is not None
    assert found.command == ("python", "train.py", *short)
    assert found.files["train.py"] == b"EPOCHS = 3\n"


def test_a_budget_in_another_file_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    given = training("from prepare import *\n", "python", "train.py", prepare="TIME_BUDGET = 300\n")
    budget = find_budget_setting(given)
    assert budget is not None
    assert budget.file == "prepare.py"
    assert budget.shortened(given, 15).files["prepare.py"] == b"TIME_BUDGET = 15\n"


def test_a_settings_file_of_the_command_comes_before_the_script() -> None:
    files = {"train.py": b"max_iters = 600000\n", "config/small.py": b"max_iters = 60\n"}
    budget = find_budget_setting(Training(files, "train.py", ("python", "train.py", "config/small.py")))
    assert budget is not None
    assert (budget.file, budget.raw) == ("config/small.py", 60)


@pytest.mark.parametrize(
    "code", ["LR = 0.1\nfor step in range(3): pass\n", "MAX_STEPS = -1\n", "EPOCHS = 3\nEPOCHS = 4\n", "x = (\n"]
)
def test_without_a_known_budget_there_is_no_short_training(code: str) -> None:
    assert shortest(training(code, "python", "train.py")) is None


def test_a_script_that_reads_the_variable_is_not_changed() -> None:
    given = training("import os\nB = os.environ['TRAIN_BUDGET']\nMAX_STEPS = 9\n", "python", "train.py")
    assert reads_variable(given)
    assert shortest(given) is given
