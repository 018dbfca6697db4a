"""What is asked of the engine for a job."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from sandbox import seccomp
from sandbox.container import seccomp_profile
from sandbox.container.settings import Bind, output_binds, settings
from sandbox.job import Job, Limits

JOB = Job(("true",), "RUN/1/x", Limits(10.0, 0.5, processes=20, scratch_mb=2.0), Path("log"), Path("artifact"))


def host_config(job: Job = JOB, *binds: Bind) -> dict[str, Any]:
    body = settings(job, "sha256:1", "1:1", binds, hidden=(), labels={"a": "b"})
    config: dict[str, Any] = body["HostConfig"]
    return config


def test_one_gpu_is_asked_for_by_its_index() -> None:
    requests = host_config(dataclasses.replace(JOB, gpus=("3",)))["DeviceRequests"]
    assert requests == [{"Driver": "", "DeviceIDs": ["3"], "Capabilities": [["gpu"]]}]


def test_without_a_gpu_none_is_asked_for() -> None:
    assert host_config()["DeviceRequests"] == []


def test_the_processors_of_a_job_are_those_of_its_container() -> None:
    assert host_config(dataclasses.replace(JOB, cores=(0, 2, 3)))["CpusetCpus"] == "0,2,3"
    assert host_config()["CpusetCpus"] == ""  # any


def test_only_the_output_can_be_written() -> None:
    job = dataclasses.replace(JOB, extra_output=Path("extra"))
    mounts = host_config(job, Bind(Path("/data"), "/data"), *output_binds(job))["Mounts"]
    read_only = {mount["Target"]: mount["ReadOnly"] for mount in mounts}
    assert read_only == {"/data": True, "/out/artifact": False, "/out/extra": False}


def test_no_swap_and_no_log_on_the_engines_disk() -> None:
    config = host_config()
    assert config["MemorySwap"] == config["Memory"] == 2**29
    assert config["LogConfig"] == {"Type": "none"}


def test_every_refused_call_is_refused_in_containers_too() -> None:
    rules = json.loads(seccomp_profile.profile())["syscalls"]
    allowed = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    refused = {name for rule in rules if rule.get("errnoRet") == 1 and "args" not in rule for name in rule["names"]}
    assert refused == set(seccomp.refused())
    assert allowed & refused == set()
    assert {"read", "mmap", "futex", "execve", "clone", "socket"} <= allowed
    assert allowed & {"io_uring_setup", "ptrace", "bpf", "clone3", "userfaultfd", "clock_settime64"} == set()


def test_of_sysfs_a_job_is_shown_the_control_groups() -> None:
    masked = set(host_config()["MaskedPaths"])
    shown = {f"/sys/{name}" for name in os.listdir("/sys")} - masked
    assert shown == {"/sys/fs"}
    assert {f"/sys/fs/{name}" for name in os.listdir("/sys/fs")} - masked <= {"/sys/fs/cgroup"}
    assert "/sys/devices" not in host_config(dataclasses.replace(JOB, gpus=("0",)))["MaskedPaths"]  # CUDA looks there
