"""estimate.py: what a step of train.py takes in memory, counted without taking any."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from agent.edits.assignments import Assignments
from agent.task import Task
from tests.train_template.conftest import TEMPLATE, job_environment, module_at

SEQ_LEN, VOCAB = 256, 512
SMALL = {"DEPTH": 2, "ASPECT_RATIO": 64, "HEAD_DIM": 64, "DEVICE_BATCH_SIZE": 8, "TOTAL_BATCH_SIZE": 8 * SEQ_LEN}
Count = Callable[..., int]


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Return a function that counts the bytes of one step with SMALL values, some changed, in this process."""

    def step_bytes(**values: int) -> int:
        script = tmp_path / "train.py"
        script.write_text(Assignments({**SMALL, **values}).apply((TEMPLATE / "train.py").read_text()))
        monkeypatch.setitem(sys.modules, "train", module_at(script))
        module: ModuleType = module_at(TEMPLATE / "estimate.py")
        n_bytes: int = module.step_bytes(SEQ_LEN, VOCAB)
        return n_bytes

    return step_bytes


def test_it_grows_with_batch_depth_width_and_accumulation_and_is_the_same_twice(count: Count) -> None:
    small = count()
    assert count() == small
    twice = 2 * SMALL["TOTAL_BATCH_SIZE"]
    larger = [
        count(DEVICE_BATCH_SIZE=16, TOTAL_BATCH_SIZE=twice),
        count(DEPTH=4, ASPECT_RATIO=32),  # the same width
        count(ASPECT_RATIO=128),
        count(TOTAL_BATCH_SIZE=twice),  # gradients are kept
    ]
    assert min(larger) > small


def test_it_counts_what_pen_and_paper_count(count: Count) -> None:
    layers, width, tokens = 8, 512, 64 * SEQ_LEN
    n_bytes = count(DEPTH=layers, ASPECT_RATIO=64, DEVICE_BATCH_SIZE=64, TOTAL_BATCH_SIZE=tokens)
    # Of a layer, backward needs in bf16: the stream normalised, twice; queries, keys, values and what attention makes
    # of them; and what the second matrix of the perceptron is multiplied with, 4 widths.
    activations = 2 * tokens * width * layers * (2 + 4 + 4)
    logits = 2 * tokens * VOCAB
    matrices = 12 * layers * width**2 * (4 + 4 + 2)  # the weights, Muon's momentum, a copy in bf16
    assert n_bytes == pytest.approx(activations + logits + matrices, rel=0.06)


@pytest.mark.long
def test_nothing_of_that_size_is_taken(tmp_path: Path) -> None:
    """The command of the gpu profile counts 20 GB and more, and lives in less than one."""
    task = Task.load(TEMPLATE, "gpu")
    for name, content in task.files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "meta.json").write_text(json.dumps({"seq_len": 2048, "vocab_size": 8192}))
    program = "import resource, runpy; resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30)); runpy.run_path"
    command = [sys.executable, "-c", f"{program}('estimate.py', run_name='__main__')"]
    environment = {**job_environment(tmp_path, tmp_path / "artifact", "steps", 1), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"memory_gb: ([\d.]+)\n", done.stdout)
    assert found is not None
    assert 20 < float(found[1]) < 40
    assert not (tmp_path / "artifact").exists()
