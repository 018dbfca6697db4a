"""Control groups: version 1 where this machine has it, version 2 against a folder tree that looks like it."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from sandbox import host_identity
from sandbox.errors import SandboxError
from sandbox.job import Limits
from sandbox.limits import cgroup, controller
from sandbox.limits.cgroup import CgroupV1, CgroupV2
from sandbox.limits.memory_peak import MemoryPeak

LIMITS = Limits(wall_seconds=1.0, memory_gb=0.5, processes=20, cpus=1.5)
V2_FILES = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "cgroup.procs")


def fake_v2(root: Path, *groups: str, enabled: str = "cpu memory pids") -> Path:
    """Make a tree like the kernel's, in which the files of a group are ordinary files."""
    for folder in (root, *(root / group for group in groups)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text(enabled)
    return root


def membership(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "self-cgroup"
    file.write_text(text)
    return file


def test_v2_is_found_below_our_own_group(tmp_path: Path) -> None:
    root = fake_v2(tmp_path / "cgroup", "user.slice/mine")
    found = cgroup.find(root, membership(tmp_path, "0::/user.slice/mine\n"))
    assert isinstance(found, CgroupV2)
    assert found.parent == root / "user.slice/mine"


def test_v2_without_its_controllers_is_not_used(tmp_path: Path) -> None:
    root = fake_v2(tmp_path / "cgroup", enabled="cpu io")
    assert cgroup.find(root, membership(tmp_path, "0::/\n")) is None


def test_v2_writes_the_limits_in_the_kernels_units(tmp_path: Path) -> None:
    parent = fake_v2(tmp_path / "cgroup")
    group = CgroupV2(parent).hold("RUN/0007/train", LIMITS)
    (folder,) = [path for path in parent.iterdir() if path.is_dir()]
    assert folder.name.startswith(f"autocentaur.{host_identity.process_id()}.")
    assert folder.name.endswith(".RUN-0007-train")
    assert (folder / "memory.max").read_text() == str(512 * 2**20)
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "pids.max").read_text() == "21"  # the 20 of the job, and process 1
    assert (folder / "cpu.max").read_text() == "150000 100000"
    group.adopt(4711, 4710)
    assert (folder / "cgroup.procs").read_text() == "4711"


def test_v2_reads_its_counters(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    (tmp_path / "memory.peak").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("4096\n")
    (tmp_path / "memory.stat").write_text("anon 96\nfile 4000\nshmem 1000\nslab_reclaimable 576\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n")
    assert cgroup.read_v2(tmp_path, MemoryPeak()) == controller.Usage(2.5, 1048576 - 3576, False)
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n")
    assert cgroup.read_v2(tmp_path, MemoryPeak()).over_memory


def test_v2_before_linux_5_19_has_no_peak(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 0\n")
    (tmp_path / "memory.current").write_text("4096\n")
    (tmp_path / "memory.stat").write_text("file 96\nshmem 0\nslab_reclaimable 0\n")
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    assert cgroup.read_v2(tmp_path, MemoryPeak()).peak_memory_bytes == 4000


def test_groups_of_dead_processes_are_swept_and_of_living_ones_kept(tmp_path: Path) -> None:
    parent = fake_v2(tmp_path / "cgroup")
    dead = subprocess.Popen(["true"])
    dead.wait()
    space, pid, started = host_identity.process_id().split(".")
    boot = space.partition("-")[0]
    gone = parent / f"autocentaur.{space}.{dead.pid}.{started}.0.RUN-0001-train"
    reused = parent / f"autocentaur.{space}.{pid}.1.0.RUN-0002-train"  # our number, once another's
    living = parent / f"autocentaur.{space}.{pid}.{started}.0.RUN-0003-train"
    unseen = parent / f"autocentaur.{boot}-1.{dead.pid}.{started}.0.RUN-0004-train"  # of another pid namespace
    foreign = parent / "system.slice"
    for folder in (gone, reused, living, unseen, foreign):
        folder.mkdir()
    CgroupV2(parent).sweep()
    assert not gone.exists()
    assert not reused.exists()
    assert living.exists()
    assert unseen.exists()
    assert foreign.exists()


def test_a_leftover_group_whose_processes_take_long_to_die_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = fake_v2(tmp_path / "cgroup")
    space, pid, _ = host_identity.process_id().split(".")
    slow, next_one = (parent / f"autocentaur.{space}.{pid}.{n}.0.RUN-0002-agent" for n in (1, 2))
    remove = Path.rmdir

    def busy(folder: Path) -> None:
        if folder == slow:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        remove(folder)

    monkeypatch.setattr(Path, "rmdir", busy)
    monkeypatch.setattr(cgroup, "_SWEEP_SECONDS", 0.05)
    slow.mkdir()
    next_one.mkdir()
    CgroupV2(parent).sweep()
    assert slow.exists()
    assert not next_one.exists()


def test_a_dead_process_that_nobody_waited_for_is_dead() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert host_identity.start_ticks(child.pid) is None
    child.wait()


def test_v1_controllers_that_share_a_mount_share_a_group(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    for name in ("memory", "pids", "cpu,cpuacct/mine"):
        (root / name).mkdir(parents=True)
    (root / "cpu").symlink_to("cpu,cpuacct")
    (root / "cpuacct").symlink_to("cpu,cpuacct")
    found = cgroup.find(root, membership(tmp_path, "3:cpu,cpuacct:/mine\n2:memory:/not-visible-here\n"))
    assert isinstance(found, CgroupV1)
    assert found.parents["cpu"] == found.parents["cpuacct"] == root / "cpu,cpuacct/mine"
    assert found.parents["memory"] == root / "memory"
    found.hold("RUN/1/x", LIMITS).adopt(4711, 4710)
    (group,) = (root / "cpu,cpuacct/mine").iterdir()
    assert (group / "cpu.cfs_quota_us").read_text() == "150000"
    assert (group / "cgroup.procs").read_text() == "4711"


def test_a_limit_that_the_kernel_refuses_is_named() -> None:
    found = cgroup.find()
    if not isinstance(found, CgroupV1):
        pytest.skip("cgroup v1 is not writable here")
    with pytest.raises(SandboxError, match=r"pids\.max"):
        found.hold("RUN/1/x", Limits(wall_seconds=1.0, memory_gb=0.5, processes=-5))
    for parent in found.parents.values():
        assert not list(parent.glob(f"autocentaur.{host_identity.process_id()}.*"))


def test_v1_counts_and_leaves_nothing() -> None:
    found = cgroup.find()
    if not isinstance(found, CgroupV1):
        pytest.skip("cgroup v1 is not writable here")
    group = found.hold("RUN/1/x", LIMITS)
    with subprocess.Popen(
        ["sh", "-c", "read _; head -c 20000000 /dev/zero | tail -c 20000000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as child:
        group.adopt(child.pid, child.pid)
        child.communicate(b"\n")
    used = group.read()
    assert 20_000_000 < used.peak_memory_bytes < 60_000_000  # as the kernel counted, for nobody looked meanwhile
    assert used.cpu_seconds > 0
    assert not used.over_memory
    group.close()
    for parent in found.parents.values():
        assert not list(parent.glob(f"autocentaur.{host_identity.process_id()}.*"))
