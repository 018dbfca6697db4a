"""Slurm, by its commands: sbatch, squeue and scancel."""

import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.execution.placement.job_queue import JobNeeds, QueueBusyError, QueueState, QueueUnreachableError
from agent.task.cluster_table import ClusterSpec
from agent.text import one_line
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job import POLL_SECONDS
from sandbox.node.job_folder import JobFolder

PROGRAMS = ("sbatch", "squeue", "scancel")
_ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
        *("REVOKED", "TIMEOUT"),
    }
)
"""States of squeue in which nothing of a job runs any more, as far as Slurm knows."""
_UNREACHABLE = (
    *("unable to contact slurm controller", "connection refused", "connection reset", "socket timed out"),
    *("zero bytes were transmitted", "communication connection failure", "unable to establish controller machine"),
    *("slurm_load_jobs error: unexpected message", "slurm backup controller in standby", "connect failure"),
    *("munge encode failed", "protocol authentication error"),  # munged is being started again
)
"""Parts of what the commands print when the controller does not answer."""
_BUSY = (
    "submitjob",  # QOSMaxSubmitJobPerUserLimit, AssocGrpSubmitJobsLimit and the like
    *("maxsubmitjobsperaccount", "job queue full", "temporarily unable to accept", "resource temporarily unavailable"),
    *("unable to create job record", "job creation temporarily disabled"),
    *("required partition not available (inactive or drain)",),
)
"""Parts of what sbatch prints when a limit on the number of jobs is reached, or no job is taken for now. Other limits,
such as QOSMaxCpuPerJobLimit, would refuse the same job again."""
_REASONS = {
    "Resources": "no node is free",
    "Priority": "jobs of higher priority wait too",
    "ReqNodeNotAvail": "nodes are down, drained or reserved",
    "Nodes required for job are DOWN": "all nodes that could run it are down, drained or reserved",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "JobHeldUser": "a user holds it; scontrol release lets it start",
    "JobHeldAdmin": "an administrator holds it",
}
"""What the commonest reasons of squeue mean. Names of limits, such as QOSMaxJobsPerUserLimit, say it themselves."""
_WANTING_NODES = ("Resources", "ReqNodeNotAvail", "Nodes required for job are DOWN")
"""Reasons of a job that waits for a node, which may be out of service."""
_OUT_OF_SERVICE = ("down", "drain", "drng", "fail", "inval", "maint", "reboot", "unk", "powered_down")
"""Beginnings of the states of nodes that take no job."""
_REMEDY = (
    "`sinfo -R` says since when; Ctrl-C, then `agent resume RUN --on slurm:PARTITION`, moves the run to other nodes"
)
_NONE_NOW = "requested node configuration is not available"
"""What --test-only also says while all nodes are down or drained, when a job would wait. For a job that no node can
ever run, sbatch says it again."""
_NODES_SECONDS = 30.0  # between two questions about nodes, while a job waits for one
_COMMAND_SECONDS = 180.0  # of one command: sbatch tries 15 times by itself, within 120 s, while the queue is full


