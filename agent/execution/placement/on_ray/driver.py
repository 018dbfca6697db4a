"""The program between a run and Ray: `python -m agent.execution.placement.on_ray.driver [ADDRESS]`.

It is a process of its own because Ray ends a driver whose cluster does not answer for a while, and because Ray ends
the tasks of a driver with it: when the run dies, this program reads the end of its input, and nothing keeps running.
Each line of its input is a request, and each line of its output the answer to one, as JSON.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent import __version__
from agent.execution.placement.on_ray.mirror import Mirror
from agent.execution.placement.on_ray.node_task import Mailbox, run_job
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
_STUCK_SECONDS = 600  # after which a call of Ray that does not return ends this program: Python cannot interrupt it


class Driver:
    """The jobs of one run on a cluster of Ray."""

    def __init__(self, address: str | None) -> None:
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
        self._mailbox: Any = ray.remote(num_cpus=0)(Mailbox).options(scheduling_strategy=here).remote()
        # By default Ray runs a failed task again without a message, and starts a process for each task with a GPU.
        self._run_job = self._ray.remote(max_retries=0, max_calls=0)(run_job)
        self._snapshots = StoredSnapshots(ray.put)
        self._mirrors: dict[str, Mirror] = {}
        self._refs: dict[str, list[Any]] = {}
        self._cancelled: dict[str, float] = {}
        self._nodes: list[dict[str, Any]] = self._ray.nodes()
        self._receiving = ThreadPoolExecutor(4)
        self._lock = threading.Lock()

    def check(self, wanted: dict[str, float], avoided: Sequence[str] = ()) -> None:
        """Raise SandboxError if no node has these resources; `avoided`: names of nodes that do not count."""
        totals = [node["Resources"] for node in self._nodes if node["Alive"] and name_of(node) not in avoided]
        if not any(all(total.get(name, 0) >= amount for name, amount in wanted.items()) for total in totals):
            have = dict.fromkeys(_in_words({name: total.get(name, 0) for name in wanted}) for total in totals)
            raise SandboxError(
                f"no node of Ray has {_in_words(wanted)}: they have {'; '.join(have) or 'nothing'}; lower [limits] or "
                "[cluster] of task.toml, or start such a node first"
            )

    def submit(
        self, name: str, path: Path, wanted: dict[str, float], shared: Sequence[str], avoided: Sequence[str]
    ) -> None:
        """Submit the job of a folder, unless it was submitted before. Raises SandboxError."""
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
        self.check(wanted, avoided)
        ids = [node["NodeID"] for node in self._nodes if name_of(node) in avoided]
        resources = {each: amount for each, amount in wanted.items() if each not in ("CPU", "GPU", "memory")}
        task = self._run_job.options(
            name=name,
            num_cpus=wanted["CPU"],
            num_gpus=wanted.get("GPU", 0),
            memory=wanted["memory"],
            resources=resources,
            label_selector={"ray.io/node-id": f"!in({','.join(ids)})"} if ids else {},
            num_returns=1 + 2 * n_pieces(request),
        )
        names = {node["NodeID"]: name_of(node) for node in self._nodes}
        with self._lock:
            if name in self._mirrors:
                return
            self._refs[name] = task.remote(SentJob(name, request, tuple(snapshots)), __version__, self._mailbox, names)
            self._mirrors[name] = Mirror(folder, request)

    def states(self) -> dict[str, tuple[bool, str, str]]:
        """Return for each job, by name: whether it is alive, its state as a word, and its node."""
        with self._lock:
            for name, mirror in list(self._mirrors.items()):
                if not mirror.is_alive and not mirror.folder.path.exists():
                    del self._mirrors[name]
            return {name: (each.is_alive, each.word, each.node) for name, each in self._mirrors.items()}

    def cancel(self, name: str) -> None:
        """End a job."""
        with self._lock:
            mirror, refs = self._mirrors.get(name), self._refs.get(name)
            if mirror is None or refs is None:
                return
            self._cancelled.setdefault(name, time.monotonic())
        if mirror.started is None:
            self._ray.cancel(refs[0])

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
            signal.alarm(_STUCK_SECONDS)
            now = time.monotonic()
            if now >= next_question and self.is_answering():
                self._nodes = self._ray.nodes()  # which does not return before the controller has answered
                next_question = now + _NODES_SECONDS
                self._end_those_of_dead_nodes()
            with self._lock:
                live = {name: refs for name, refs in self._refs.items()}
            if not live:
                time.sleep(_LOOK_SECONDS)
                continue
            self._exchange(live)
            first = {refs[0]: name for name, refs in live.items()}
            ready, _ = self._ray.wait(list(first), num_returns=1, timeout=_LOOK_SECONDS)
            if ready:
                ready, _ = self._ray.wait(list(first), num_returns=len(first), timeout=0)
            for ref in ready:
                name = first[ref]
                with self._lock:
                    refs = self._refs.pop(name)
                self._receiving.submit(self._receive, name, refs)

    def close(self) -> None:
        """Leave the cluster, which ends all tasks."""
        self._ray.shutdown()

    def _exchange(self, live: Mapping[str, Any]) -> None:
        now = time.monotonic()
        stopping = set(self._cancelled)
        for name in live:
            mirror = self._mirrors[name]
            if mirror.folder.is_stop_requested():
                stopping.add(name)
            if now - self._cancelled.get(name, now) > _FORCE_SECONDS:
                self._ray.cancel(live[name][0], force=True)
        with suppress(self._ray.exceptions.GetTimeoutError):
            new = self._ray.get(self._mailbox.take.remote(frozenset(stopping)), timeout=_CALL_SECONDS)
            for node_id, progress in new:
                if (found := self._mirrors.get(progress.name)) is not None:
                    found.take(progress, node_id)

    def _receive(self, name: str, refs: list[Any]) -> None:
        """Bring the result of a task into its folder."""
        mirror = self._mirrors[name]
        try:
            mirror.finish(self._ray.get(refs[0]), self._pieces(refs[1:]))
        except self._ray.exceptions.TaskCancelledError:
            mirror.end("CANCELLED")
        except self._ray.exceptions.RayTaskError as error:  # the program on the node failed, and would fail again
            cause = str(error).strip().splitlines()[-1]
            mirror.fail(f"{cause}; is autocentaur {__version__} installed there, for the Python of Ray?")
        except self._ray.exceptions.RayError as error:
            mirror.end(f"{type(error).__name__}: {_first_sentence(error)}")
        except OSError as error:
            mirror.end(f"its files cannot be written here: {error}")

    def _pieces(self, refs: list[Any]) -> Iterator[memoryview]:
        for ref in refs:
            piece = self._ray.get(ref)
            yield memoryview(b"" if piece is None else piece)

    def _end_those_of_dead_nodes(self) -> None:
        """End jobs on nodes that the controller lists as dead: Ray itself ends no task on a node that hangs."""
        alive = {node["NodeID"] for node in self._nodes if node["Alive"]}
        if self._own_node not in alive:
            os._exit(1)  # another cluster has taken the place of this one, which has no job of ours
        with self._lock:
            for name, mirror in self._mirrors.items():
                if mirror.is_alive and mirror.node_id and mirror.node_id not in alive and name in self._refs:
                    mirror.end("its node is dead")
                    with suppress(self._ray.exceptions.RayError):
                        self._ray.cancel(self._refs.pop(name)[0], force=True)


def _connect(address: str) -> None:
    """Return if HOST:PORT accepts a connection. Raises OSError."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def _first_sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0][:200]


