"""What a container's keeper prints, read."""

import subprocess
from pathlib import Path

import pytest

from sandbox.container import supervisor
from sandbox.limits.controller import Usage

V1 = """cpuacct/cpuacct.usage 1500000000
memory/memory.usage_in_bytes 9000
memory/memory.max_usage_in_bytes 9096
memory/memory.stat cache 6000
memory/memory.stat shmem 1000
memory/memory.oom_control oom_kill_disable 0
memory/memory.oom_control under_oom 0
memory/memory.oom_control oom_kill 0
.
"""
V2 = """cpu.stat usage_usec 1500000
cpu.stat user_usec 1
memory.current 100
memory.peak 4196
memory.stat file 150
memory.stat shmem 70
memory.stat slab_reclaimable 20
memory.events oom 3
memory.events oom_kill 2
memory.events oom_group_kill 0
.
"""


@pytest.mark.parametrize(("text", "over"), [(V1, False), (V2, True)], ids=["version 1", "version 2"])
def test_both_versions_of_control_groups_are_read(text: str, over: bool) -> None:
    counts = supervisor.Counts()
    counts.take(text.encode())
    assert counts.latest == Usage(1.5, 4096, over_memory=over)


def test_an_answer_may_come_in_pieces_and_several_at_once() -> None:
    counts = supervisor.Counts()
    for byte in (V1 + V1).encode():
        counts.take(bytes([byte]))
    assert counts.n_answers == 2
    assert counts.latest == Usage(1.5, 4096, over_memory=False)


def test_without_a_peak_the_highest_use_that_was_seen_counts() -> None:
    counts = supervisor.Counts()
    for used in (100, 900, 300):
        counts.take(V2.replace("memory.peak 4196\n", "").replace("current 100", f"current {used}").encode())
    assert counts.latest is not None
    assert counts.latest.peak_memory_bytes == 800


def test_an_answer_without_a_count_is_none() -> None:
    counts = supervisor.Counts()
    counts.take(b"cpu.stat usage_usec 12\n.\n")
    assert (counts.latest, counts.n_answers) == (None, 1)


def test_the_keeper_answers_each_question_and_ends_with_its_input(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.oom_control").write_text("under_oom 0\noom_kill 7\n")
    (tmp_path / "memory.peak").write_text("12\n")
    (tmp_path / "memory.stat").write_text("anon 1\nfile 2\nfile_mapped 3\nshmem 4\nslab_reclaimable 5\nslab 6\n")
    command = [word.replace("/sys/fs/cgroup", str(tmp_path)) for word in supervisor.COMMAND]
    ended = subprocess.run(command, input=supervisor.ASK * 2, capture_output=True, check=True, timeout=600)
    answer = "memory/memory.oom_control under_oom 0\nmemory/memory.oom_control oom_kill 7\nmemory.peak 12\n"
    answer += "memory.stat file 2\nmemory.stat shmem 4\nmemory.stat slab_reclaimable 5\n.\n"
    assert ended.stdout.decode() == answer * 2
