"""What is asked of systemd; systemd itself is not run here."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from sandbox.job import Limits
from sandbox.limits import systemd_scope
from sandbox.limits.controller import Usage
from sandbox.limits.systemd_scope import KeptScope, SystemdScopes

LIMITS = Limits(wall_seconds=1.0, memory_gb=0.5, processes=20, cpus=1.5)


def test_the_command_names_every_limit_in_systemds_units() -> None:
    command = SystemdScopes("/usr/bin/systemd-run", 252).command("RUN/0007/train", LIMITS)
    assert command[:5] == ("/usr/bin/systemd-run", "--user", "--scope", "--quiet", "--collect")
    assert {"MemoryMax=536870912", "MemorySwapMax=0", "TasksMax=23", "CPUQuota=150%"} <= set(command)
    assert command[-1] == "--"


def test_a_child_killed_for_memory_must_not_end_the_scope_where_systemd_knows_how() -> None:
    assert "OOMPolicy=continue" not in SystemdScopes("systemd-run", 252).command("x", LIMITS)
    assert "OOMPolicy=continue" in SystemdScopes("systemd-run", 253).command("x", LIMITS)


def test_without_a_users_manager_there_are_no_scopes() -> None:
    if "XDG_RUNTIME_DIR" not in os.environ:
        assert systemd_scope.find() is None


def test_the_keeper_outlives_the_command_until_it_is_let_go() -> None:
    kept = KeptScope(("/usr/bin/env", "--"), {}, LIMITS)
    command = [*kept.wrapping.prefix, "/bin/sh", "-c", "env; echo $$"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={"SECRET": "1"},
        pass_fds=kept.wrapping.pass_fds,
        process_group=0,
    ) as process:
        output, _ = process.communicate()  # would hang if the keeper held the output
        group = process.pid
    assert "SECRET" not in output
    assert output.split()[-1] == str(group)  # the command is the process that was started
    os.killpg(group, 0)  # the keeper is still in the group
    kept.close()
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("the keeper is still there")


def test_a_scope_that_was_killed_as_a_whole_was_out_of_memory(tmp_path: Path) -> None:
    kept = KeptScope(("/usr/bin/env", "--"), {}, LIMITS)
    try:
        kept._folder = tmp_path / "run-1.scope"  # what `adopt` finds where systemd runs
        kept._folder.mkdir()
        counts = {
            "cpu.stat": "usage_usec 1500000",
            "memory.current": "4096",
            "memory.peak": "4096",
            "memory.stat": "file 0",
            "memory.events": "oom_kill 0",
        }
        for name, text in counts.items():
            (kept._folder / name).write_text(f"{text}\n")
        assert kept.read() == Usage(1.5, 4096, over_memory=False)
        shutil.rmtree(kept._folder)
        assert kept.read() == Usage(1.5, 4096, over_memory=True)
    finally:
        kept.close()
