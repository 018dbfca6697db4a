"""How well train_template/estimate.py foresees memory: `python -m benchmarks.memory_estimate`. Minutes, without a GPU.

Its estimates for random configurations of the paper's space, scaled by that of the defaults alone, are held against the
memory model of benchmarks/autoresearch, which is right within 0.1 GB for the paper's script on an H200. That is another
script than the one that is estimated, of the same family; nothing here runs on a GPU.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np

from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.resources import folder
from agent.search.calibrated import CalibratedMemory
from agent.search.feasible import Memory, MemoryModel
from agent.task import Task
from agent.train_job import export
from benchmarks.autoresearch.experiment import DEFAULTS, LIMIT_GB, MEMORY, SEQUENCE_TOKENS, SPACE, VOCABULARY, as_run
from benchmarks.autoresearch.surrogate import Surrogate


@dataclass(frozen=True)
class Case:
    """One configuration."""

    params: Params
    estimated_gb: float  # by the script's own count
    gb: float  # that it needs
    cpu_seconds: float  # that the estimate took

    @property
    def fits(self) -> bool:
        return self.gb <= LIMIT_GB


def configurations(n: int, seed: int) -> list[Params]:
    """Return the defaults and `n` random configurations, as the paper's harness ran them."""
    chance, space = np.random.default_rng(seed), SPACE.plain()
    return [as_run(DEFAULTS), *(as_run(space.decode(chance.random(space.n_dims))) for _ in range(n))]


def cases(wanted: Sequence[Params]) -> Iterator[Case]:
    """Yield each configuration with its estimate, made by the command that task.toml names."""
    task, truth = Task.load(folder("train_template"), "gpu"), Surrogate("gp")
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        place, data = Path(name) / "task", Path(name) / "data"
        data.mkdir()
        (data / "meta.json").write_text(json.dumps({"seq_len": SEQUENCE_TOKENS, "vocab_size": VOCABULARY}))
        command = [sys.executable, *task.estimate[1:]]
        environment = {**os.environ, "TRAIN_DATA": str(data), "OMP_NUM_THREADS": "1"}
        for params in wanted:
            export({**task.files, task.script: Assignments(params).apply(task.source).encode()}, place)
            began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=True)
            found = re.fullmatch(r"memory_gb: (\S+)\n", done.stdout)
            assert found is not None, done.stdout
            used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began
            yield Case(params, float(found[1]), truth.memory_gb(params), used)


def out_of_memory(order: Sequence[Case], memory: Memory) -> tuple[int, int]:
    """Return how many trials of a run over these cases, the defaults first, run out of memory, and how many would have
    fitted and are refused."""
    n_failed = n_wronged = 0
    for case in order:
        estimate = memory.estimate(case.params)
        if estimate is not None and estimate.hopeless:
            n_wronged += case.fits
            continue
        n_failed += not case.fits
        memory.learn(case.params, case.gb if case.fits else None)
    return n_failed, n_wronged


def report(seen: Sequence[Case], n_orders: int = 200) -> None:
    """Print what the estimates are worth; the defaults are the first case."""
    own = {json.dumps(case.params): case.estimated_gb for case in seen}

    def ask(params: Params) -> float:
        return own[json.dumps(params)]

    def terms() -> MemoryModel:
        return MemoryModel.from_table(MEMORY, SPACE.names, LIMIT_GB)

    def none() -> MemoryModel:
        return MemoryModel((), LIMIT_GB, SPACE.names)

    defaults, others = seen[0], seen[1:]
    factor = defaults.gb / defaults.estimated_gb
    errors = [abs(factor * case.estimated_gb / case.gb - 1) for case in others]
    spread = float(np.std([np.log(case.gb / case.estimated_gb) for case in seen]))
    once = CalibratedMemory(none(), ask)
    once.learn(defaults.params, defaults.gb)
    refused = [case for case in others if (estimate := once.estimate(case.params)) is not None and estimate.hopeless]
    n_large = sum(not case.fits for case in others)
    print(f"configurations               {len(others)}, of which {n_large} need more than {LIMIT_GB} GB")
    print(f"factor, from the defaults    {factor:.2f} (standard deviation over all: {spread:.1%})")
    print(f"relative error               median {median(errors):.1%}, largest {max(errors):.1%}")
    print(f"refused after one success    {sum(not c.fits for c in refused)} of {n_large} that do not fit, "
          f"{sum(c.fits for c in refused)} of {len(others) - n_large} that do")  # fmt: skip
    print(f"CPU seconds for an estimate  median {median(c.cpu_seconds for c in seen):.1f}, "
          f"largest {max(c.cpu_seconds for c in seen):.1f}")  # fmt: skip
    chance, kinds = np.random.default_rng(0), dict[str, Callable[[], Memory]]()
    kinds["nothing"] = none
    kinds["terms"] = terms
    kinds["estimate"] = lambda: CalibratedMemory(none(), ask)
    kinds["both"] = lambda: CalibratedMemory(terms(), ask)
    orders = [[defaults, *(others[i] for i in chance.permutation(len(others)))] for _ in range(n_orders)]
    print(f"out of memory, in {n_orders} random orders of these {len(others)} (and refused wrongly):")
    for name, memory in kinds.items():
        failed, wronged = zip(*(out_of_memory(order, memory()) for order in orders), strict=True)
        print(f"  {name:26} {mean(failed):.2f} ({mean(wronged):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    report(list(cases(configurations(asked.configurations, asked.seed))))


if __name__ == "__main__":
    main()
