"""The shipped canary: `python workload.py SECONDS cpu|gpu|cpu-time` always does the same work and prints its speed.

It runs inside the sandbox, alone, with the task's interpreter: with PyTorch for a GPU, and for a CPU with numpy if that
is installed. `cpu-time` measures by the process's own CPU seconds, so that waiting for a processor does not count. The
unit of the speed does not matter, since only speeds on one machine are compared.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

N_CHUNKS = 9  # their median is robust to a short hiccup, but not to a slow half
WARM_UP_SHARE = 0.2
GPU_WARM_UP_SECONDS = 1.0  # clocks rise, libraries choose their kernels


def on_gpu() -> Callable[[], int]:
    """Return a part of a training step, half bound by arithmetic and half by memory; it returns its units."""
    import torch

    if not torch.cuda.is_available():
        sys.exit("FAIL: PyTorch sees no GPU")
    generator = torch.Generator("cuda").manual_seed(0)
    weight = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16, generator=generator) / 64
    start = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16, generator=generator)

    def work() -> int:
        state = start
        for _ in range(20):
            state = torch.nn.functional.gelu(state @ weight)
        torch.cuda.synchronize()
        return 20

    return work


def on_cpu(*, in_place: bool = False) -> Callable[[], int]:
    """Return a few milliseconds of work for the CPU; it returns its units.

    `in_place`: allocate nothing. Otherwise page faults take a fifth of the CPU time in a fresh process, and none in one
    that has freed large blocks before.
    """
    try:
        import numpy as np
    except ImportError:
        return in_python()
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((192, 192), dtype=np.float32) / 14
    start = generator.standard_normal((192, 192), dtype=np.float32)
    far = np.ones(1 << 20, dtype=np.float32)

    state, product = np.empty_like(start), np.empty_like(start)

    def work() -> int:
        state = start
        for _ in range(4):
            state = np.maximum(state @ weight, 0)
        far.sum()
        return 1

    def work_in_place() -> int:
        np.copyto(state, start)
        for _ in range(4):
            np.maximum(np.matmul(state, weight, out=product), 0, out=state)
        far.sum()
        return 1

    return work_in_place if in_place else work


def in_python() -> Callable[[], int]:
    """Return work for the interpreter alone; it returns its units."""

    def work() -> int:
        total = 0
        for number in range(20_000):
            total += number & 7
        return 1

    return work


def speed(work: Callable[[], int], seconds: float, warm_up_seconds: float, clock: Callable[[], float]) -> float:
    """Return units a second of `clock`: the median over chunks of equal time."""
    _during(work, warm_up_seconds, clock)
    return median(_during(work, seconds / N_CHUNKS, clock) for _ in range(N_CHUNKS))


def _during(work: Callable[[], int], seconds: float, clock: Callable[[], float]) -> float:
    n_units, began = 0, clock()
    while True:
        n_units += work()
        elapsed = clock() - began
        if elapsed >= seconds:
            return n_units / elapsed


def main() -> None:
    """Measure the speed with the work and seconds of the command line."""
    seconds, device = float(sys.argv[1]), sys.argv[2]
    warm_up_seconds = WARM_UP_SHARE * seconds
    work = on_gpu() if device == "gpu" else on_cpu(in_place=device == "cpu-time")
    if device == "gpu":
        warm_up_seconds = max(warm_up_seconds, GPU_WARM_UP_SECONDS)
    clock = time.process_time if device == "cpu-time" else time.perf_counter
    print(f"speed: {speed(work, seconds, warm_up_seconds, clock):.6g}")


if __name__ == "__main__":
    main()
