"""Settings of a script, wherever it keeps them, and the copy in which they are constants."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments, read_constants
from agent.errors import UsageError
from agent.task.init.python_file import Source
from agent.task.init.script_report import worth_lifting
from agent.task.init.settings.budget import find_budget
from agent.task.init.settings.constants_block import extract_constants
from agent.task.init.settings.find_settings import settings
from agent.task.init.settings.given import given_values, with_given
from agent.task.init.settings.left_out import why_left_out
from agent.task.init.settings.load_call import find_load
from agent.task.init.settings.setting import constant_name

OPTIONS = """#!/usr/bin/env python3
# -*- coding: utf-8 -*-
import argparse
p = argparse.ArgumentParser()
p.add_argument("--learning-rate", "--lr", dest="learning_rate", type=float, default=0.5)
p.add_argument("-n", "--n-layer", type=int, default=2**3, help="größe")
p.add_argument("--act", choices=("relu", "gelu"), default="relu"); p.add_argument("--wd", default=-1e-3, type=float)
p.add_argument("--name", default="run")
p.add_argument("--flag", action="store_true", default=False)
p.add_argument("--seed", type=int, default=3)
a = p.parse_args()
print(a.learning_rate, a.n_layer, a.act, a.wd, a.name, a.seed)
"""
DATACLASSES = '''"""Docstring."""
from __future__ import annotations
from dataclasses import dataclass, field
@dataclass
class Optim:
    lr: float = 3e-4
    steps: int = field(default=100)
    betas: tuple = (0.9, 0.95)
@dataclass
class Model:
    lr: float = 0.5
    width: int = field(default=64, repr=False)
    bias: bool = True
print(Optim(), Model(), Optim().lr + Model().lr, Model().width)
'''
NESTED = """config = {"optim": {"lr": 0.1, "name": "adam"}, "model": {"lr": 2, "depth": 4}, "on": True}
learning_rate = 6e-4  # as nanoGPT has it
_private = 3
LR = "taken"
again = 1
again = 2
print(config, learning_rate)
"""


def source(code: str) -> Source:
    return Source("train.py", code, ast.parse(code))


def lifted(code: str) -> str:
    found = settings(source(code))
    return extract_constants(source(code), found, None, worth_lifting(found)).text


def output(folder: Path, code: str, **variables: str) -> str:
    (folder / "script.py").write_text(code)
    command = [sys.executable, "script.py"]
    environment = {"PATH": os.defpath, **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_options_fields_entries_and_variables_are_found() -> None:
    found = {s.name: (s.value, s.kind, s.display_name) for s in settings(source(OPTIONS))}
    assert found["LEARNING_RATE"] == (0.5, "argument", "--learning-rate")
    assert found["N_LAYER"] == (8, "argument", "--n-layer")
    assert found["WD"] == (-1e-3, "argument", "--wd")
    assert "FLAG" not in found
    assert [s.declared.choices for s in settings(source(OPTIONS)) if s.name == "ACT"] == [("relu", "gelu")]
    found = {s.name: (s.value, s.kind, s.display_name) for s in settings(source(DATACLASSES))}
    assert found["OPTIM_LR"] == (3e-4, "dataclass", "Optim.lr")
    assert found["MODEL_LR"] == (0.5, "dataclass", "Model.lr")
    assert found["WIDTH"] == (64, "dataclass", "Model.width")
    found = {s.name: (s.value, s.kind, s.display_name) for s in settings(source(NESTED))}
    assert found["CONFIG_OPTIM_LR"] == (0.1, "dict", "config['optim']['lr']")
    assert found["LEARNING_RATE"] == (6e-4, "variable", "learning_rate")
    assert not {"LR", "AGAIN", "PRIVATE", "ON"} & found.keys()


@pytest.mark.parametrize("code", [OPTIONS, DATACLASSES, NESTED, OPTIONS.replace("\n", "\r\n")])
def test_the_copy_does_what_the_original_does(tmp_path: Path, code: str) -> None:
    copy = lifted(code)
    assert copy != code
    assert output(tmp_path, copy) == output(tmp_path, code)


def test_a_whole_number_that_is_made_a_float_is_searched_as_one() -> None:
    code = "import argparse\nargparse.ArgumentParser().add_argument('--lr', type=float, default=1)\n"
    assert "LR = 1.0  # --lr" in lifted(code)


def test_constants_written_into_the_copy_are_what_the_script_is_set_by(tmp_path: Path) -> None:
    copy = Assignments({"LEARNING_RATE": 0.25, "N_LAYER": 5, "ACT": "gelu"}).apply(lifted(OPTIONS))
    assert output(tmp_path, copy) == "0.25 5 gelu -0.001 run 3\n"
    assert output(tmp_path, copy, TRAIN_SEED="11") == "0.25 5 gelu -0.001 run 11\n"
    copy = Assignments({"OPTIM_LR": 1.0, "MODEL_LR": 2.0, "WIDTH": 8}).apply(lifted(DATACLASSES))
    assert output(tmp_path, copy).endswith("3.0 8\n")
    copy = Assignments({"CONFIG_OPTIM_LR": 0.5, "LEARNING_RATE": 1e-3}).apply(lifted(NESTED))
    assert "'lr': 0.5" in output(tmp_path, copy)


YAML = """# settings
optim:
  lr: 3e-4      # a word in YAML 1.1
  betas: [0.9, 0.95]
  beta: 0.9
