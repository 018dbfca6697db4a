"""The jobs of one run on a cluster of Ray: each is a task, whose progress and result come into the job's local folder.

Ray says nothing about a task on a node that hangs, and does not say which node a task was sent to. So a task reports
its arrival before it runs its job. When a node dies, the jobs of tasks that have arrived there are lost, and those of
tasks that have arrived nowhere get another task, which avoids that node; the first one may not run its job any more.
"""

import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent import __version__
from agent.execution.placement.job_queue import QueueBusyError
from agent.execution.placement.on_ray import node_task
from agent.execution.placement.on_ray.mirror import Mirror
from agent.execution.placement.on_ray.nodes import ClusterNodes
from agent.execution.placement.on_ray.results import ResultReceiver
from agent.execution.placement.on_ray.stored_snapshots import StoredSnapshots
from sandbox.errors import SandboxError
from sandbox.node.job_folder import JobFolder
from sandbox.node.sent_job import SentJob, n_pieces
from sandbox.node.snapshot import FileSnapshot

_LOOK_SECONDS = 0.1
_NODES_SECONDS = 2.0  # between two requests for the list of nodes
_CONNECT_SECONDS = 5.0
_FORCE_SECONDS = 15.0  # from the request to end until a task is killed
_CALL_SECONDS = 30.0
STUCK_SECONDS = 600  # after which a call of Ray that does not return ends this program: Python cannot interrupt it


@dataclass
class _Task:
    """A task of Ray that runs a job, unless another one has replaced it."""

    job: str  # its name
    box: list[Any]  # a reference to the SentJob
    n_returns: int
    wanted: Mapping[str, float]
    avoided: Sequence[str]
    number: int = 1  # of the tasks of its job
    n_deaths: int = 0  # of nodes before it was submitted: it cannot be on one of them
    refs: list[Any] = field(default_factory=list)
    cancelled_at: float | None = None  # monotonic
    is_killed: bool = False

    @property
    def name(self) -> str:
        return f"{self.job}.{self.number}"


