"""What it costs to place a job on a node of a cluster, beside the same job on this machine.

    python -m benchmarks.placement              # 64 jobs of no length, 16 at once, on Slurm
    python -m benchmarks.placement --on ray     # on Ray

Both run the jobs in bubblewrap, first all here, then all there. The cluster is a real one on this machine, as in the
tests: four nodes that share its processors.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from agent.execution.placement.on_ray.ray_queue import Ray
from agent.execution.placement.placing import PlacingSandbox
from agent.execution.placement.slurm import Slurm
from agent.task.cluster_table import ClusterSpec
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Job, Limits, Sandbox
from sandbox.node.job_folder import InnerSandbox
from tests.ray_cluster import ray_cluster, why_no_ray
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


@contextmanager
def on_slurm(folder: Path) -> Iterator[Sandbox]:
    with slurm_cluster() as cluster:
        os.environ["SLURM_CONF"] = str(cluster.configuration)
        with closing(PlacingSandbox(Slurm(ClusterSpec()), InnerSandbox(), folder)) as sandbox:
            yield sandbox


@contextmanager
def on_ray(folder: Path) -> Iterator[Sandbox]:
    with ExitStack() as held:
        cluster = held.enter_context(ray_cluster(n_nodes=4))
        queue = Ray(ClusterSpec(), cluster.address)
        yield held.enter_context(closing(PlacingSandbox(queue, InnerSandbox(), folder)))


CLUSTERS = {"slurm": (why_no_slurm, on_slurm), "ray": (why_no_ray, on_ray)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--on", choices=sorted(CLUSTERS), default="slurm")
    options = parser.parse_args()
    why_not, opened = CLUSTERS[options.on]
    if (why := why_not()) is not None:
        print(f"not measured: {why}")
        sys.exit()
    with tempfile.TemporaryDirectory(prefix="placement-") as name:
        folder = Path(name)
        totals: dict[str, float] = {}
        with closing(BubblewrapSandbox()) as here, opened(folder / "jobs") as there:
            boxes: dict[str, Sandbox] = {"here": here, options.on: there}
            for kind, sandbox in boxes.items():
                n_warm = 1 if kind == "here" else options.at_once  # Ray starts a process for each job at once
                measure(sandbox, folder / f"{kind}-warm", n_warm, n_warm)
                totals[kind], each = measure(sandbox, folder / kind, options.jobs, options.at_once)
                print(
                    f"{kind:6} {options.jobs} jobs, {options.at_once} at once: {totals[kind]:.2f} s, "
                    f"{totals[kind] / options.jobs:.3f} s a job; one takes {statistics.median(each):.2f} s"
                )
    load, _, _ = os.getloadavg()
    print(f"overhead: {(totals[options.on] - totals['here']) / options.jobs:.3f} s a job, at a load of {load:.1f}")


if __name__ == "__main__":
    main()
