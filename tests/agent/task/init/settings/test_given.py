"""What the user passes is the baseline, in every form in which scripts take it."""

import ast
import json
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.task.init.host import HostResources
from agent.task.init.python_file import Source
from agent.task.init.script_report import InitOptions, ScriptReport, read_script
from agent.task.init.settings.find_settings import settings
from agent.task.init.settings.given import given_values, with_given
from agent.task.init.settings.setting import Setting

OPTIONS = """import argparse
p = argparse.ArgumentParser()
p.add_argument("data", nargs="?", default="x")
p.add_argument("total_epochs", type=int, nargs="?", default=9)
p.add_argument("-b", "--batch-size", type=int, default=8)
p.add_argument("--learning-rate", "--lr", dest="lr", type=float, default=0.1)
p.add_argument("--betas", type=float, nargs=2, default=(0.9, 0.99))
p.add_argument("--cuda", action="store_true")
p.add_argument("--momentum", type=float, default=0.9)
a = p.parse_args()
"""


def given(folder: Path, code: str, *arguments: str) -> dict[str, object]:
    """Return the values that are given, by the name of the setting."""
    script = Source("train.py", code, ast.parse(code))
    found = with_given(script, settings(script), given_values(folder, script, arguments))
    return {setting.name: setting.value for setting in found if setting.is_given}


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (["--lr", "0.5"], {"LR": 0.5}),
        (["--learning-rate=1e-3"], {"LR": 1e-3}),
        (["--learn", "2"], {"LR": 2.0}),  # argparse takes any unique beginning
        (["-b", "4"], {"BATCH_SIZE": 4}),
        (["-b4", "--cuda", "--mom=-0.5"], {"BATCH_SIZE": 4, "MOMENTUM": -0.5}),
        (["--betas", "0.8", "0.9", "--lr", "1"], {"BETAS": "0.8 0.9", "LR": 1.0}),
        (["./data", "3"], {"DATA": "./data", "TOTAL_EPOCHS": 3}),
        (["--lr", "0.5", "--lr", "0.7"], {"LR": 0.7}),
        ([], {}),
        (["--", "-"], {"DATA": "-"}),
        (["--lr"], {}),  # the script refuses this itself
    ],
)
def test_options(tmp_path: Path, arguments: list[str], values: dict[str, object]) -> None:
    found = given(tmp_path, OPTIONS, *arguments)
    found.pop("CUDA", None)
    assert found == values


@pytest.mark.parametrize(
    ("code", "arguments", "values"),
    [
        ("n_head = 6\n", ["--n_head=4"], {"N_HEAD": 4}),
        ("n_head = 6\n", ["--n-head", "4"], {"N_HEAD": 4}),
        ("config = {'optim': {'lr': 0.1}, 'lr': 3}\nprint(config)\n", ["optim.lr=0.2"], {"CONFIG_OPTIM_LR": 0.2}),
        ("def train(lr=0.1):\n    pass\ntrain()\n", ["++lr=0.2"], {"LR": 0.2}),
        ("from dataclasses import dataclass\n@dataclass\nclass A:\n    lr: float = 1\n", ["--lr", "2"], {"LR": 2.0}),
        ("x = 1\n", ["--unknown", "3", "--flag"], {"UNKNOWN": 3}),
        ("x = 1\n", ["trainer.max_epochs=3", "~callbacks"], {"MAX_EPOCHS": 3}),
        ("lr = 0.1\n", ["lr=a=b"], {"LR": "a=b"}),
    ],
)
def test_overrides(tmp_path: Path, code: str, arguments: list[str], values: dict[str, object]) -> None:
    assert given(tmp_path, code, *arguments) == values


def test_files_of_settings_give_their_values_and_other_files_none(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text("lr = 0.5\nmax_iters = 9\nn = 3\n")
    (tmp_path / "c.json").write_text(json.dumps({"optim": {"lr": 0.25}, "the": 1, "of": 2}))
    code = "lr = 0.1\nexec(open('small.py').read())\n"
    assert given(tmp_path, code, "small.py") == {"LR": 0.5, "MAX_ITERS": 9}
    assert given(tmp_path, code, "small.py", "--lr=0.75") == {"LR": 0.75, "MAX_ITERS": 9}
    assert given(tmp_path, "lr = 0.1\n", "small.py") == {}  # nothing runs it
    assert given(tmp_path, "optim_lr = 1\nlr = 0.1\n", "--config=c.json") == {"CONFIG": "c.json"}
    assert given(tmp_path, "config = {'optim': {'lr': 0.1}}\n", "--config", "c.json")["LR"] == 0.25
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(UsageError, match=r"c\.json"):
        given(tmp_path, code, "c.json")


def report(folder: Path, code: str, *arguments: str) -> ScriptReport:
    (folder / "train.py").write_text(code + "print(f'val_loss: {1}')\n")
    return read_script(folder, InitOptions(arguments=arguments), HostResources(4.0, 8.0, 2))


def test_environment_variables_before_the_options_are_set_in_trials(tmp_path: Path) -> None:
    code = "import os\nLR = float(os.environ.get('LR', '0.1'))\nWIDTH = int(os.getenv('WIDTH', 8))\n"
    found = report(tmp_path, code, "LR=0.5", "OTHER=1", "--x")
    assert found.environment == {"LR": "0.5"}
    assert found.arguments == ("OTHER=1", "--x")  # the script reads no such variable
    assert "WIDTH = {" in found.space
    assert "left out: --args gives it: LR=0.5" in found.space


def test_a_constant_that_is_the_default_of_an_option_has_its_bounds_and_its_given_value(tmp_path: Path) -> None:
    code = "import argparse\nRATE = 1\nHEADS = 4\np = argparse.ArgumentParser()\n"
    code += "p.add_argument('--lr', type=float, default=RATE)\n"
    code += "p.add_argument('--heads', type=int, choices=[2, 4], default=HEADS)\na = p.parse_args()\n"
    free = report(tmp_path, code).space
    assert 'RATE = { type = "float", low = 0.1, high = 10.0, log = true }' in free
    assert 'HEADS = { type = "categorical", choices = [2, 4], ordered = true }' in free
    fixed = report(tmp_path, code, "--lr", "0.5").space
    assert "# RATE = 0.5  # left out: --args gives it: --lr 0.5" in fixed


def test_a_length_without_an_end_is_reported_with_what_to_write(tmp_path: Path) -> None:
    code = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--max-steps', type=int, default=-1)\n"
    endless = report(tmp_path, code).budget.endless
    assert isinstance(endless, Setting)
    assert (endless.display_name, endless.value) == ("--max-steps", -1)
    assert report(tmp_path, code, "--max-steps", "5").budget.endless is None
    assert report(tmp_path, code, "--max-steps", "5").budget.amount == 5