model: {width: 64, name: gpt}
data: [a.txt, b.txt]
seed: 5
"""
LOADER = """import sys
from types import SimpleNamespace
READ = {"optim": {"lr": "3e-4", "beta": 0.9}, "model": {"width": 64}, "seed": 5}
yaml = SimpleNamespace(safe_load=lambda file: READ)
config = yaml.safe_load(open("conf/base.yaml"))
print(float(config["optim"]["lr"]), config["model"]["width"], config["seed"])
"""


def test_numbers_of_a_settings_file_reach_the_script_through_what_it_loads(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "base.yaml").write_text(YAML)
    script = source(LOADER)
    load, _ = find_load(tmp_path, script, [])
    assert load is not None
    found = load.settings
    assert {s.name: s.value for s in found} == {"LR": 3e-4, "BETA": 0.9, "WIDTH": 64, "SEED": 5}
    assert (load.file, load.insertions[0][0][0]) == ("conf/base.yaml", 5)
    assert set(load.words) >= {"a.txt", "b.txt"}
    copy = extract_constants(script, found, load, worth_lifting(found)).text
    assert read_constants(copy, ["LR", "BETA", "WIDTH"]) == {"LR": 3e-4, "BETA": 0.9, "WIDTH": 64}
    assert output(tmp_path, copy) == output(tmp_path, LOADER) == "0.0003 64 5\n"
    copy = Assignments({"LR": 0.1, "WIDTH": 128}).apply(copy)
    assert output(tmp_path, copy, TRAIN_SEED="9") == "0.1 128 9\n"


def test_names_with_line_breaks_write_no_code_into_the_copy(tmp_path: Path) -> None:
    breaks = '"lr\\nimport os; INJECTED = 1 #": 0.1\nb: &b {width: 64, self: *b}\nagain: *b\n'
    (tmp_path / 'a""".yaml').write_text(breaks)
    script = source('import yaml\nc = yaml.safe_load(open(\'a""".yaml\'))\n')
    load, _ = find_load(tmp_path, script, [])
    assert load is not None
    found = load.settings
    assert sorted(s.value for s in found) == [0.1, 64]  # of an alias, once
    assert "INJECTED" not in names_bound(extract_constants(script, found, load, worth_lifting(found)).text)
    code = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr\\nINJECTED = 1 #', default=0.1)\n"
    assert "INJECTED" not in names_bound(lifted(code))


def settings_of(tmp_path: Path, text: str) -> dict[str, object]:
    (tmp_path / "c.yaml").write_text(text)
    loaded, _ = find_load(tmp_path, source('import yaml\nc = yaml.safe_load(open("c.yaml"))\n'), [])
    assert loaded is not None
    return {setting.name: setting.value for setting in loaded.settings}


