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


LOADS = "import yaml\ncfg = yaml.safe_load(open('configs/base.yaml'))\nMAX_STEPS = 5\n"
HYDRA = """import hydra
@hydra.main(config_path="configs", config_name="base")
def main(cfg):
    print(cfg)
"""


@pytest.mark.parametrize(
    ("code", "name", "text", "short"),
    [
        (LOADS, "configs/base.yaml", "lr: 0.1  # é\nmax_steps: 2000  # long\n", "lr: 0.1  # é\nmax_steps: 1  # long\n"),
        (LOADS, "configs/base.yaml", "train: {epochs: 30, lr: 1e-3}\n", "train: {epochs: 1, lr: 1e-3}\n"),
        (
            LOADS,
            "configs/base.yaml",
            "n: &n 3e4\nmax_steps: &s 3e4\neval: *s\n",
            "n: &n 3e4\nmax_steps: &s 1\neval: *s\n",
        ),
        (LOADS, "configs/base.yaml", "max_minutes: 5\n", f"max_minutes: {5 / 300!r}\n"),
        (
            "import json\ncfg = json.load(open('base.json'))\n",
            *("base.json", '{"optim": {"lr": 1, "max_iters": 600}}', '{"optim": {"lr": 1, "max_iters": 1}}'),
        ),
    ],
)
def test_a_budget_in_a_settings_file_becomes_one(code: str, name: str, text: str, short: str) -> None:
    found = shortest(Training({"train.py": code.encode(), name: text.encode()}, "train.py", ("python", "train.py")))
    assert found is not None
    assert found.files == {"train.py": code.encode(), name: short.encode()}


def test_a_budget_that_hydra_puts_below_its_group_is_changed_in_the_file_of_the_group() -> None:
    files = {
        "train.py": HYDRA.encode(),
        "configs/base.yaml": b"defaults:\n  - trainer: small\n  - _self_\nlr: 0.1\n",
        "configs/trainer/small.yaml": b"max_epochs: 3\nclip: 1\n",
        "configs/trainer/large.yaml": b"max_epochs: 90\nclip: 1\n",
    }
    found = shortest(Training(files, "train.py", ("python", "train.py")))
    assert found is not None
    assert found.files == {**files, "configs/trainer/small.yaml": b"max_epochs: 1\nclip: 1\n"}
    large = shortest(Training(files, "train.py", ("python", "train.py", "trainer=large")))
    assert large is not None
    assert large.files == {**files, "configs/trainer/large.yaml": b"max_epochs: 1\nclip: 1\n"}
    given = shortest(Training(files, "train.py", ("python", "train.py", "trainer.max_epochs=7")))
    assert given is not None
    assert (given.files, given.command[-1]) == (files, "trainer.max_epochs=1")


def test_the_settings_file_that_the_command_names_is_the_one_that_is_changed() -> None:
    code = "import sys, yaml\ncfg = yaml.safe_load(open(sys.argv[1]))\n"
    files = {"train.py": code.encode(), "a.yaml": b"max_steps: 30\n", "b.yaml": b"max_steps: 40\n"}
    found = shortest(Training(files, "train.py", ("python", "train.py", "b.yaml")))
    assert found is not None
    assert found.files == {**files, "b.yaml": b"max_steps: 1\n"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configs/base.yaml", "max_steps: [1\n"),
        ("configs/base.yaml", "lr: 0.1\n"),
        ("configs/base.yaml", "max_steps: -1\n"),
        ("configs/base.yaml", "- max_steps: 3\n"),
        ("configs/other.yaml", "max_steps: 3\n"),
    ],
)
def test_a_settings_file_without_a_known_budget_is_not_changed(name: str, text: str) -> None:
    code = f"import yaml\ncfg = yaml.safe_load(open({'configs/base.yaml'!r}))\n"
    assert shortest(Training({"train.py": code.encode(), name: text.encode()}, "train.py", ())) is None
