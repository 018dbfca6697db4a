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
        demands = get_cluster_status(cluster.address).resource_demands
        print(json.dumps(sum(len(each.bundles_by_count) for each in demands.ray_task_actor_demand)), flush=True)
        continue
    os.environ[settings.pop("variable")] = settings["node_name"]
    for attempt in range(5):  # a node that is not up within 30 s is given up by Ray
        try:
            cluster.add_node(wait=False, include_dashboard=False, include_log_monitor=False, **settings)
            break
        except Exception as error:
            print(error, file=sys.stderr, flush=True)
    else:
        sys.exit(1)
    print(json.dumps(cluster.address), flush=True)
"""
"""Starts a node for each line of its input, and counts the tasks that wait if a line has no settings.

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
refs = [hold.options(num_cpus=8).remote() for _ in range(int(sys.argv[2]))]
while ray.available_resources().get("CPU", 0) > 0:
    time.sleep(0.1)
print("all", flush=True)
time.sleep(3600)
"""
"""Holds all processors of the nodes until it is killed."""


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
        self.start_controller()

    def start_controller(self) -> None:
        """Start a new cluster at the same address: without a database, Ray's controller remembers nothing."""
        self.close()
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
        self._start(_HEAD, gcs_server_port=self._port, num_cpus=0, temp_dir=str(self.folder), no_monitor=True)
        for node in self.nodes:
            self.start_node(node)

    def kill_controller(self) -> None:
        """Kill the process that knows the cluster (GCS), as when it fails. The nodes go on for a minute."""
        for pid in self.processes_on(_HEAD):
            with suppress(OSError):
                if b"gcs_server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                    os.kill(pid, signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Start a node, again if it was lost."""
        self.lose_node(node)
        self._start(node, num_cpus=8, num_gpus=self._n_gpus, memory=64 * 2**30)

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

    def close_nodes(self) -> None:
        """Let no further job start."""
        self._holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, self.address, str(len(self.nodes))],
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
        waiting: int = self._asked({})
        return waiting

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
        for node in (*self.nodes, _HEAD):
            self.lose_node(node)

    def _variables(self, node: str) -> dict[str, str]:
        folder = str(self.folder)
        variables = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
        return {**variables, **_SETTINGS, _FOLDER: str(self.folder), _NODE: node}

    def _start(self, name: str, **settings: object) -> None:
        settings |= {"variable": _NODE, "node_name": name, "object_store_memory": _STORE_BYTES}
        self.address = self._asked(settings)

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
