"""A sandbox that keeps no secret: what any job can read, all later jobs and all that run beside it can read too.

It stands for every leak between jobs that there may be, through the kernel's caches or otherwise, at its worst: whole,
without noise, and at once.
"""

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

from sandbox.job import Execution, Job, Mount, Sandbox

INSIDE = "/leak"
"""Where a job finds what leaked: a folder for each job, named by a number in the order of their starts, with its files
under the names that they have inside: `0007/data/tokens.bin`, `0007/in/artifact`, `0007/task/train.py`."""


class LeakingSandbox:
    """Runs jobs in another sandbox, and shows each of them all files that any job so far was given."""

    def __init__(self, inner: Sandbox, shared: Path) -> None:
        """`shared` receives the files; it must lie on the file system of the run, for growing files are linked."""
        self._inner = inner
        self._shared = shared
        self._lock = threading.Lock()
        self._given: set[tuple[str, int]] = set()  # sources that are there already, with the time of their last change
        self.n_jobs = 0
        shared.mkdir(mode=0o755)

    def run(self, job: Job) -> Execution:
        """Run `job` with the shared folder mounted, in which its own files are by then."""
        with self._lock:
            own = self._shared / f"{self.n_jobs:04d}"
            self.n_jobs += 1
            own.mkdir()
            for mount in job.mounts:
                (self._give_folder if mount.source.is_dir() else self._give)(
                    mount.source, own / mount.target.lstrip("/")
                )
        return self._inner.run(replace(job, mounts=(*job.mounts, Mount(self._shared, INSIDE))))

    def _give_folder(self, source: Path, target: Path) -> None:
        for path in sorted(source.iterdir()):
            if path.is_dir():
                self._give_folder(path, target / path.name)
                continue
            stamp = (str(path), path.stat().st_mtime_ns)
            if stamp not in self._given:  # the training data are in every training job
                self._given.add(stamp)
                self._give(path, target / path.name)

    def _give(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.name.endswith("-questions.bin"):
            os.link(source, target)  # it grows while the job runs
        else:
            shutil.copyfile(source, target)
            target.chmod(0o444)

    def close(self) -> None:
        """Nothing is held: the inner sandbox is its owner's."""
