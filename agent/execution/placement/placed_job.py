"""One attempt of a job on a cluster, from its submission to its end. One thread follows it."""

import math
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agent.execution.placement.job_queue import (
    JobNeeds,
    JobQueue,
    QueueBusyError,
    QueueState,
    QueueUnreachableError,
)
from agent.execution.placement.poller import Poller
from agent.execution.placement.queue_waits import QueueWaits
from agent.text import read_tail
from sandbox.errors import JobLostError, NodeFailedError, SandboxError
from sandbox.gpu.leasing import stopped_before_its_start
from sandbox.job import POLL_SECONDS, Execution, Job
from sandbox.node.job_folder import PRINTED, WRITTEN, JobFolder, JobResult, Started

_LOOK_SECONDS = 0.1  # between two looks into the folder


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for what may never come, in seconds."""

    poll: float = 2.0  # between two questions to the cluster
    grace: float = 120.0  # after the cluster says that a job has ended: NFS may show its files 60 s late, by default
    overtime: float = 300.0  # beyond the wall limit, to start and end a sandbox
    copying: float = 1800.0  # the same, for the copy that a scoring job runs from: 8 GiB at 5 MB/s take 1718 s
    stop: float = 180.0  # for a job to end that was asked to, and for us to see it on a network file system
    busy: float = 30.0  # between two submissions to a cluster that takes no further job at present
    avoid: float = 1800.0  # a node on which a sandbox has failed: that may pass, as a full disk does
    wait: float = 10.0  # in the queue, before the run shows why a job waits there


DEFAULT_TIMEOUTS = Timeouts()


class PlacedJob:
    """One attempt of `job`, which reads and writes the files of `folder` on its node."""

    def __init__(
        self,
        folder: JobFolder,
        token: str,
        job: Job,
        *,
        queue: JobQueue,
        poller: Poller,
        waits: QueueWaits,
        timeouts: Timeouts,
    ) -> None:
        self._token = token
        self._folder = folder
        self._job = job
        self._queue = queue
        self._poller = poller
        self._waits = waits
        self._timeouts = timeouts
        self._name = folder.path.name
        self._known_at = time.monotonic()  # answers of the cluster to questions asked later are about this job
        self._started: Started | None = None

    def clear_places(self) -> None:
        """Remove what an earlier attempt has left where this one's files will be."""
        for name in (*PRINTED, *WRITTEN):
            if (path := getattr(self._job, name)) is not None:
                path.unlink(missing_ok=True)

    def is_known(self) -> bool:
        """Return whether a node has started the job, or the cluster will, once the cluster answers."""
        while self._has_started() is None:
            if self._poller.snapshot(self._known_at) is not None:
                state = self._state()
                return state is not None and state.is_alive
            if self._is_to_stop():
                return True
            time.sleep(_LOOK_SECONDS)
        return True

    def submit(self, needs: JobNeeds) -> None:
        """Submit the job; wait for a cluster that does not answer, which may have got it, or that takes no more jobs.

        It returns without a submission if the job is to be stopped: `follow` then ends it.

        Raises:
            SandboxError: the cluster refuses it for good.
        """
        while not self._is_to_stop():
            try:
                self._queue.submit(self._name, self._folder.path, needs, self._is_to_stop)
            except QueueUnreachableError:
                self._known_at = time.monotonic()
                if self.is_known():
                    return
            except QueueBusyError as error:
                self._known_at = time.monotonic()
                self._waits.begin(self._job.label, f"until the cluster takes more jobs: {error}")
                if self._stops_within(self._timeouts.busy):
                    return
            except SandboxError:
                if not needs.avoided:
                    raise
                needs = replace(needs, avoided=())  # no other node can run it
            else:
                self._known_at = time.monotonic()
                return

    def follow(self) -> Execution:
        """Wait for the job's end, and move its files to their places. Raises as `PlacingSandbox.run` does."""
        try:
            return self._followed()
        finally:
            self._waits.end(self._job.label)

    def _followed(self) -> Execution:
        deadline, missing_since, next_question = math.inf, None, time.monotonic()
        has_begun, limit = False, self._job.limits.wall_seconds + self._timeouts.overtime
        while (result := self._folder.result(self._token)) is None:
            now = time.monotonic()
            self._move(PRINTED)
            if now >= next_question:
                next_question = now + POLL_SECONDS
                if self._is_to_stop():
                    return self._stopped()
            started = self._has_started()
            if started is not None and deadline == math.inf:
                deadline = now + limit + self._timeouts.copying  # until it begins: the copy has its own time
            if started is not None and not has_begun and self._folder.has_begun():
                has_begun, deadline = True, now + limit
            if started is not None and now > deadline:
                raise JobLostError(
                    f"{self._job.label} gave no result on node {started.node} {self._timeouts.overtime:g} s after its "
                    "wall limit",
                    started.node,
                )
            self._show_wait(now)
            missing_since = (missing_since or now) if self._is_missing() else None
            if missing_since is not None and now - missing_since > self._timeouts.grace:
                raise self._lost()
            time.sleep(_LOOK_SECONDS)
        return self._taken(result)

    def wait_for_end(self) -> None:
        """Wait until a job that was given up has ended, or for so long as its end may take."""
        late = time.monotonic() + self._timeouts.stop
        asked_at = time.monotonic()
        self._poller.hurry()
        while self._folder.result(self._token) is None and time.monotonic() < late:
            state = self._state()
            is_gone = self._poller.snapshot(asked_at) is not None and (state is None or not state.is_alive)
            if self._has_started() is None and is_gone:
                return
            time.sleep(_LOOK_SECONDS)

    def _stopped(self) -> Execution:
        """End the job, and return how it ended."""
        self._folder.request_stop()
        if self._has_started() is None:
            with suppress(QueueUnreachableError):
                self._queue.cancel(self._name)
        self.wait_for_end()
        result = self._folder.result(self._token)
        if result is not None and result.lost is None:
            return self._taken(result)
        if (started := self._has_started()) is None:
            return stopped_before_its_start(self._job)
        raise JobLostError(f"{self._job.label} did not end on node {started.node} when it was asked to", started.node)

    def _stops_within(self, seconds: float) -> bool:
        """Wait for so long; return True, at once, if the job is to be stopped."""
        late = time.monotonic() + seconds
        while time.monotonic() < late:
            if self._is_to_stop():
                return True
            time.sleep(min(seconds, POLL_SECONDS))
        return False

    def _show_wait(self, now: float) -> None:
        """Show why the cluster has given the job no node for a while."""
        state = self._state()
        if self._started is not None or state is None or not state.why_waiting:
            self._waits.end(self._job.label)
        elif now - self._known_at > self._timeouts.wait:
            self._waits.begin(self._job.label, f"in the cluster's queue: {state.why_waiting}", state.remedy)

    def _has_started(self) -> Started | None:
        self._started = self._started or self._folder.started()
        return self._started

    def _is_to_stop(self) -> bool:
        return self._job.stop_when is not None and self._job.stop_when()

    def _state(self) -> QueueState | None:
        latest = self._poller.snapshot(self._known_at)
        return None if latest is None else latest.states.get(self._name)

    def _is_missing(self) -> bool:
        """Return whether the cluster says that the job has ended, or does not know it."""
        state = self._state()
        return self._poller.snapshot(self._known_at) is not None and (state is None or not state.is_alive)

    def _lost(self) -> JobLostError:
        """Return the error of a job that has ended without a result."""
        state, started = self._state(), self._has_started()
        node = started.node if started is not None else state.node if state is not None else ""
        answer = "does not know it" if state is None else f"says {state.state}"
        is_seen = started is not None or not self._queue.shares_folder
        shared = "" if is_seen else f"; is {self._folder.path.parent} shared with the nodes?"
        said = read_tail(self._folder.node_log).strip()[-200:]
        return JobLostError(
            f"{self._job.label} gave no result{f' on node {node}' if node else ''}, and the cluster {answer}{shared}"
            f"{f' ({said})' if said else ''}",
            node,
        )

    def _taken(self, result: JobResult) -> Execution:
        """Return how the job ended, with all files in their places."""
        started = self._has_started()
        node = started.node if started is not None else ""
        if result.lost is not None:
            raise JobLostError(f"{self._job.label} gave no result on node {node}: {result.lost}", node)
        if result.execution is None:
            raise NodeFailedError(f"{self._job.label} could not run on node {node}: {result.failed}", node)
        self._move((*PRINTED, *WRITTEN), is_over=True)
        return result.execution

    def _move(self, names: tuple[str, ...], *, is_over: bool = False) -> None:
        """Move files from the folder to their places. The node has them open, and goes on writing to them."""
        for name in names:
            place: Path | None = getattr(self._job, name)
            if place is None:
                continue
            with suppress(FileNotFoundError):
                try:
                    self._folder.file(name).replace(place)
                except OSError as error:
                    if isinstance(error, FileNotFoundError):
                        continue
                    if is_over:  # on another file system, where only a copy can be made
                        shutil.move(self._folder.file(name), place)
