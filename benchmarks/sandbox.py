"""Overhead of a sandbox per job, compared with a bare process, and remains of many jobs.

    python -m benchmarks.sandbox            # median of 20 jobs each
    python -m benchmarks.sandbox --jobs 200 # then 200 jobs in a row, and a check of what they leave behind

Docker is measured with this interpreter mounted into the smallest image, so that no image with PyTorch is built. The
kinds of sandbox are interleaved, so that load affects them equally.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sandbox import host_identity
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.container.docker_sandbox import COPIES, OWNER, DockerSandbox
from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec
from sandbox.errors import SandboxError
from sandbox.interpreter import own_interpreter
from sandbox.job import Job, Limits, Sandbox

PROGRAM = ("python", "-I", "-S", "-c", "pass")
LIMITS = Limits(wall_seconds=120.0, memory_gb=0.25)
TARGET_SECONDS = {"bubblewrap": 0.15, "docker": 1.0}


def sandboxes() -> dict[str, Sandbox]:
    """Return the kinds of sandbox that this machine can run; print the others."""
    found: dict[str, Sandbox] = {"bubblewrap": BubblewrapSandbox()}
    try:
        found["docker"] = DockerSandbox(ImageSpec(python=own_interpreter()))
    except SandboxError as error:
        print(f"docker is not measured: {error}")
    return found


def job(folder: Path, number: int) -> Job:
    return Job(PROGRAM, f"benchmark/{number:04d}", LIMITS, folder / "log", folder / "artifact")


def seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def bare() -> None:
    subprocess.run([sys.executable, *PROGRAM[1:]], check=True)


def measure(boxes: dict[str, Sandbox], n_jobs: int, folder: Path) -> None:
    """Print the median time of a job by kind, and its overhead over a bare process."""
    times: dict[str, list[float]] = {"bare process": [], **{kind: [] for kind in boxes}}
    for number in range(n_jobs):
        times["bare process"].append(seconds(bare))
        for kind, box in boxes.items():
            times[kind].append(seconds(lambda box=box, number=number: box.run(job(folder, number))))  # type: ignore[misc]
    base = statistics.median(times["bare process"])
    print(f"{n_jobs} jobs each of {' '.join(PROGRAM)}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{'':14}{'median s':>9}{'least s':>9}{'most s':>9}{'overhead s':>12}{'target s':>10}")
    for kind, taken in times.items():
        median = statistics.median(taken)
        target = f"{TARGET_SECONDS[kind]:10.2f}" if kind in TARGET_SECONDS else ""
        print(f"{kind:14}{median:9.3f}{min(taken):9.3f}{max(taken):9.3f}{median - base:12.3f}{target}")


def left_behind() -> dict[str, set[str]]:
    """Return everything that jobs could leave on this machine: processes, control groups, files."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split()
    left = {
        "control groups": {str(path) for path in Path("/sys/fs/cgroup").rglob(f"autocentaur.{os.getpid()}.*")},
        "children": set(children),
        "open files": {f"{fd} {_points_to(fd)}" for fd in os.listdir("/proc/self/fd")},
        "temporary files": {name for name in os.listdir(tempfile.gettempdir()) if name.startswith(COPIES)},
    }
    if Path("/var/run/docker.sock").exists():
        with Engine() as engine:
            ours = host_identity.process_id()
            left["containers"] = {name for name, started_by in engine.labelled(OWNER).items() if started_by == ours}
    return left


def _points_to(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # the listing's own
        return "gone"


def run_many(kind: str, box: Sandbox, n_jobs: int, folder: Path) -> None:
    """Run jobs in a row and print what they leave behind."""
    before = left_behind()
    taken = seconds(lambda: [box.run(job(folder, number)) for number in range(n_jobs)])
    left = {what: sorted(found - before[what]) for what, found in left_behind().items()}
    remains = {what: found for what, found in left.items() if found}
    print(f"{kind}: {n_jobs} jobs in a row took {taken:.0f} s and left {remains or 'nothing'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--median-of", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=0, help="number of jobs in a row, of each kind")
    arguments = parser.parse_args()
    boxes = sandboxes()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        measure(boxes, arguments.median_of, folder)
        for kind, box in boxes.items():
            if arguments.jobs:
                run_many(kind, box, arguments.jobs, folder)


if __name__ == "__main__":
    main()
