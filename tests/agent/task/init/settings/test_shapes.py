"""Scripts of tests/scripts/settings, one per place where numbers stand: what is searched, and what is left out and why.

click, typer, pydantic, attrs and torch are installed, so the copies of those scripts run and print what the originals
print. tyro, fire, omegaconf, absl and scikit-learn are not: those scripts are only read.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.task.init.host import HostResources
from agent.task.init.script_report import InitOptions, ScriptReport, read_script
from agent.task.init.task_toml import files_of
from agent.task.task import Task

SCRIPTS = Path(__file__).parents[4] / "scripts" / "settings"
LOG, ORDERED = {"log": True}, {"ordered": True}


@dataclass(frozen=True)
class Shape:
    """The expected reading of one script."""

    space: dict[str, dict[str, Any]]  # without the key `type` where the bounds tell it
    budget: tuple[str, float]
    left_out: tuple[str, ...] = ()  # comments of the table
    constraints: tuple[str, ...] = ()
    args: str = ""
    runs: bool = True


def real(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, **more}


def whole(low: int, high: int, **more: Any) -> dict[str, Any]:
    return {"type": "int", "low": low, "high": high, **more}


def power(low: int, high: int) -> dict[str, Any]:
    return {"type": "power_of_two", "low": low, "high": high}


def one_of(*choices: Any, **more: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **more}


SHAPES = {
    "argparse_types": Shape(
        {
            "LR": real(3e-5, 3e-3, **LOG),
            "WEIGHT_DECAY": real(0.0, 0.5),
            "HEADS": one_of(2, 4, 8, **ORDERED),
            "HIDDEN": whole(25, 400, **LOG),
            "OPTIMIZER": one_of("sgd", "adamw"),
            "MOMENTUM": real(0.6, 0.975),
        },
        ("work", 2),
        (
            "# --top-k = -1  # left out: it concerns evaluation",
            "# --clip = -1.0  # left out: -1.0 seems to stand for none, all or no limit",
            "# --ignore-index = -100  # left out",
            "# --num-classes = 10  # left out",
            "# --num-workers = 4  # left out: it concerns the machine",
        ),
    ),
    "click_ranges": Shape(
        {
            "LR": real(0.05, 0.5),
            "LAYERS": whole(1, 6),
            "KEEP": real(0.005, 0.995),
            "ACT": one_of("relu", "gelu"),
        },
        ("steps", 5),
    ),
    "typer_options": Shape({"LR": real(0.1, 2.0), "WIDTH": whole(8, 128)}, ("work", 3)),
    "tyro_dataclass": Shape(
        {
            "NUM_STEPS": power(32, 512),
            "NUM_MINIBATCHES": power(1, 16),
            "LEARNING_RATE": real(3e-5, 3e-3, **LOG),
            "GAMMA": real(0.96, 0.9975),
            "GAE_LAMBDA": real(0.8, 0.9875),
            "ENT_COEF": real(1e-3, 0.1, **LOG),
            "TARGET_KL": real(0.1, 10.0, **LOG),
            "ANNEAL": one_of("linear", "cosine"),
        },
        ("steps", 5000),
        ("# Args.batch_size = 0  # left out: tyro_dataclass.py:26 assigns it later",),
        runs=False,
    ),
    "configurator": Shape(
        {
            "N_EMBD": whole(96, 1536, **LOG),
            "LEARNING_RATE": real(3e-5, 3e-3, **LOG),
            "MIN_LR": real(3e-6, 3e-4, **LOG),
            "WARMUP_ITERS": whole(25, 400, **LOG),
        },
        ("steps", 50),
        (
            "# n_head = 4  # left out: --args gives it: --n_head=4",
            "# dropout = 0.2  # left out: --args gives it: configurator_small.py: dropout = 0.2",
        ),
        ("N_EMBD % 4 == 0", "MIN_LR <= LEARNING_RATE"),
        args="configurator_small.py --n_head=4",
    ),
    "environment": Shape(
        {"LR": real(0.01, 1.0, **LOG), "DECAY": real(1e-4, 1e-2, **LOG), "SMOOTHING": real(0.0, 0.1)},
        ("work", 3),
        ("# WIDTH of the environment = 4  # left out: --args gives it: WIDTH=4",),
        args="WIDTH=4",
    ),
    "below_main": Shape(
        {
            "MOMENTUM": real(0.6, 0.975),
            "WEIGHT_DECAY": real(1e-3, 0.1, **LOG),
            "GAIN": real(0.3, 0.925),
            "LR": real(0.01, 1.0, **LOG),
            "WIDTH": power(8, 128),
            "SCALE": real(0.2, 20.0, **LOG),
        },
        ("steps", 5),
        ("# train(width) = 16  # left out: below_main.py:18 passes it to train",),
    ),
    "fire_defaults": Shape(
        {"LR": real(0.1, 10.0, **LOG), "DEPTH": whole(2, 8), "KEEP_PROB": real(0.2, 0.95)}, ("work", 3), runs=False
    ),
    "hydra_overrides": Shape(
        {"BETA": real(0.6, 0.975)},
        ("work", 2),
        ("# cfg['optim']['lr'] = 0.5  # left out: --args gives it: optim.lr=0.5",),
        args="optim.lr=0.5 +trainer.max_epochs=2",
        runs=False,
    ),
    "cfgnode": Shape(
        {
            "N_LAYER": whole(1, 6),
            "N_EMBD": whole(24, 96),
            "DROPOUT": real(0.0, 0.2),
            "LEARNING_RATE": real(5e-5, 5e-3, **LOG),
        },
        ("steps", 10),
    ),
    "twins": Shape(
        {"N_LAYER": whole(2, 8), "N_EMBD": power(16, 256), "DROPOUT": real(0.0, 0.2)},
        ("work", 1),
        (
            "# RATE = 0.5  # left out: --args gives it: --lr 0.5",
            "# ModelConfig.n_layer = 4  # left out: twins.py:21 passes it to ModelConfig",
        ),
        args="--lr=0.5",
    ),
    "pydantic_fields": Shape(
        {
            "LR": real(0.001, 0.5, **LOG),
            "MOMENTUM": real(0.0, 0.999),
            "DEPTH": whole(1, 4),
            "WIDTH": whole(12, 192),
            "GROUPS": one_of(1, 2, 4, **ORDERED),
            "ACT": one_of("RELU", "GELU"),
        },
        ("steps", 5),
        constraints=("WIDTH % GROUPS == 0",),
    ),
    "named_tuple": Shape(
        {
            "LR": real(0.005, 0.5, **LOG),
            "LAYERS": whole(1, 6),
            "GAIN": real(0.5, 2.0),
            "NORM": one_of("layer", "batch"),
        },
        ("work", 1),
    ),
    "torch_calls": Shape(
        {
            "DROP": real(0.0, 0.5),
            "DROPOUT": real(0.0, 0.6),
            "BATCH_SIZE": power(4, 64),
            "HIDDEN": whole(12, 48),
            "LR": real(1e-3, 0.1, **LOG),
            "BETA1": real(0.6, 0.975),
            "BETA2": real(0.96, 0.9975),
            "WEIGHT_DECAY": real(0.0, 0.2),
            "STEP_SIZE": power(1, 8),
            "GAMMA": real(0.3, 0.925),
            "GRAD_CLIP": real(0.1, 10.0, **LOG),
        },
        ("work", 1),
    ),
    "llama_constants": Shape(
        {
            "DIM": whole(72, 1152, **LOG),
            "N_HEADS": whole(3, 12),
            "N_KV_HEADS": whole(1, 6),
            "BATCH_SIZE": whole(48, 192),
            "MICRO_BATCH_SIZE": whole(6, 24),
            "LEARNING_RATE": real(5e-5, 5e-3, **LOG),
            "MIN_LR": real(5e-6, 5e-4, **LOG),
            "WARMUP_ITERS": whole(5, 20),
            "MULTIPLE_OF": power(8, 128),
            "BETA2": real(0.8, 0.9875),
            "DROPOUT": real(0.0, 0.5),
        },
        ("steps", 20),
        ("# H100_PEAK_FLOPS = 989000000000000.0  # left out: it concerns the machine",),
        (
            "DIM % N_HEADS == 0",
            "N_HEADS % N_KV_HEADS == 0",
            "BATCH_SIZE % MICRO_BATCH_SIZE == 0",
            "WARMUP_ITERS <= MAX_ITERS",
            "MIN_LR <= LEARNING_RATE",
        ),
    ),
    "absl_flags": Shape(
        {"LR": real(0.01, 0.2), "LAYERS": whole(1, 6), "ACT": one_of("relu", "gelu")}, ("work", 4), runs=False
    ),
    "estimator": Shape(
        {"LEARNING_RATE": real(0.01, 1.0, **LOG), "MAX_DEPTH": whole(1, 6), "SUBSAMPLE": real(0.2, 0.95)},
        ("work", 50),
        runs=False,
    ),
}


def reading(name: str, folder: Path, *, block: bool | None = None) -> ScriptReport:
    """Return the report on a copy of a script."""
    for path in SCRIPTS.glob(f"{name}*.py"):
        shutil.copy(path, folder)
    wishes = InitOptions(f"{name}.py", arguments=tuple(shlex.split(SHAPES[name].args)), block=block)
    return read_script(folder, wishes, HostResources(4.0, 8.0, 2))


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_searched_and_what_is_not(name: str, tmp_path: Path) -> None:
    shape, report = SHAPES[name], reading(name, tmp_path, block=True if name == "twins" else None)
    table = tomllib.loads(report.space)["space"]
    assert tuple(table.pop("constraints", ())) == shape.constraints
    assert table == shape.space
    assert [line for line in shape.left_out if line not in report.space] == []
    assert (report.budget.unit, report.budget.amount) == shape.budget
    files_of(report)  # checks that `agent run` takes the task


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.runs])
def test_the_copy_prints_what_the_script_prints(name: str, tmp_path: Path) -> None:
    report = reading(name, tmp_path, block=True if name == "twins" else None)
    for file, text in files_of(report).items():
        (tmp_path / file).write_text(text)
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), **report.environment}

    def output(file: str) -> str:
        command = [sys.executable, file, *report.arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    task = Task.load(tmp_path)
    assert output(task.script) == output(f"{name}.py")
    assert task.variables == report.environment
