"""Runs inside the sandbox: trains scripts one after the other in forked processes, and prints the CPU seconds of each.

PyTorch is imported once, before the first fork, so that what is measured is training alone, without start-up. Before
and after each training the product's speed probe measures how much the machine does in one CPU second.
"""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch  # noqa: F401 (so that forked processes have it)

PROBE_SECONDS = 0.5
LEAST_STEPS = 2  # that every budget pays for


def module_of(path: str, name: str) -> Any:
    """Return a Python file as a module, without running its `main`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(path: str, amount: float) -> dict[str, float]:
    """Train a script within this process; return its CPU seconds and the work that its steps are charged with."""
    script = module_of(path, "script")
    meta = json.loads((Path(os.environ["TRAIN_DATA"]) / "meta.json").read_text(encoding="utf-8"))
    rows = min(script.DEVICE_BATCH_SIZE, script.TOTAL_BATCH_SIZE // meta["seq_len"])
    n_forwards = script.TOTAL_BATCH_SIZE // (rows * meta["seq_len"])
    model = script.GPT(meta["vocab_size"], meta["seq_len"])
    price = 1e9 / script.steps_paid_for("work", 1e9, model, n_forwards, meta["work"])
    amount = max(amount, LEAST_STEPS * price * 1.001)
    os.environ["TRAIN_BUDGET"] = f"{amount:g}"
    del model
    began = time.process_time()
    try:
        script.main()
        code = 0
    except SystemExit:
        code = 1
    cpu_seconds = time.process_time() - began
    return {"price": price, "paid": int(amount / price) * price, "cpu_seconds": cpu_seconds, "exit": code}


def in_child(path: str, amount: float) -> dict[str, float]:
    """Train a script in a forked process; return what `train` returns."""
    receives, sends = os.pipe()
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        try:
            os.write(sends, json.dumps(train(path, amount)).encode())
        finally:
            os._exit(0)
    os.close(sends)
    with os.fdopen(receives, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return dict(json.loads(text)) if text else {"exit": 2}


def main() -> None:
    """Measure all scripts of the folder that the command line names, at the amount of work that it names."""
    folder, amount = Path(sys.argv[1]), float(sys.argv[2])
    probe = module_of("/in/workload.py", "workload")
    work = probe.on_cpu(in_place=True)

    def speed() -> float:
        return float(probe.speed(work, PROBE_SECONDS, 0.2 * PROBE_SECONDS, time.process_time))

    before = speed()
    for path in sorted(folder.glob("script-*.py")):
        measured = in_child(str(path), amount)
        after = speed()
        print(json.dumps({"script": path.stem, **measured, "speeds": [before, after]}), flush=True)
        before = after


if __name__ == "__main__":
    main()
