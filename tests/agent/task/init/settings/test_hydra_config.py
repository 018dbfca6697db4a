"""Settings that hydra composes: their values are those of hydra 1.3, and a copy of the script overrides them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.task.init.host import HostResources
from agent.task.init.python_file import Source
from agent.task.init.script_report import InitOptions, ScriptReport, read_script
from agent.task.init.settings.hydra_config import CannotComposeError, compose

FILES = {
    "conf/config.yaml": (
        "defaults:\n  - optim: adam\n  - model: small\n  - optional local: none\n  - _self_\n"
        "  - override hydra/job_logging: disabled\nepochs: 3\nname: run\noptim: {wd: 0.01}\n"
        "hydra: {run: {dir: out}, job: {num: 3}}\nwidth: ${model.hidden}\n"
    ),
    "conf/optim/adam.yaml": "lr: 3e-4\nwd: 0.5\nbetas: [0.9, 0.99]\n",
    "conf/optim/sgd.yaml": "lr: 0.1\nmomentum: 0.9\nwd: 0\n",
    "conf/model/small.yaml": "defaults:\n  - base\n  - act: relu\n\nhidden: 64\n",
    "conf/model/base.yaml": "hidden: 16\ndropout: 0.1\n",
    "conf/model/act/relu.yaml": "slope: 0.01\n",
    "conf/model/wide.yaml": "# @package _global_\nmodel: {hidden: 512}\nepochs: 9\n",
}
MAIN = """import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    \"\"\"Train.\"\"\"
    for epoch in range(cfg.epochs):
        loss = (cfg.optim.lr - 0.3) ** 2 + cfg.model.dropout
    print(f"val_loss: {loss:.6f}")


if __name__ == "__main__":
    main()
