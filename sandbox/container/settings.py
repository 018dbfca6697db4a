"""The settings of a job's container: all limits and mounts, in the format of the engine's API."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import proc_constants
from sandbox.container import seccomp_profile, supervisor
from sandbox.interpreter import NAMED_PYTHON, NAMES, Interpreter
from sandbox.job import EXTRA_OUTPUT, HOST_NAME, OUTPUT, Job, Limits

N_KEPT = 2
"""Processes in a container beside the job's: Docker's init and the keeper."""
_MASKED = (  # what the engine masks by default
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug"),
    *("/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"),
    *("/sys/block", "/sys/class/block", "/sys/class/net", "/sys/dev/block", "/sys/kernel"),  # our additions
)
_INODE_BYTES = 1024  # about what the kernel needs for an empty file of a tmpfs


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host, mounted at `target` in the container."""

    source: Path
    target: str
    writable: bool = False


def settings(
    job: Job, image: str, keeper_user: str, binds: Sequence[Bind], *, hidden: Sequence[Path], labels: Mapping[str, str]
) -> dict[str, Any]:
    """Return the request that creates the container. Folders in `hidden` appear empty in it."""
    return {
        "Image": image,
        "Entrypoint": supervisor.COMMAND,
        "Cmd": [],
        "User": keeper_user,
        "WorkingDir": "/",
        "Hostname": HOST_NAME,
        "OpenStdin": True,
        "StdinOnce": True,  # the keeper's input ends when we disconnect: see supervisor.py
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},  # the image's health check would run beside the job
        "Labels": dict(labels),
        "HostConfig": {
            **_isolation(job),
            **_limits(job.limits, has_output=job.output is not None),
            "Mounts": [_mount(bind) for bind in binds],
            "Tmpfs": {**_scratch(job.limits), **{str(folder): "ro,size=4096" for folder in hidden}},
            "DeviceRequests": _devices(job.gpus),
            "CpusetCpus": ",".join(str(core) for core in job.cores),  # empty: any
        },
    }


def binds_of(python: Interpreter, copy: Path = Path("/")) -> list[Bind]:
    """Return the binds that show this machine's interpreter at its own path; files come from the folder `copy`."""
    folders = [(copy / path.relative_to("/"), path) for path in python.shown]
    links = [Bind(link, str(link)) for link, _ in python.links]
    return [*(Bind(source, str(path)) for source, path in folders if source.is_dir()), *links]


def binds_of_names(python: Interpreter, folder: Path) -> list[Bind]:
    """Return the bind of NAMED_PYTHON, whose links are made in `folder`; none if the interpreter needs no links."""
    if python.has_name:
        return []
    links = folder / "python"
    links.mkdir()
    links.chmod(0o755)  # for the job's user, whatever our umask
    for name in NAMES:
        (links / name).symlink_to(python.executable)
    return [Bind(links, NAMED_PYTHON)]


def binds_of_constants(folder: Path) -> list[Bind]:
    """Return the binds that replace machine-wide counters by constant text, which is written to files in `folder`."""
    binds = []
    for name, text in proc_constants.texts().items():
        if name in proc_constants.MASKABLE:
            (folder / name).write_bytes(text)
            (folder / name).chmod(0o444)
            binds.append(Bind(folder / name, f"/proc/{name}"))
    return binds


def _isolation(job: Job) -> dict[str, Any]:
    counters = [f"/proc/{name}" for name in proc_constants.texts() if name not in proc_constants.MASKABLE]
    profile = seccomp_profile.profile(apart=job.apart, compiles=job.compiles)
    return {
        "NetworkMode": "none",
        "ExtraHosts": [f"{HOST_NAME}:127.0.0.1"],
        "Dns": ["127.0.0.1"],  # otherwise the engine copies the host's settings into the container
        "DnsSearch": ["."],
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={profile}"],
        "MaskedPaths": [*_MASKED, *_sysfs(job.gpus), *counters, *(f"/proc/{name}" for name in proc_constants.FOLDERS)],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "Init": True,  # reaps orphans, which would count as processes otherwise
        "LogConfig": {"Type": "none"},  # the engine's log would fill the disk; ours is bounded
        "RestartPolicy": {"Name": "no"},
        "OomScoreAdj": 1000,  # killed first when the machine runs out of memory
    }


def _sysfs(gpus: Sequence[str]) -> list[str]:
    """Return the folders of /sys that count for the whole machine: all but the control groups.

    A job with a GPU is shown devices and modules, because CUDA looks there.
    """
    top = () if gpus else ("block", "bus", "class", "dev", "devices", "hypervisor", "module", "power")
    systems = sorted(set(os.listdir("/sys/fs")) - {"cgroup"})
    return [*(f"/sys/{name}" for name in top), *(f"/sys/fs/{name}" for name in systems)]


def _limits(limits: Limits, *, has_output: bool) -> dict[str, Any]:
    memory_bytes = int(limits.memory_gb * 2**30)
    file_bytes = int((limits.output_mb if has_output else limits.scratch_mb) * 2**20)
    hard = {"core": 0, "fsize": file_bytes, "nofile": 1024, "msgqueue": 819_200}
    return {
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,  # memory plus swap: so there is no swap
        "NanoCpus": int(limits.cpus * 1e9),
        "PidsLimit": limits.processes + N_KEPT,
        "ShmSize": int(limits.scratch_mb * 2**20),
        "Ulimits": [{"Name": name, "Soft": value, "Hard": value} for name, value in hard.items()],
    }


def _scratch(limits: Limits) -> dict[str, str]:
    size = int(limits.scratch_mb * 2**20)
    # exec: torch.compile loads compiled code from here.
    return {"/tmp": f"exec,nosuid,nodev,mode=1777,size={size},nr_inodes={size // _INODE_BYTES}"}


def _mount(bind: Bind) -> dict[str, Any]:
    # Not recursive: engines before 25 would leave mounts below the folder writable.
    how = {"NonRecursive": True, "Propagation": "rprivate"}
    return {
        "Type": "bind",
        "Source": str(bind.source.absolute()),
        "Target": bind.target,
        "ReadOnly": not bind.writable,
        "BindOptions": how,
    }


def _devices(gpus: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"Driver": "", "DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}] if gpus else []


def output_binds(job: Job) -> list[Bind]:
    """Return the binds of the output files, the only files of the host that a job may write."""
    outputs = ((job.output, OUTPUT), (job.extra_output, EXTRA_OUTPUT))
    return [Bind(path, target, writable=True) for path, target in outputs if path is not None]
