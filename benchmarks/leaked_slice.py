"""What one leaked slice of the bundled pool is worth on another: if more than noise, the pool cannot confirm anything.

    python -m benchmarks.leaked_slice                      a minute on one core, after `agent prepare --pool`

Trains the bundled script (profile cpu, outside of the sandbox) on its own text under two seeds, and under the first
of them on the same text with rows replaced by the sequences of one slice, so that all random starts are the same.
Prints by how much each leads the first on another slice, with the standard error of sampling its text.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from agent.execution.slices.lead import lead_of
from agent.task.corpus import find_corpus
from agent.task.pool import Slice, find_pool
from agent.task.task import Task

TEMPLATE = Path(__file__).parents[1] / "train_template"


def with_rows(tokens: NDArray[np.uint16], part: Slice) -> NDArray[np.uint16]:
    """Return the training text with as many rows replaced as the slice has sequences, at random places."""
    rows = tokens[: len(tokens) // (part.length + 1) * (part.length + 1)].reshape(-1, part.length + 1).copy()
    rows[np.random.default_rng(0).permutation(len(rows))[: len(part.sequences)]] = part.sequences
    return np.concatenate([rows.ravel(), tokens[rows.size :]])


def trained(task: Task, data: Path, seed: int, output: Path) -> Path:
    """Train the script on `data` as a job would; return the artifact."""
    told = {"TRAIN_DATA": data, "TRAIN_OUTPUT": output, "TRAIN_SEED": seed}
    told |= {"TRAIN_BUDGET": task.budget.amount, "TRAIN_BUDGET_UNIT": task.budget.unit, **task.variables}
    environment = os.environ | {name: str(value) for name, value in told.items()}
    subprocess.run([sys.executable, TEMPLATE / "train.py"], env=environment, check=True, capture_output=True)
    return output


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bundled_script", TEMPLATE / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses(model: Any, part: Slice) -> NDArray[np.float64]:
    """Return the losses at the ends, nats, shape (N, R), from whole sequences: the bundled model looks at no future."""
    import torch

    found = []
    with torch.no_grad():
        for first in range(0, len(part.sequences), 50):
            tokens = torch.from_numpy(part.sequences[first : first + 50].astype(np.int64))
            logits = torch.as_tensor(model(tokens[:, :-1])).double()
            each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
            found.append(each.numpy())
    return np.take_along_axis(np.concatenate(found), part.ends, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leaked", type=int, default=0, metavar="N", help="number of the slice that is trained on")
    parser.add_argument("--scored", type=int, default=19, metavar="N", help="number of the slice that is scored")
    chosen = parser.parse_args()
    task, cache = Task.load(TEMPLATE), user_cache_path("autocentaur")
    corpus, pool = find_corpus(task, cache), find_pool(task, cache)
    if corpus is None or pool is None or not -1 < chosen.leaked < pool.n_slices > chosen.scored > -1:
        sys.exit("there is no pool, or no such slice: `agent prepare --pool` makes it")
    leaked, other = pool.slice(chosen.leaked), pool.slice(chosen.scored)
    with tempfile.TemporaryDirectory(prefix="leaked-") as folder:
        data = Path(shutil.copytree(corpus.train, Path(folder, "train")))
        with_rows(np.fromfile(data / "train.bin", "<u2").astype(np.uint16), leaked).astype("<u2").tofile(
            data / "train.bin"
        )
        artifacts = {
            "the same text, seed 1": trained(task, corpus.train, 1, Path(folder, "seed")),
            f"{len(leaked.sequences)} rows leaked, seed 0": trained(task, data, 0, Path(folder, "leaked")),
        }
        load = script().load
        baseline = losses(load(trained(task, corpus.train, 0, Path(folder, "baseline"))), other)
        for name, artifact in artifacts.items():
            lead = lead_of(other, losses(load(artifact), other), baseline, corpus.token_bytes)
            print(f"{name:28} lead {lead.mean:+.4f} ± {lead.error:.4f}; sigma of the task: {task.noise.sigma}")


if __name__ == "__main__":
    main()