"""
# What `python train.py --cfg job` of hydra 1.3.8 shows, in its order.
OF_HYDRA = {
    "optim.lr": 3e-4, "optim.wd": 0.01, "model.hidden": 64, "model.dropout": 0.1, "model.act.slope": 0.01, "epochs": 3,
}  # fmt: skip


def laid_out(folder: Path, script: str = MAIN, **more: str) -> Source:
    for name, text in {**FILES, **more, "train.py": script}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Source("train.py", script, ast.parse(script))


def numbers(folder: Path, source: Source, *arguments: str) -> dict[str, object]:
    found = compose(folder, source, arguments)
    assert found is not None
    return {".".join(keys): value for keys, value, _ in found.values if not isinstance(value, str)}


def report(folder: Path, *arguments: str) -> ScriptReport:
    return read_script(folder, InitOptions(arguments=arguments), HostResources(4.0, 8.0, 2))


def test_the_values_are_those_that_hydra_composes(tmp_path: Path) -> None:
    source = laid_out(tmp_path)
    assert numbers(tmp_path, source) == OF_HYDRA
    sgd = {**OF_HYDRA, "optim.lr": 0.1, "optim.momentum": 0.9}
    assert numbers(tmp_path, source, "optim=sgd", "optim.lr=0.2") == sgd
    global_ = {"optim.lr": 3e-4, "optim.wd": 0.01, "model.hidden": 512, "epochs": 3}
    assert numbers(tmp_path, source, "model=wide") == global_
    first = FILES["conf/config.yaml"].replace("  - _self_\n", "").replace("defaults:\n", "defaults:\n  - _self_\n")
    assert numbers(tmp_path, laid_out(tmp_path, **{"conf/config.yaml": first})) == {**OF_HYDRA, "optim.wd": 0.5}


def test_a_copy_overrides_them_by_constants(tmp_path: Path) -> None:
    laid_out(tmp_path)
    reading = report(tmp_path)
    assert reading.lifted is not None
    assert {setting.name: setting.value for setting in reading.lifted.settings} == {
        "LR": 3e-4, "WD": 0.01, "HIDDEN": 64, "DROPOUT": 0.1, "SLOPE": 0.01,
    }  # fmt: skip
    assert reading.budget.as_written == "conf/config.yaml: epochs = 3"
    assert "conf/" in reading.needs.frozen
    copy = Assignments({"LR": 0.25, "HIDDEN": 128}).apply(reading.lifted.text)
    assert 'def main(cfg):\n    """Train."""\n    configured(cfg)\n    for epoch' in copy
    (tmp_path / "hydra.py").write_text(  # calls the function with a dict that has hydra's values
        "class Table(dict):\n    __getattr__ = dict.__getitem__\n\n\n"
        "def main(**_):\n"
        "    optim, model = Table(lr=3e-4, wd=0.01), Table(hidden=64, dropout=0.1, act=Table(slope=0.01))\n"
        "    return lambda function: lambda: function(Table(optim=optim, model=model, epochs=3))\n"
    )
    (tmp_path / "copy.py").write_text(copy)
    done = subprocess.run([sys.executable, "copy.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "val_loss: 0.102500\n"


def test_what_the_arguments_give_is_not_searched(tmp_path: Path) -> None:
    laid_out(tmp_path)
    reading = report(tmp_path, "optim.lr=0.2", "epochs=7")
    assert reading.lifted is not None
    assert {setting.name for setting in reading.lifted.settings} == {"WD", "HIDDEN", "DROPOUT", "SLOPE"}
    assert (reading.budget.amount, reading.unread) == (7, "")


@pytest.mark.parametrize(
    ("files", "arguments", "why"),
    [
        (
            {"conf/config.yaml": "defaults:\n  - optim@a.b: adam\n"},
            (),
            "the entry {'optim@a.b': 'adam'} in the defaults",
        ),
        ({"conf/config.yaml": "defaults:\n  - optim: rmsprop\n"}, (), "conf/optim/rmsprop.yaml, which a defaults list"),
        ({"conf/config.yaml": "defaults:\n  - config\n"}, (), "lead to more than 100 files"),
        ({"conf/config.yaml": "[1, 2]\n"}, (), "conf/config.yaml is no table of settings"),
        ({"conf/config.yaml": "a: &a {b: *a}\n"}, (), "more than 50 tables within tables"),
        ({"conf/model/small.yaml": "# @package net\nhidden: 3\n"}, (), "has the header @package net"),
        ({}, ("+optim=sgd",), "+optim=sgd of --args adds or removes a file"),
        ({}, ("--config-name=other",), "conf/other.yaml, which train.py:4 names, does not exist"),
        ({}, ("--config-path", "/etc"), "/etc, where train.py:4 finds its settings, is outside the folder"),
    ],
)
def test_what_is_not_understood_is_reported_and_not_searched(
    tmp_path: Path, files: dict[str, str], arguments: tuple[str, ...], why: str
) -> None:
    source = laid_out(tmp_path, **files)
    with pytest.raises(CannotComposeError) as refused:
        compose(tmp_path, source, arguments)
    assert why in str(refused.value)
    reading = report(tmp_path, *arguments)
    assert reading.unread.startswith(str(refused.value))
    assert not any(setting.kind == "file" for setting in reading.other_settings)


def test_settings_in_dataclasses_are_none_of_a_file(tmp_path: Path) -> None:
    script = MAIN.replace('"config")', '"stored")').replace(
        "import hydra\n", "import hydra\nfrom x import ConfigStore\n"
    )
    assert compose(tmp_path, laid_out(tmp_path, script), []) is None
    assert compose(tmp_path, laid_out(tmp_path, MAIN.replace(', config_name="config"', "")), []) is None


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ("def main(cfg): print(cfg)\n", "def main(cfg): configured(cfg); print(cfg)\n"),
        (
            "def main(cfg):\n\t@once\n\tdef run(): ...\n",
            "def main(cfg):\n\tconfigured(cfg)\n\t@once\n\tdef run(): ...\n",
        ),
    ],
)
def test_the_call_stands_before_the_first_statement(tmp_path: Path, body: str, start: str) -> None:
    decorated = '@hydra.main(config_path="conf", config_name="config")\n'
    laid_out(tmp_path, f"import hydra\n{decorated}{body}print(f'val_loss: {{1:.6f}}')\n")
    reading = report(tmp_path)
    assert reading.lifted is not None
    assert decorated + start in reading.lifted.text
    ast.parse(reading.lifted.text)


def test_the_compose_api_is_understood(tmp_path: Path) -> None:
    script = (
        "from hydra import compose, initialize\n"
        'with initialize(version_base=None, config_path="conf"):\n'
        '    cfg = compose(config_name="config")\nprint(f"val_loss: {cfg.optim.lr}")\n'
    )
    source = laid_out(tmp_path, script)
    assert numbers(tmp_path, source) == OF_HYDRA
    reading = report(tmp_path)
    assert reading.lifted is not None
    assert 'cfg = configured(compose(config_name="config"))' in reading.lifted.text
