"""A sandbox whose jobs run on the nodes of a cluster, each in a sandbox there, with the same limits."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from agent.execution.placement.job_queue import JobNeeds, JobQueue, QueueBusyError
from agent.execution.placement.placed_job import DEFAULT_TIMEOUTS, PlacedJob, Timeouts
from agent.execution.placement.poller import Poller
from agent.execution.placement.queue_waits import QueueWaits
from agent.trials.budget import duration
from sandbox.errors import JobLostError, NodeFailedError, SandboxError
from sandbox.job import Execution, Job, Limits
from sandbox.job_checks import validate_job
from sandbox.node.job_folder import InnerSandbox, JobFolder, JobRequest

_OWN = re.compile(r".+\.a\d+\.[0-9a-f]{8}")
"""The name of an attempt's folder, which is that of its job."""


class PlacingSandbox:
    """Runs each job on a node that a cluster chooses. If jobs outlive this program, a later one adopts training jobs.

    Whether and how a job ended is only read in its folder; what the cluster says is a hint. A job that has no result
    after the cluster has ended it, or after its time, is lost: its folder is given up, and cannot be mistaken for that
    of a later attempt.
    """

    def __init__(
        self,
        queue: JobQueue,
        inner: InnerSandbox,
        folder: Path,
        *,
        gpus: int = 0,
        say: Callable[[str], None] = print,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`folder`: of all job folders of a run, which the nodes of most queues must see; `gpus`: of each job."""
        self._queue = queue
        self._inner = inner
        self._root = folder.absolute()
        self._gpus = gpus
        self._timeouts = timeouts
        self._poller = Poller(queue, say, timeouts.poll)
        self._waits = QueueWaits(self._root, say)
        self._say = say
        self._held: set[str] = set()  # names of the folders that a thread works with
        self._avoided: dict[str, float] = {}  # until when, by node: those on which the sandbox has failed
        self._lock = threading.Lock()

    @property
    def shares_folder(self) -> bool:
        """Whether the nodes see the folders of jobs; if not, files are sent."""
        return self._queue.shares_folder

    def check(self, limits: Limits) -> None:
        """Return if the cluster would accept jobs with these limits, perhaps later.

        Raises SandboxError, with the remedy, if not.
        """
        with suppress(QueueBusyError):  # each submission waits until it is accepted
            self._queue.check(self._needs(limits, gpus=self._gpus, apart=True))

    def run(self, job: Job) -> Execution:
        """Run `job` on a node until it ends.

        Raises:
            JobLostError: nobody knows how it ended; a node that cannot be reached may still run it, in a folder that
                no later attempt uses. NodeFailedError: the sandbox failed on its node, which gets no job for a while.
            SandboxError: the cluster refused it. A failure of the job is part of the Execution instead.
        """
        validate_job(job)
        if job.together:
            raise SandboxError(f"{job.label} waits for other jobs, which a cluster may not start; run it here")
        gpus = 0 if job.on_cpu else self._gpus
        request = JobRequest.of(job, self._inner, needs_gpu=gpus > 0)
        needs = self._needs(job.limits, gpus=gpus, apart=job.apart)
        with self._lock:
            now = time.monotonic()
            needs = replace(needs, avoided=tuple(sorted(node for node, until in self._avoided.items() if now < until)))
        try:
            with self._poller, self._placed(request, needs, job) as placed:
                return placed.follow()
        except NodeFailedError as error:
            if error.node:
                self._avoid(error.node)
            raise

    def close(self) -> None:
        """Cancel jobs whose result is not needed, remove their folders, and close the queue. Safe to call twice."""
        self._poller.close()
        for path in sorted(self._root.glob("*")) if self._root.is_dir() else []:
            if path.is_dir() and not path.is_symlink() and _OWN.fullmatch(path.name):
                self._give_up(JobFolder(path))
                shutil.rmtree(path, ignore_errors=True)
        self._waits.close()
        with suppress(OSError):
            self._root.rmdir()
        self._queue.close()

    def _avoid(self, node: str) -> None:
        """Send a node no job for a while: it would take one after the other, since it is always free."""
        with self._lock:
            now = time.monotonic()
            is_new = self._avoided.get(node, now) <= now
            self._avoided[node] = now + self._timeouts.avoid
        if is_new:
            pause = duration(self._timeouts.avoid)
            self._say(f"no job of this run goes to node {node} for {pause}: a sandbox failed there")

    def _needs(self, limits: Limits, *, gpus: int, apart: bool) -> JobNeeds:
        slack_seconds = self._timeouts.overtime + (self._timeouts.copying if apart else 0.0)
        return JobNeeds.of(limits, gpus=gpus, apart=apart, slack_seconds=slack_seconds)

    @contextmanager
    def _placed(self, request: JobRequest, needs: JobNeeds, job: Job) -> Iterator[PlacedJob]:
        """Yield the job, submitted now or by an earlier process."""
        with self._lock:
            folder, token, is_new = self._folder_for(request)
            self._held.add(folder.path.name)
        placed = PlacedJob(
            folder, token, job, queue=self._queue, poller=self._poller, waits=self._waits, timeouts=self._timeouts
        )
        try:
            if is_new:
                placed.clear_places()
            if is_new or not placed.is_known():
                placed.submit(needs)
            yield placed
        except BaseException as error:
            self._give_up(folder)
            if not isinstance(error, JobLostError):
                placed.wait_for_end()
            raise
        else:
            shutil.rmtree(folder.path, ignore_errors=True)
        finally:
            with self._lock:
                self._held.discard(folder.path.name)

    def _folder_for(self, request: JobRequest) -> tuple[JobFolder, str, bool]:
        """Return the folder and token of the attempt, and whether it is new.

        Only trainings of journaled scripts are adopted.

        What a scoring job is asked may be in files that an earlier process wrote with other secrets, and a rehearsal
        may be of another script: its proposal was not in the journal yet.
        """
        base = re.sub(r"[^A-Za-z0-9._-]", "-", request.job.label)
        is_training = request.job.label.endswith("/train")
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            attempt = re.compile(rf"{re.escape(base)}\.a([0-9]+)\.[0-9a-f]{{8}}")
            names = [name for path in self._root.iterdir() if (name := attempt.fullmatch(path.name))]
            found = {int(name[1]): JobFolder(self._root / name[0]) for name in names}
            last = max(found, default=0)
            for number, folder in found.items():
                if folder.path.name in self._held or folder.is_stop_requested():
                    continue
                earlier = folder.request()
                if earlier is not None and earlier.is_same_work(request) and number == last and is_training:
                    return folder, earlier.token, False
                self._give_up(folder)
            # Each name is used once: what the cluster says about a name is about this attempt.
            folder = JobFolder(self._root / f"{base}.a{last + 1}.{request.token[:8]}")
            folder.create(request)
        except OSError as error:
            raise SandboxError(
                f"cannot write to {self._root}: {error.strerror}; make room, or use another --runs"
            ) from error
        return folder, request.token, True

    def _give_up(self, folder: JobFolder) -> None:
        """End whatever may still run in a folder. Its result is not read any more."""
        with suppress(OSError):
            folder.request_stop()
        with suppress(SandboxError):
            self._queue.cancel(folder.path.name)