def test_merge_keys_are_merged(tmp_path: Path) -> None:
    text = "base: &base {lr: 0.1, width: 8}\nrun:\n  <<: *base\n  lr: 0.5\nown: &own\n  <<: *own\n  depth: 2\n"
    found = settings_of(tmp_path, text)
    assert set(found.values()) == {0.1, 8, 0.5, 2}


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("twice", ["[*a{}, *a{}]", "*a{}"])
def test_merge_keys_that_explode_are_refused_before_they_do(tmp_path: Path, twice: str) -> None:
    chain = [f"a{n}: &a{n}\n  <<: {twice.format(n - 1, n - 1)}\n  k{n}: 1\n" for n in range(1, 900)]
    bomb = "a0: &a0 {x: 1}\n" + "".join(chain)
    with pytest.raises(UsageError, match=r"c\.yaml: its merge keys, <<, expand to more than 100000 entries"):
        settings_of(tmp_path, bomb)


def test_a_file_too_large_for_settings_is_data(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("words: [" + "a, " * 100_000 + "b]\n")
    load, why = find_load(tmp_path, source('import yaml\nc = yaml.safe_load(open("c.yaml"))\n'), [])
    assert load is None
    assert why.startswith("neither the script nor --args names the file of settings that train.py:2 loads: ")


def names_bound(code: str) -> set[str]:
    tree = ast.parse(code)
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def test_constants_stand_below_a_docstring_with_page_breaks(tmp_path: Path) -> None:
    code = f'"""Page one\n\x0c\x0c page two\n\u2028"""\n{OPTIONS}'
    assert output(tmp_path, lifted(code)) == output(tmp_path, code)


@pytest.mark.parametrize(
    ("text", "name"), [("--learning-rate", "LEARNING_RATE"), ("nLayer", "N_LAYER"), ("1x", "N1X"), ("a.b-c", "A_B_C")]
)
def test_names_of_constants(text: str, name: str) -> None:
    assert constant_name(text) == name


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("config = {'lr': 0.1}\n", "nothing reads it"),
        ("lr = 0.1\n", "nothing reads it"),
        (
            "hparams = {'lr': 0.1}\np.add_argument('--lr', default=0.2)\nhparams.update(vars(args))\n",
            "of the same name",
        ),
        ("args = p.parse_args()\np.add_argument('--lr', default=0.2)\nargs.lr = f()\n", "train.py:3 assigns it later"),
        ("p.add_argument('--n', default=0)\nif args.n == 0:\n    args.n = f()\n", "train.py:3 assigns it later"),
        ("def train(lr=0.1):\n    pass\ntrain(lr=args.lr)\n", "train.py:3 passes it to train"),
        ("@dataclass\nclass A:\n    lr: float = 1\nkw = dict(lr=f())\nA(**kw)\n", "train.py:5 passes it to A"),
        (
            "@dataclass\nclass A:\n    lr: int = 0\n    def __post_init__(self):\n        self.lr = f()\n",
            "assigns it later",
        ),
    ],
)
def test_a_setting_without_effect_says_what_sets_the_value(code: str, why: str) -> None:
    unused = [setting.unused for setting in settings(source(code)) if setting.unused]
    assert len(unused) == 1
    assert why in unused[0]


@pytest.mark.parametrize(
    "code",
    [
        "args.lr = args.lr * 2\np.add_argument('--lr', default=0.2)\n",
        "args.lr *= 2\np.add_argument('--lr', default=0.2)\n",
        "if args.big:\n    args.lr = f()\np.add_argument('--lr', default=0.2)\n",
        "for group in groups:\n    group['lr'] = f()\nconfig = {'lr': 0.1}\nprint(config)\n",
        "class Net:\n    def __init__(self, lr):\n        self.lr = lr\n@dataclass\nclass A:\n    lr: float = 1\nA()\n",
        "def train(lr=0.1):\n    pass\ntrain()\ntrain(lr=args.lr)\n",
        "lr = 0.1\nexec(text)\nconfig = {k: globals()[k] for k in keys}\n",
    ],
)
def test_a_setting_that_takes_effect_is_searched(code: str) -> None:
    assert [setting.name for setting in settings(source(code)) if not setting.unused] == ["LR"]


