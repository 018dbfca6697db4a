"""Gain on other slices from training on a leaked slice of the pool; if it exceeded noise, slices could not confirm.

    python -m benchmarks.leaked_slice                      5 minutes on one core, after `agent prepare --pool`
    python -m benchmarks.leaked_slice --copies 8           the leaked slice is a quarter of the training text

Trains the bundled script (profile cpu, outside the sandbox): unchanged under two seeds, with two edits, and, under the
first seed, on the same text with rows replaced by the sequences of one slice, so that all random starts are the same.
As a control, it trains three times with rows replaced by training text drawn like a slice (few rows of each document),
which also helps but is no leak. Prints each model's lead over the first on slices that no model trained on, and on the
leaked slice itself, with the standard error of sampling the text.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from agent.execution.slices.lead import lead_of
from agent.task.corpus import find_corpus
from agent.task.task import Task
from agent.task.unseen.pool import Slice, find_pool
from agent.task.unseen.pool_making import Documents, draw_slices

TEMPLATE = Path(__file__).parents[1] / "train_template"
Edits = Sequence[tuple[str, str]]  # replacements in the script: old text, new text
EDITS: dict[str, Edits] = {
    "MATRIX_LR x 1.5": [("MATRIX_LR = 0.04", "MATRIX_LR = 0.06")],
    "momentum .8, head rate x 2": [
        ("momentum = 0.85 + 0.1 * min(self.n_steps / 300, 1)", "momentum = 0.8"),
        ("UNEMBEDDING_LR = 0.004", "UNEMBEDDING_LR = 0.008"),
    ],
}


def with_rows(tokens: NDArray[np.uint16], part: Slice, copies: int) -> NDArray[np.uint16]:
    """Return the training text with random rows replaced by `copies` copies of the slice's sequences."""
    rows = tokens[: len(tokens) // (part.length + 1) * (part.length + 1)].reshape(-1, part.length + 1).copy()
    leaked = np.tile(part.sequences, (copies, 1))
    rows[np.random.default_rng(0).permutation(len(rows))[: len(leaked)]] = leaked
    return np.concatenate([rows.ravel(), tokens[rows.size :]])


def drawn_alike(tokens: NDArray[np.uint16], bos: int, part: Slice, seed: int) -> Slice:
    """Return sequences of training documents, drawn like those of a slice: few of each document, however long."""
    bounds = np.append(np.flatnonzero(tokens == bos), len(tokens)).astype(np.int64)
    texts = Documents(tokens, bounds, np.zeros(len(tokens), bool))
    return draw_slices(texts, part.length, len(part.sequences), part.n_rounds, np.random.default_rng(seed))[0]


def trained(task: Task, data: Path, seed: int, output: Path, edits: Edits = ()) -> Path:
    """Train the edited script on `data` as a job would; return the artifact."""
    source = (TEMPLATE / "train.py").read_text(encoding="utf-8")
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    variables = {"TRAIN_DATA": data, "TRAIN_OUTPUT": output, "TRAIN_SEED": seed}
    variables |= {"TRAIN_BUDGET": task.budget.amount, "TRAIN_BUDGET_UNIT": task.budget.unit, **task.variables}
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    edited = output.with_suffix(".py")
    edited.write_text(source, encoding="utf-8")
    subprocess.run([sys.executable, edited], env=environment, check=True, capture_output=True)
    return output


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bundled_script", TEMPLATE / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses(model: Any, part: Slice) -> NDArray[np.float64]:
    """Return the losses at the ends, nats, shape (N, R), from whole sequences, since the bundled model is causal."""
    import torch

    found = []
    with torch.no_grad():
        for first in range(0, len(part.sequences), 25):
            tokens = torch.from_numpy(part.sequences[first : first + 25].astype(np.int64))
            logits = torch.as_tensor(model(tokens[:, :-1])).float()
            each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
            found.append(each.reshape(len(tokens), -1).numpy())
    return np.take_along_axis(np.concatenate(found), part.ends, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leaked", type=int, default=4, metavar="N", help="train on each of the first N slices")
    parser.add_argument("--scored", type=int, default=3, metavar="N", help="score on each of the last N slices")
    parser.add_argument("--controls", type=int, default=3, metavar="N", help="draw N controls from the training text")
    parser.add_argument(
        "--copies", type=int, default=1, metavar="N", help="copies of the leaked slice in the training text"
    )
    chosen = parser.parse_args()
    task, cache = Task.load(TEMPLATE), user_cache_path("autocentaur")
    corpus, pool = find_corpus(task, cache), find_pool(task, cache)
    if corpus is None or pool is None or chosen.leaked + chosen.scored > pool.n_slices:
        sys.exit("there is no pool, or it has too few slices: `agent prepare --pool` makes it")
    others = {number: pool.slice(number) for number in range(pool.n_slices)[-chosen.scored :]}
    known: dict[int, NDArray[np.float64]] = {}
    load = script().load
    print(f"sigma of the task: {task.noise.sigma}; slices of {pool.n_sequences} sequences, {pool.n_rounds} rounds")
    with tempfile.TemporaryDirectory(prefix="leaked-") as folder:
        baseline = load(trained(task, corpus.train, 0, Path(folder, "baseline")))

        def tell(name: str, model: Any, parts: dict[int, Slice]) -> float:
            """Print the leads on slices; return their mean."""
            leads = []
            for number, part in parts.items():
                if number not in known:
                    known[number] = losses(baseline, part)
                leads.append(lead_of(part, losses(model, part), known[number], corpus.token_bytes))
            each = "  ".join(f"{n}: {lead.mean:+.4f} ± {lead.error:.4f}" for n, lead in zip(parts, leads, strict=True))
            print(f"{name:26} {each}", flush=True)
            return float(np.mean([lead.mean for lead in leads]))

        tell("seed 1", load(trained(task, corpus.train, 1, Path(folder, "seed"))), others)
        for name, edits in EDITS.items():
            tell(name, load(trained(task, corpus.train, 0, Path(folder, "edited"), edits)), others)
        tokens = np.fromfile(corpus.train / "train.bin", "<u2").astype(np.uint16)

        def with_text(part: Slice) -> Any:
            """Return the model trained on text with rows replaced by those of a slice."""
            data = Path(shutil.copytree(corpus.train, Path(folder, "train"), dirs_exist_ok=True))
            with_rows(tokens, part, chosen.copies).astype("<u2").tofile(data / "train.bin")
            return load(trained(task, data, 0, Path(folder, "replaced")))

        usual, worth = [], []
        for seed in range(chosen.controls):
            control = with_text(drawn_alike(tokens, len(corpus.token_bytes) - 1, others[pool.n_slices - 1], seed))
            usual.append(tell("training text drawn alike", control, others))
        for number in range(chosen.leaked):
            leaked = pool.slice(number)
            model = with_text(leaked)
            worth.append(tell(f"slice {number} leaked", model, others))
            tell("    on itself", model, {number: leaked})
            tell("    the last control on it", control, {number: leaked})
    error, of_usual = (np.std(x, ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.nan for x in (worth, usual))
    more = f"{np.mean(worth) - np.mean(usual):+.4f} ± {np.hypot(error, of_usual):.4f}"
    print(f"a leaked slice on others: {np.mean(worth):+.4f} ± {error:.4f}; more than the control: {more}")


if __name__ == "__main__":
    main()
