"""What a machine offers is what the control groups of the process leave of it."""

import os
from pathlib import Path

import pytest

from agent.task.init.host import HostResources

N_PROCESSORS = float(len(os.sched_getaffinity(0)))


def here(folder: Path, own: str, files: dict[str, str]) -> HostResources:
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return HostResources.here(folder / "cgroup", folder / "own")


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/\n", {"cpu.max": "50000 100000\n", "memory.max": "1073741824\n"}),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/memory.max": "1073741824\n"}),
        ("0::/not/seen/here\n", {"cpu.max": "50000 100000\n", "memory.max": "1073741824\n"}),
        (
            "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n",
            {
                "cpu/job/cpu.cfs_quota_us": "50000\n",
                "cpu/job/cpu.cfs_period_us": "100000\n",
                "memory/job/memory.limit_in_bytes": "1073741824\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
        ),
    ],
    ids=["version 2", "of a parent", "of a container", "version 1"],
)
def test_the_smallest_limit_on_the_way_to_the_root_counts(own: str, files: dict[str, str], tmp_path: Path) -> None:
    found = here(tmp_path, own, files)
    assert (found.cpus, found.total_gb, found.memory_gb) == (0.5, 1.0, 0.8)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("0::/\n", {"cpu.max": "99900000 100000\n", "memory.max": "9223372036854771712\n"}),
    ],
    ids=["no groups", "version 2", "version 1", "more than there is"],
)
def test_a_group_without_limits_leaves_the_whole_machine(own: str, files: dict[str, str], tmp_path: Path) -> None:
    found = here(tmp_path, own, files)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    assert (found.cpus, found.total_gb) == (N_PROCESSORS, round(total, 1))


@pytest.mark.parametrize(
    ("n_gpus", "memory_gb", "cpus", "for_one"),
    [
        (0, 96.0, 32.0, (96.0, 32.0)),
        (1, 96.0, 1.5, (96.0, 1.5)),
        (4, 98.0, 30.0, (24.0, 7.0)),
        (8, 6.0, 4.0, (0.8, 1.0)),
    ],
)
def test_a_trial_gets_a_share_for_each_gpu_of_the_machine(
    n_gpus: int, memory_gb: float, cpus: float, for_one: tuple[float, float], tmp_path: Path
) -> None:
    assert HostResources(memory_gb, 2 * memory_gb, cpus, n_gpus).for_one == for_one
    for number in range(n_gpus):
        (tmp_path / "gpus" / f"0000:{number:02}:00.0").mkdir(parents=True)
    assert HostResources.here(gpus=tmp_path / "gpus").n_gpus == n_gpus