class RayTasks:
    """The jobs of one run on a cluster of Ray."""

    def __init__(self, address: str | None) -> None:
        """`address`: HOST:PORT of the head; None: RAY_ADDRESS, or that of this machine. Raises whatever Ray raises."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray: Any = ray
        if address is not None:
            _connect(address)  # which fails at once, where Ray waits for minutes
        self._ray.init(address=address or "auto", log_to_driver=False, logging_level="error")
        context = ray.get_runtime_context()
        self._controller = context.gcs_address
        self._own_node = context.get_node_id()
        here = NodeAffinitySchedulingStrategy(self._own_node, soft=False)
        self._ray.cloudpickle.register_pickle_by_value(node_task)
        self._mailbox: Any = ray.remote(num_cpus=0)(node_task.Mailbox).options(scheduling_strategy=here).remote()
        # By default Ray runs a failed task again without a message, and starts a process for each task with a GPU.
        self._run_job = self._ray.remote(max_retries=0, max_calls=0)(node_task.run_job)
        self._snapshots = StoredSnapshots(ray.put)
        self._nodes = ClusterNodes(ray.nodes)
        self._mirrors: dict[str, Mirror] = {}  # by the names of jobs, until their folders are removed
        self._tasks: dict[str, _Task] = {}  # by the names of jobs, until they have ended
        self._replaced: dict[Any, str] = {}  # names of tasks, by the reference to their result, until they have ended
        self._n_confirmed = 0
        self._results = ResultReceiver(ray, self._nodes.names)
        self._lock = threading.Lock()

    def check(self, wanted: Mapping[str, float], avoided: Sequence[str] = ()) -> None:
        """Raise SandboxError if no node has these resources; `avoided`: names of nodes that do not count."""
        if (why := self._nodes.missing(wanted, avoided)) is not None:
            raise SandboxError(f"{why}; lower [limits] or [cluster] of task.toml, or start such a node first")

    def submit(
        self, name: str, path: Path, wanted: Mapping[str, float], shared: Sequence[str], avoided: Sequence[str]
    ) -> None:
        """Submit the job of a folder, unless it was submitted before.

        Raises:
            QueueBusyError: no node that is alive has these resources.
            SandboxError: only nodes to avoid have them, or the files cannot be sent.
        """
        with self._lock:
            if name in self._mirrors:
                return
        folder = JobFolder(path)
        request = folder.request()
        if request is None:
            raise SandboxError(f"{path} has no request; is another process removing it?")
        snapshots: list[FileSnapshot | None] = []
        for mount in request.job.mounts:
            is_shared = any(mount.source.is_relative_to(each) for each in shared)
            if mount.grows and not is_shared:
                raise SandboxError(f"{mount.source} changes while {request.job.label} runs, so nodes must see it")
            snapshots.append(None if is_shared else self._snapshots.of(mount.source))
        if (why := self._nodes.missing(wanted)) is not None:  # any more: a run starts with `check`
            raise QueueBusyError(why)
        self.check(wanted, avoided)
        with self._lock:
            if name in self._mirrors or folder.is_stop_requested():  # while its files were read
                return
            box = [self._ray.put(SentJob(name, request, tuple(snapshots)))]
            task = _Task(name, box, 1 + 2 * n_pieces(request), wanted, avoided)
            self._begin(task)
            self._tasks[name], self._mirrors[name] = task, Mirror(folder, request)

    def states(self) -> dict[str, tuple[bool, str, str, str]]:
        """Return for each job, by name: whether it is alive, its state, its node, and why it has none yet."""
        with self._lock:
            for name, mirror in list(self._mirrors.items()):
                if not mirror.is_alive and not mirror.folder.path.exists():
                    del self._mirrors[name]
            return {n: (each.is_alive, each.state, each.node, self._wait(n)) for n, each in self._mirrors.items()}

    def _wait(self, name: str) -> str:
        task, mirror = self._tasks.get(name), self._mirrors[name]
        if task is None or mirror.started is not None:
            return ""
        if mirror.node_id:
            return f"its files are sent to node {self._nodes.names().get(mirror.node_id, mirror.node_id[:8])}"
        missing = self._nodes.missing(task.wanted, task.avoided)
        return missing or "no node is free, or Ray is starting a process there"

    def cancel(self, name: str) -> None:
        """End a job."""
        with self._lock:
            task, mirror = self._tasks.get(name), self._mirrors.get(name)
            if task is None or mirror is None:
                return
            task.cancelled_at = task.cancelled_at or time.monotonic()
            if mirror.started is None:
                self._ray.cancel(task.refs[0])

    def is_answering(self) -> bool:
        """Return whether the controller accepts a connection."""
        try:
            _connect(self._controller)
        except OSError:
            return False
        return True

    def mirror(self) -> None:
        """Bring what happens on the nodes into the folders of the jobs, for ever. Ends the program if it cannot."""
        next_question = 0.0
        while True:
            signal.alarm(STUCK_SECONDS)
            now = time.monotonic()
            if now >= next_question and self.is_answering():
                self._nodes.refresh()  # which does not return before the controller has answered
                next_question = now + _NODES_SECONDS
                if self._own_node not in self._nodes.alive:
                    os._exit(1)  # another cluster has taken the place of this one, which has no job of ours
            with self._lock:
                tasks = dict(self._tasks)
            if tasks:
                self._exchange(tasks)
                self._end_those_on_dead_nodes(tasks)
            self._collect()

    def close(self) -> None:
        """Leave the cluster, which ends all tasks."""
        self._ray.shutdown()

    def _begin(self, task: _Task) -> None:
        """Submit a task to Ray."""
        task.n_deaths = len(self._nodes.deaths)
        wanted = task.wanted
        submitted = self._run_job.options(
            name=task.name,
            num_cpus=wanted["CPU"],
            num_gpus=wanted.get("GPU", 0),
            memory=wanted["memory"],
            resources={each: amount for each, amount in wanted.items() if each not in ("CPU", "GPU", "memory")},
            label_selector=self._nodes.selector(task.avoided),
            num_returns=task.n_returns,
        )
        task.refs = submitted.remote(
            box=task.box,
            job=task.job,
            task=task.name,
            version=__version__,
            mailbox=self._mailbox,
            node_names=self._nodes.names(),
            n_returns=task.n_returns,
        )

    def _exchange(self, tasks: Mapping[str, _Task]) -> None:
        """Receive what the tasks have posted, tell those that must stop, and replace those whose node may have died."""
        now = time.monotonic()
        stopping = set()
        for name, task in tasks.items():
            if task.cancelled_at is not None or self._mirrors[name].folder.is_stop_requested():
                stopping.add(name)
            if not task.is_killed and now - (task.cancelled_at or now) > _FORCE_SECONDS:
                task.is_killed = True
                self._ray.cancel(task.refs[0], force=True)
        deaths = len(self._nodes.deaths)
        nowhere = {n: each for n, each in tasks.items() if each.n_deaths < deaths and not self._mirrors[n].node_id}
        replaced = frozenset((*self._replaced.values(), *(task.name for task in nowhere.values())))
        answer = self._mailbox.take.remote(self._n_confirmed, frozenset(stopping), replaced)
        try:
            self._n_confirmed, posted = self._ray.get(answer, timeout=_CALL_SECONDS)
        except self._ray.exceptions.GetTimeoutError:
            return
        for job, node_id, progress in posted:
            if (found := self._mirrors.get(job)) is not None:
                found.arrive(node_id)
                if progress:
                    found.take(pickle.loads(progress))
        for name, task in nowhere.items():
            if not self._mirrors[name].node_id:
                self._replace(name, task)

    def _replace(self, name: str, task: _Task) -> None:
        """Submit a job again whose task has arrived nowhere, and will not run it any more."""
        with self._lock, suppress(self._ray.exceptions.RayError):
            self._replaced[task.refs[0]] = task.name
            if task.cancelled_at is None:
                again = replace(task, number=task.number + 1)
                self._begin(again)
                self._tasks[name] = again
            else:
                del self._tasks[name]
                self._mirrors[name].end("CANCELLED")
            self._ray.cancel(task.refs[0])

    def _end_those_on_dead_nodes(self, tasks: Mapping[str, _Task]) -> None:
        """End jobs on nodes that the controller lists as dead: Ray itself ends no task on a node that hangs."""
        for name in tasks:
            mirror = self._mirrors[name]
            if mirror.node_id and mirror.node_id not in self._nodes.alive:
                with self._lock, suppress(self._ray.exceptions.RayError):
                    mirror.end("its node is dead")
                    self._ray.cancel(self._tasks.pop(name).refs[0], force=True)

    def _collect(self) -> None:
        """Receive the results of the tasks that have ended, after a short wait for one."""
        with self._lock:
            first = {task.refs[0]: name for name, task in self._tasks.items()}
        pending = [*first, *self._replaced]
        if not pending:
            time.sleep(_LOOK_SECONDS)
            return
        ready, _ = self._ray.wait(pending, num_returns=1, timeout=_LOOK_SECONDS)
        if ready:
            ready, _ = self._ray.wait(pending, num_returns=len(pending), timeout=0)
        for ref in ready:
            if self._replaced.pop(ref, None) is None:
                with self._lock:
                    task = self._tasks.pop(first[ref])
                self._results.receive(self._mirrors[first[ref]], task.refs)


def _connect(address: str) -> None:
    """Return if HOST:PORT accepts a connection. Raises OSError."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