@pytest.mark.parametrize(
    ("code", "found", "budget"),
    [
        ("model.fit(x, y, epochs=10, batch_size=32)\n", {"BATCH_SIZE": 32}, "fit(epochs) = 10"),
        ("pl.Trainer(max_epochs=5, gradient_clip_val=.5)\n", {"GRADIENT_CLIP_VAL": 0.5}, "Trainer(max_epochs) = 5"),
        (
            "TrainingArguments('out', num_train_epochs=3, learning_rate=2e-5, warmup_ratio=.1)\n",
            {"LEARNING_RATE": 2e-5, "WARMUP_RATIO": 0.1},
            "TrainingArguments(num_train_epochs) = 3",
        ),
        (
            "PPO('MlpPolicy', env, gamma=.99, verbose=1).learn(10_000)\n",
            {"GAMMA": 0.99},
            "learn(total_timesteps) = 10000",
        ),
        ("learn.fit_one_cycle(4, 1e-3)\n", {"LR_MAX": 1e-3}, "fit_one_cycle(n_epoch) = 4"),
        ("OneCycleLR(optimizer, max_lr=.1, epochs=9, steps_per_epoch=n)\n", {"MAX_LR": 0.1}, ""),
    ],
)
def test_literal_arguments_of_training_libraries(code: str, found: dict[str, float], budget: str) -> None:
    each = settings(source(code))
    assert {setting.name: setting.value for setting in each if not why_left_out(setting)} == found
    assert find_budget(each).as_written == budget


@pytest.mark.parametrize(
    "code",
    [
        "p.add_argument('')\np.add_argument('-')\np.add_argument('--', default=1)\n",
        "@dataclass\nclass A:\n    n: Union[()] = 3\n    m: Optional[()] = 3\n",
    ],
)
def test_declarations_that_python_refuses_give_no_traceback(tmp_path: Path, code: str) -> None:
    script = source(code)
    assert with_given(script, settings(script), given_values(tmp_path, script, ["--lr", "1", "-", "--", "=", "x"]))


def test_numbers_of_calls_that_do_not_concern_training_are_none() -> None:
    code = """
def evaluate(model, batches=10):
    return accuracy(model, 0.5)
def set_seed(seed):
    random.seed(1)
def main():
    set_seed(42)
    x = np.zeros(3); best_loss = 1e9; total = 0.0
    plot(x, size=4)
    loader = DataLoader(val_set, batch_size=1000)
    layer = nn.Linear(784, 128)
    net = Net(16, k=3)
    evaluate(net, batches=5)
class Net:
    def __init__(self, width, k=2, start=0):
        self.out = nn.Conv2d(3, 64, kernel_size=3)
main()
"""
    assert [setting.name for setting in settings(source(code)) if not setting.unused] == ["WIDTH"]


def test_equal_literals_of_one_function_are_one_constant_and_different_ones_are_several(tmp_path: Path) -> None:
    code = (
        "from torch import nn\nfor drop in (nn.Dropout(0.5), nn.Dropout(p=0.5), nn.Dropout(0.25)):\n    print(drop.p)\n"
    )
    copy = lifted(code)
    assert (copy.count("nn.Dropout(DROPOUT_P)"), copy.count("nn.Dropout(p=DROPOUT_P)")) == (1, 1)
    assert "DROPOUT_2 = 0.25" in copy
    assert output(tmp_path, Assignments({"DROPOUT_P": 0.75}).apply(copy)) == "0.75\n0.75\n0.25\n"


def test_what_was_read_from_the_environment_is_a_constant_of_the_copy(tmp_path: Path) -> None:
    code = "import os\nLR = float(os.environ.get('LR', '0.1'))\nw = os.getenv('W', '3')\nprint(LR, int(w) + 1)\n"
    copy = lifted(code)
    assert "LR = 0.1\n" in copy
    assert output(tmp_path, copy) == output(tmp_path, code) == "0.1 4\n"
    assert output(tmp_path, Assignments({"LR": 0.5, "W": 7}).apply(copy), LR="9") == "0.5 8\n"
    assert "TRAIN_BUDGET" in lifted("import os\nb = int(os.environ.get('TRAIN_BUDGET', 3))\nlr = 0.1\nprint(lr)\n")
