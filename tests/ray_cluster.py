"""A real Ray on this machine for tests: a head without processors and several nodes, all files in one folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.slurm_cluster import OWN_DEVICES

_PATIENCE_SECONDS = 300.0
_FOLDER, _NODE = "TEST_RAY_FOLDER", "TEST_RAY_NODE"  # variables by which the processes of a node are known
_HEAD = "head"
_STORE_BYTES = 128 * 2**20
_TRIES = 9  # to start a node: one that is not up within 30 s is given up by Ray, which leaves its processes
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
}
_STARTER = """
import json, os, sys
from ray.cluster_utils import Cluster
cluster = Cluster(shutdown_at_exit=False)
for line in sys.stdin:
    settings = json.loads(line)
    if not settings:
        from ray.autoscaler.v2.sdk import get_cluster_status
        status = get_cluster_status(cluster.address)
        waiting = sum(len(each.bundles_by_count) for each in status.resource_demands.ray_task_actor_demand)
        used = sum(each.used for each in status.cluster_resource_usage if each.resource_name == "CPU")
        alive = len(status.active_nodes) + len(status.idle_nodes)
        print(json.dumps([waiting, used, alive]), flush=True)
        continue
    os.environ.update(settings.pop("variables"))
    try:
        cluster.add_node(wait=False, include_dashboard=False, include_log_monitor=False, **settings)
        print(json.dumps(cluster.address), flush=True)
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        print("null", flush=True)
"""
"""Starts a node for each line of its input; if a line has no settings, counts waiting tasks, used processors and nodes.

The processes of a node have its name among their variables.
"""
_HOLDER = """
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
@ray.remote(max_retries=0)
def hold():
    print("held", file=sys.stderr)
    time.sleep(3600)
@ray.remote(num_cpus=0)
def here():
    return None
