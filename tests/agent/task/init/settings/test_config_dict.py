"""Settings of ml_collections: a copy of the script overrides what get_config() returns, or init says why not."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.task.init.host import HostResources
from agent.task.init.python_file import read_source
from agent.task.init.script_report import InitOptions, ScriptReport, read_script
from agent.task.init.settings.places.config_dict import CannotReadConfigError, find_config_file

SCRIPT = """from absl import app, flags
from ml_collections import config_flags

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", "configs/default.py", "settings", lock_config=True)


def main(argv):
    config = FLAGS.config
    print(config.optim.lr, config.optim["wd"], config.seed, config.num_steps, config.model.width, config.name)
    print(f"val_loss: {config.optim.lr * config.num_steps:.6f}")


if __name__ == "__main__":
    app.run(main)
"""
CONFIG = '''import ml_collections


def get_config():
    """Settings."""
    config = ml_collections.ConfigDict()
    config.seed, config.cached = 0, False
    config.seed = 3
    config.num_steps = 100
    config.name = "é"
    config.optim = optim = ml_collections.ConfigDict()
    optim.lr = 0.5
    optim.lr = 0.01
    other = config.optim
    other["wd"] = 1e-4
    config.model = ml_collections.ConfigDict({"width": 64, "deep": dict(dropout=0.1)})
    config.shape = (3, 4)
    config.half = config.num_steps // 2
    config.lock()
    return config
'''


def laid_out(folder: Path, script: str = SCRIPT, config: str = CONFIG) -> Path:
    (folder / "configs").mkdir()
    (folder / "train.py").write_text(script, encoding="utf-8")
    (folder / "configs" / "default.py").write_text(config, encoding="utf-8")
    return folder


def report(folder: Path, *arguments: str) -> ScriptReport:
    return read_script(folder, InitOptions(arguments=arguments), HostResources(4.0, 8.0, 2))


def run(folder: Path, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, script, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={"TRAIN_SEED": "3"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_values_are_those_that_the_function_sets(tmp_path: Path) -> None:
    found = find_config_file(tmp_path, read_source(laid_out(tmp_path), "train.py"), ())
    assert found is not None
    assert (found.file, found.flag, found.where) == ("configs/default.py", "config", "train.py:5")
    assert dict(found.values) == {
        ("seed",): 3, ("num_steps",): 100, ("name",): "é", ("optim", "lr"): 0.01, ("optim", "wd"): 1e-4,
        ("model", "width"): 64, ("model", "deep", "dropout"): 0.1,
    }  # fmt: skip


@pytest.mark.parametrize("line", ["config.seed = max(1, 2)", "config.seed, config.other = 5, 6"])
def test_a_value_that_is_computed_later_is_not_the_earlier_one(tmp_path: Path, line: str) -> None:
    laid_out(tmp_path, config=CONFIG.replace("config.lock()", line))
    found = find_config_file(tmp_path, read_source(tmp_path, "train.py"), ())
    assert found is not None
    assert ("seed",) not in dict(found.values)
    assert dict(found.values)["num_steps",] == 100


def test_a_copy_overrides_them_by_constants(tmp_path: Path) -> None:
    pytest.importorskip("ml_collections")
    reading = report(laid_out(tmp_path))
    assert (reading.unread, reading.budget.as_written) == ("", "configs/default.py: config.num_steps = 100")
    assert "configs/default.py" in reading.needs.frozen
    assert reading.lifted is not None
    assert {"LR", "WD", "WIDTH", "DROPOUT"} == {setting.name for setting in reading.lifted.settings}
    (tmp_path / "train_block.py").write_text(reading.lifted.text, encoding="utf-8")
    assert run(tmp_path, "train_block.py") == run(tmp_path, "train.py")
    copy = Assignments({"LR": 0.25, "WIDTH": 128}).apply(reading.lifted.text)
    (tmp_path / "train_block.py").write_text(copy, encoding="utf-8")
    given = ("--config.optim.lr=0.25", "--config.model.width=128")
    assert run(tmp_path, "train_block.py") == run(tmp_path, "train.py", *given)


def test_what_the_arguments_give_is_not_searched(tmp_path: Path) -> None:
    laid_out(tmp_path)
    (tmp_path / "configs" / "small.py").write_text(CONFIG.replace("100", "7"), encoding="utf-8")
    reading = report(tmp_path, "--config=configs/small.py", "--config.optim.lr=0.2")
    assert reading.lifted is not None
    assert {setting.name for setting in reading.lifted.settings} == {"WD", "WIDTH", "DROPOUT"}
    assert (reading.budget.amount, reading.unread) == (7, "")


@pytest.mark.parametrize(
    "use",
    [
        "C = config_flags.DEFINE_config_file('config', default='configs/default.py')\nprint(C.value.optim.lr)\n",
        "config_flags.DEFINE_config_file('config', 'configs/default.py')\nprint(flags.FLAGS.config.optim.lr)\n",
        "config_flags.DEFINE_config_file('c', 'configs/default.py')\nFL = flags.FLAGS\nprint(FL.c.optim.lr)\n",
    ],
)
def test_each_way_to_read_the_flag_is_found(tmp_path: Path, use: str) -> None:
    script = f"from absl import flags\nfrom ml_collections import config_flags\n{use}"
    script += "loss = 2.5\nprint(f'val_loss: {loss}')\n"
    reading = report(laid_out(tmp_path, script))
    assert reading.lifted is not None
    assert reading.lifted.text.count("configured(") == 2  # its definition, and the call


@pytest.mark.parametrize(
    ("script", "config", "why"),
    [
        (SCRIPT, "x = 1\n", "configs/default.py has no function get_config"),
        (SCRIPT, "def get_config(size):\n    return size\n", "get_config of configs/default.py takes an argument"),
        (SCRIPT, "def get_config():\n    return {}\n", "configs/default.py:2 returns something else than a variable"),
        (
            *(SCRIPT, CONFIG.replace("    config.lock()", "    if config.seed:\n        config.seed = 1")),
            "configs/default.py:19 computes the settings",
        ),
        (SCRIPT, CONFIG.replace("config.lock()", "config.update(seed=4)"), "configs/default.py:19 computes the"),
        (SCRIPT, CONFIG.replace("config.lock()", "tune(config)"), "configs/default.py:19 computes the"),
        (SCRIPT, CONFIG.replace("config.lock()", "config = tuned(config)"), "configs/default.py:19 computes the"),
        (SCRIPT.replace('"configs/default.py", ', ""), CONFIG, "settings, which train.py:5 names, is no file of"),
        (SCRIPT.replace('"configs/default.py", "settings", ', ""), CONFIG, "neither train.py:5 nor --args names"),
        (SCRIPT.replace("configs/default.py", "../c.py"), CONFIG, "../c.py, which train.py:5 names, is no file of"),
        (SCRIPT.replace("    print(f", "    FLAGS.config.a = 1\n    print(f"), CONFIG, "train.py:11 changes the"),
        (SCRIPT.replace("FLAGS.config", "load()"), CONFIG, "no line of train.py reads the flag at train.py:5"),
        (SCRIPT + "config_flags.DEFINE_config_file('b')\n", CONFIG, "train.py:5 and train.py:16 both name a file"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_reported_and_not_searched(
    tmp_path: Path, script: str, config: str, why: str
) -> None:
    laid_out(tmp_path, script, config)
    with pytest.raises(CannotReadConfigError) as refused:
        find_config_file(tmp_path, read_source(tmp_path, "train.py"), ())
    assert str(refused.value).startswith(why)
    reading = report(tmp_path)
    assert reading.lifted is None
    assert reading.unread.startswith(f"{why}")
    assert "their values are not searched" in reading.unread