class Slurm:
    """The queue of a Slurm cluster. All settings that keep a job from running twice are here."""

    shares_folder = True

    def __init__(self, spec: ClusterSpec, partition: str | None = None) -> None:
        """`partition`: in place of the one that the task names; None: the task's, or the cluster's default.

        Raises:
            SandboxUnavailableError: the commands of Slurm are not installed here.
        """
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise SandboxUnavailableError(
                f"this machine has no {', '.join(missing)}: start the run where Slurm's commands are, such as a login "
                "node, or leave out --on slurm"
            )
        self._spec = spec
        self._partition = partition or spec.partition
        self._out_of_service = ""
        self._next_look_at_nodes = 0.0  # monotonic

    def check(self, needs: JobNeeds) -> None:
        """Return if Slurm would accept such a job. Raises SandboxError, with the remedy, if not."""
        command = ["sbatch", "--test-only", *self._options("check", needs), "--output=/dev/null"]
        try:
            _run(command, "#!/bin/sh\n")
        except SandboxError as error:
            if _NONE_NOW not in str(error).lower():
                raise

    def submit(self, name: str, folder: Path, needs: JobNeeds, is_to_stop: Callable[[], bool]) -> None:
        """Submit the job of a folder. Raises as `JobQueue.submit` does."""
        program = shlex.join([sys.executable, "-I", "-m", "sandbox.node", str(folder)])
        output = str(JobFolder(folder).node_log).replace("%", "%%")
        command = ["sbatch", "--parsable", *self._options(name, needs), "--chdir=/", f"--output={output}"]
        _run(command, f"#!/bin/sh\nexec {program}\n", is_to_stop)

    def states(self) -> Mapping[str, QueueState]:
        """Return the state of each of this user's jobs, by name. Raises QueueUnreachableError."""
        command = ["squeue", "--noheader", "--all", f"--user={os.geteuid()}", "--states=all", "--format=%j|%T|%N|%r"]
        try:
            lines = _run(command).splitlines()
        except QueueUnreachableError:
            raise
        except SandboxError as error:  # whatever it is, no job is lost by it
            raise QueueUnreachableError(str(error)) from error
        found: dict[str, QueueState] = {}
        for line in lines:
            if line.count("|") < 3:  # a part of a name with a line break, or what the site's own squeue prints
                continue
            name, job_state, node, reason = line.strip().rsplit("|", 3)
            state = QueueState(
                job_state not in _ENDED, job_state, node, *(self._wait(reason) if job_state == "PENDING" else ())
            )
            if name not in found or state.is_alive:
                found[name] = state
        return found

    def _wait(self, reason: str) -> tuple[str, str]:
        """Return why a job waits, from the reason that squeue prints, and what a person can do; empty: nobody knows."""
        reason = reason.strip().strip("()")
        kind = reason.partition(",")[0]
        if kind in ("", "None"):  # Slurm has not looked at the job yet
            return "", ""
        why = f"{_REASONS[kind]} ({reason})" if kind in _REASONS and " " not in kind else _REASONS.get(kind, reason)
        if kind not in _WANTING_NODES or not (out := self._nodes_out_of_service()):
            return why, ""
        return f"{why}; out of service: {out}", "" if kind == "Resources" else _REMEDY

    def _nodes_out_of_service(self) -> str:
        """Return how many nodes of the partition take no job, and why: "2 drained (broken)"; empty: none is known."""
        if time.monotonic() < self._next_look_at_nodes:
            return self._out_of_service
        self._next_look_at_nodes = time.monotonic() + _NODES_SECONDS
        wanted = set(self._partition.split(",")) if self._partition else None
        found: dict[str, int] = {}
        with suppress(SandboxError):  # it may be missing here
            for line in _run(["sinfo", "--noheader", "--format=%P|%D|%T|%E"]).splitlines():
                partition, number, state, why = (*line.split("|", 3), "", "", "")[:4]
                is_ours = partition in wanted if wanted is not None else partition.endswith("*")
                if is_ours and state.startswith(_OUT_OF_SERVICE) and number.isdigit():
                    what = state.rstrip("*~#!%$@^-+") + (f" ({why})" if why not in ("", "none") else "")
                    found[what] = found.get(what, 0) + int(number)
        self._out_of_service = ", ".join(f"{number} {what}" for what, number in found.items())
        return self._out_of_service

    def cancel(self, name: str) -> None:
        """End all jobs of that name; there may be none. Raises QueueUnreachableError."""
        _run(["scancel", f"--user={os.geteuid()}", f"--name={name}"])

    def close(self) -> None:
        """Hold nothing."""

    def _options(self, name: str, needs: JobNeeds) -> list[str]:
        spec = self._spec
        excluded = [option.partition("=")[2] for option in spec.sbatch if option.startswith("--exclude=")]
        options = {
            "--partition": self._partition,
            "--account": spec.account,
            "--constraint": spec.constraint,
            "--gres": f"gpu:{needs.gpus}" if needs.gpus else None,
        }
        return [
            *(f"{option}={value}" for option, value in options.items() if value is not None),
            *spec.sbatch,
            # The last of several counts.
            *([f"--exclude={','.join([*excluded, *needs.avoided])}"] if needs.avoided else []),
            # By default Slurm runs a job again without telling, and gives it this program's whole environment.
            *("--no-requeue", "--export=NONE"),
            *(f"--job-name={name}", "--nodes=1", "--ntasks=1", f"--cpus-per-task={needs.cpus}"),
            f"--mem={needs.memory_mb}M",
            f"--time={math.ceil(needs.seconds / 60)}",
        ]


def _run(command: list[str], script: str | None = None, is_to_stop: Callable[[], bool] = lambda: False) -> str:
    """Run a command of Slurm and return what it printed.

    Args:
        script: its input; None: it has none.
        is_to_stop: returns whether to end the command.

    Raises:
        QueueUnreachableError: the controller does not answer, or the command was ended.
        QueueBusyError: no further job is taken at present.
        SandboxError: the command failed; the message has what it printed.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if script is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # SQUEUE_PARTITION and the like would hide jobs, which would count as lost.
            env={n: v for n, v in os.environ.items() if not n.startswith(("SQUEUE_", "SCANCEL_"))},
        )
    except OSError as error:
        raise SandboxUnavailableError(f"cannot run {command[0]}: {error.strerror}") from error
    with process:
        try:
            printed, errors = _communicated(process, script, is_to_stop)
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        return printed
    lines = [line.removeprefix(f"{command[0]}: ").removeprefix("error: ") for line in errors.strip().splitlines()]
    message = one_line(": ".join(lines) or f"exit code {process.returncode}")
    if any(part in message.lower() for part in _UNREACHABLE):
        raise QueueUnreachableError(f"{command[0]}: {message}")
    if any(part in message.lower() for part in _BUSY):
        raise QueueBusyError(f"{command[0]}: {message}")
    raise SandboxError(f"{command[0]}: {message}; see [cluster] of task.toml and --on slurm:PARTITION")


def _communicated(
    process: "subprocess.Popen[str]", text: str | None, is_to_stop: Callable[[], bool]
) -> tuple[str, str]:
    """Return what a command prints and its errors, once it has ended. Raises QueueUnreachableError if it is to stop."""
    deadline = time.monotonic() + _COMMAND_SECONDS
    while True:
        try:
            return process.communicate(text, timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            text = None  # it is being written
        if is_to_stop():
            raise QueueUnreachableError("the submission was given up")
        if time.monotonic() > deadline:
            raise QueueUnreachableError(f"no answer came within {_COMMAND_SECONDS:g} s")
