"""The bundled task's files, loaded from where they lie, and tiny data to train on."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TEMPLATE = Path(__file__).parents[2] / "train_template"
SEQ_LEN, VOCAB = 16, 64
WORK = {"multiply": 1e-9, "channel": 1e-7, "logit": 1e-8, "layer": 1e-3, "muon": 1e-9}


def module_at(path: Path) -> ModuleType:
    """Return the file as a freshly executed module."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def train() -> ModuleType:
    """train.py as a module; importing it trains nothing."""
    return module_at(TEMPLATE / "train.py")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder: 5,000 tokens in which each token nearly determines the next."""
    folder = tmp_path_factory.mktemp("data")
    chance = np.random.default_rng(0)
    tokens = np.cumsum(chance.integers(1, 3, 5000)) % VOCAB
    tokens.astype("<u2").tofile(folder / "train.bin")
    (folder / "meta.json").write_text(json.dumps({"seq_len": SEQ_LEN, "vocab_size": VOCAB, "work": WORK}))
    return folder


def job_environment(data: Path, output: Path, unit: str, amount: float, seed: int = 0) -> dict[str, str]:
    """What a training job sees."""
    return {
        "TRAIN_DATA": str(data),
        "TRAIN_OUTPUT": str(output),
        "TRAIN_SEED": str(seed),
        "TRAIN_BUDGET": str(amount),
        "TRAIN_BUDGET_UNIT": unit,
        "PATH": "/usr/bin:/bin",
    }