nodes = {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeName"] in sys.argv[2:]}
refs = [hold.options(num_cpus=8, label_selector={"ray.io/node-id": node}).remote() for node in nodes]
while any(ray._private.state.available_resources_per_node()[node].get("CPU", 0) > 0 for node in nodes):
    time.sleep(0.1)
print("all", flush=True)
time.sleep(3600)
"""
"""Holds all processors of the named nodes until it is killed."""


def why_no_ray() -> str | None:
    """Return why this environment cannot run a cluster; None if it can."""
    return None if find_spec("ray") is not None else "no ray: pip install 'autocentaur[ray]'"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class RayCluster:
    """A running cluster. `address` is what a driver connects to."""

    def __init__(self, folder: Path, n_nodes: int = 3, n_gpus: int = 0) -> None:
        self.folder = folder
        self.nodes = [f"n{number}" for number in range(1, n_nodes + 1)]
        self.address = ""
        self._port = _free_port()
        self._n_gpus = n_gpus
        self._starter: subprocess.Popen[str] | None = None
        self._holder: subprocess.Popen[str] | None = None
        (folder / "ray").mkdir()  # where Ray writes the address of the latest cluster, without making the folder
        self.start_controller()

    def start_controller(self) -> None:
        """Start a new cluster at the same address: without a database, Ray's controller remembers nothing."""
        for _ in range(_TRIES):
            self.close()
            self._start_starter()
            settings = {"gcs_server_port": self._port, "num_cpus": 0, "temp_dir": str(self.folder), "no_monitor": True}
            if self._is_started(_HEAD, settings):
                break
        else:
            raise AssertionError((self.folder / "starter.out").read_text()[-2000:])
        for node in self.nodes:
            self.start_node(node)

    def _start_starter(self) -> None:
        devices = self.folder / "dev"
        devices.mkdir(exist_ok=True)
        names = " ".join(f"/dev/nvidia{number}" for number in range(self._n_gpus))
        script = f'{OWN_DEVICES}\nexec "$@"'
        own_devices = ["unshare", "--mount", "sh", "-e", "-c", script, "sh"] if self._n_gpus else []
        with (self.folder / "starter.out").open("ab") as log:
            self._starter = subprocess.Popen(
                [*own_devices, sys.executable, "-c", _STARTER],
                env={**self._variables(_HEAD), "ALL": str(devices), "GPUS": names},
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def kill_controller(self) -> None:
        """Kill the process that knows the cluster (GCS), as when it fails. The nodes go on for a minute."""
        for pid in self.processes_on(_HEAD):
            with suppress(OSError):
                if b"gcs_server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                    os.kill(pid, signal.SIGKILL)

    def start_node(self, node: str, modules: Path | None = None) -> None:
        """Start a node, again if it was lost; `modules`: a folder of modules that its processes import first."""
        variables = {"PYTHONPATH": "" if modules is None else str(modules)}
        for _ in range(_TRIES):
            self.lose_node(node)
            settings = {"num_cpus": 8, "num_gpus": self._n_gpus, "memory": 64 * 2**30, "variables": variables}
            if self._is_started(node, settings):
                return
        raise AssertionError((self.folder / "starter.out").read_text()[-2000:])

    def lose_node(self, node: str) -> None:
        """Kill all processes of a node, as when its power fails."""
        while pids := self.processes_on(node):
            for pid in _with_children(pids):  # some of Ray's own overwrite their variables
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def busy(self) -> list[str]:
        """Return the nodes that have jobs."""
        return [node for node in self.nodes if self._jobs_on(node)]

    def end_jobs(self) -> None:
        """End all jobs, as Ray does when a node runs out of memory."""
        for pid in [pid for node in self.nodes for pid in self._jobs_on(node)]:
            os.kill(pid, signal.SIGKILL)

    def _jobs_on(self, node: str) -> list[int]:
        """Return the workers of a node that run a job."""
        found = []
        for pid in self.processes_on(node):
            with suppress(OSError):
                name = Path(f"/proc/{pid}/cmdline").read_bytes()
                if name.startswith(b"ray::") and b".a" in name:
                    found.append(pid)
        return found

    def close_nodes(self, *nodes: str) -> None:
        """Let no further job start on these nodes, or on any."""
        self._holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, self.address, *(nodes or self.nodes)],
            env=self._variables(_HEAD), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "all\n"

    def open_nodes(self) -> None:
        """Let jobs start again."""
        assert self._holder is not None
        self._holder.kill()
        self._holder.wait()

    def waiting(self) -> int:
        """Return how many sorts of jobs wait for a node."""
        waiting: int = self._asked({})[0]
        return waiting

    def used_processors(self) -> float:
        """Return how many processors of the nodes are reserved for tasks."""
        used: float = self._asked({})[1]
        return used

    def alive(self) -> int:
        """Return how many nodes Ray believes to be alive, without the head."""
        alive: int = self._asked({})[2] - 1
        return alive

    def freeze_workers(self, node: str) -> None:
        """Stop the processes that wait for a job on a node, which takes jobs all the same."""
        for pid in self.processes_on(node):
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::IDLE"):
                    os.kill(pid, signal.SIGSTOP)

    def cut_off(self, node: str) -> None:
        """Stop all processes of a node, as when it hangs. The job does not notice."""
        for pid in self.processes_on(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self, node: str) -> None:
        """Let them go on."""
        for pid in self.processes_on(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def processes_on(self, node: str) -> list[int]:
        """Return the processes of a node that are alive."""
        found = []
        wanted = {f"{_FOLDER}={self.folder}".encode(), f"{_NODE}={node}".encode()}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if wanted <= set(Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")):
                    found.append(int(entry))
        return found

    def close(self) -> None:
        """Kill all processes."""
        if self._starter is not None:
            self._starter.kill()
            self._starter.wait()
            self._starter = None
        for node in (*self.nodes, _HEAD):
            self.lose_node(node)

    def _variables(self, node: str) -> dict[str, str]:
        folder = str(self.folder)
        variables = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
        return {**variables, **_SETTINGS, _FOLDER: str(self.folder), _NODE: node}

    def _is_started(self, name: str, settings: dict[str, Any]) -> bool:
        """Start a node; return False if Ray has given it up."""
        variables = {_NODE: name, **settings.pop("variables", {})}
        more = {"variables": variables, "node_name": name, "object_store_memory": _STORE_BYTES}
        address = self._asked({**settings, **more})
        self.address = address or self.address
        return address is not None

    def _asked(self, settings: dict[str, object]) -> Any:
        assert self._starter is not None
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write(json.dumps(settings) + "\n")
        self._starter.stdin.flush()
        answer = self._starter.stdout.readline()
        assert answer, (self.folder / "starter.out").read_text()[-2000:]
        return json.loads(answer)


def _with_children(pids: list[int]) -> list[int]:
    """Return processes and all that descend from them."""
    parents: dict[int, int] = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    found = list(pids)
    for pid in found:  # which grows meanwhile
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


@contextmanager
def ray_cluster(n_nodes: int = 3, n_gpus: int = 0) -> Iterator[RayCluster]:
    """Start a cluster, and stop it at the end; skip the test where that is not possible.

    `n_gpus`: of each node; as root, each is a device file, the same ones on all nodes.
    """
    if (why := why_no_ray()) is not None:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a short path, for the sockets
    folder.chmod(0o755)
    try:
        cluster = RayCluster(folder, n_nodes, n_gpus)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