def _in_words(resources: Mapping[str, float]) -> str:
    others = [f"{amount:g} {name}" for name, amount in resources.items() if name != "memory"]
    return ", ".join([*others, f"{resources['memory'] / 2**30:.1f} GiB of memory"])


def name_of(node: Mapping[str, Any]) -> str:
    """Return what a person calls a node: the name that it was started with, or that of its host."""
    return str(node["NodeManagerHostname"] if node["NodeName"] == node["NodeManagerAddress"] else node["NodeName"])


def main() -> None:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints must not be read as an answer
    writing = threading.Lock()

    def say(**answer: object) -> None:
        with writing:
            print(json.dumps(answer), file=output, flush=True)

    signal.alarm(_STUCK_SECONDS)
    try:
        driver = Driver(sys.argv[1] if len(sys.argv) > 1 else None)
    except Exception as error:  # noqa: BLE001  whatever Ray raises
        say(id=0, refused=f"{type(error).__name__}: {error}")
        return
    say(id=0)

    def keep_mirroring() -> None:
        try:
            driver.mirror()
        finally:
            os._exit(1)

    threading.Thread(target=keep_mirroring, daemon=True).start()

    def answer(request: dict[str, Any]) -> None:
        number, what = request.pop("id"), request.pop("do")
        try:
            if what != "cancel" and not driver.is_answering():
                say(id=number, unreachable="its controller accepts no connection")
            elif what == "states":
                say(id=number, states=driver.states())
            elif what == "submit":
                path = Path(request["folder"])
                driver.submit(request["name"], path, request["wanted"], request["shared"], request["avoided"])
                say(id=number)
            elif what == "cancel":
                driver.cancel(request["name"])
                say(id=number)
            else:
                driver.check(request["wanted"])
                say(id=number)
        except SandboxError as error:
            say(id=number, refused=str(error))
        except Exception as error:  # noqa: BLE001  whatever Ray raises
            say(id=number, unreachable=f"{type(error).__name__}: {error}")

    with ThreadPoolExecutor(16) as pool:
        for line in sys.stdin:
            pool.submit(answer, json.loads(line))
        threading.Timer(_CONNECT_SECONDS, os._exit, (0,)).start()
        with suppress(Exception):
            driver.close()
        os._exit(0)


if __name__ == "__main__":
    main()
