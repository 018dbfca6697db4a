"""What it costs to place a job on a node of a cluster, beside the same job on this machine.

    python -m benchmarks.placement              # 64 jobs of no length, 16 at once

Both run the jobs in bubblewrap, first all here, then all there. The cluster is a real Slurm on this machine, as in the
tests: four nodes that share its processors.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from agent.execution.placement.placing import PlacingSandbox
from agent.execution.placement.slurm import Slurm
from agent.task.cluster_table import ClusterSpec
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Job, Limits, Sandbox
from sandbox.node.job_folder import InnerSandbox
from tests.slurm_cluster import slurm_cluster, why_no_slurm

LIMITS = Limits(wall_seconds=600.0, memory_gb=0.25)


def measure(sandbox: Sandbox, folder: Path, n_jobs: int, at_once: int) -> tuple[float, list[float]]:
    """Run jobs of no length; return the seconds of all of them together, and of each from its submission on."""

    def run(number: int) -> float:
        own = folder / f"{number}"
        own.mkdir(parents=True)
        job = Job(("true",), f"benchmark/{number:04d}", LIMITS, own / "log", own / "artifact")
        began = time.perf_counter()
        assert sandbox.run(job).exit_code == 0
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        each = list(pool.map(run, range(n_jobs)))
    return time.perf_counter() - began, each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=16)
    options = parser.parse_args()
    if (why := why_no_slurm()) is not None:
        print(f"not measured: {why}")
        sys.exit()
    with slurm_cluster() as cluster, tempfile.TemporaryDirectory(prefix="placement-") as name:
        os.environ["SLURM_CONF"] = str(cluster.configuration)
        folder = Path(name)
        totals: dict[str, float] = {}
        with (
            closing(BubblewrapSandbox()) as here,
            closing(PlacingSandbox(Slurm(ClusterSpec()), InnerSandbox(), folder / "jobs")) as slurm,
        ):
            boxes: dict[str, Sandbox] = {"here": here, "slurm": slurm}
            for kind, sandbox in boxes.items():
                measure(sandbox, folder / f"{kind}-warm", 1, 1)
                totals[kind], each = measure(sandbox, folder / kind, options.jobs, options.at_once)
                print(
                    f"{kind:6} {options.jobs} jobs, {options.at_once} at once: {totals[kind]:.2f} s, "
                    f"{totals[kind] / options.jobs:.3f} s a job; one takes {statistics.median(each):.2f} s"
                )
    print(f"overhead: {(totals['slurm'] - totals['here']) / options.jobs:.3f} s a job")


if __name__ == "__main__":
    main()
