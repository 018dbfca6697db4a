"""What the commands of Slurm are called with, and what a run does while they do not end. They are stand-ins here."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.execution.placement.placed_job import Timeouts
from agent.execution.placement.placing import PlacingSandbox
from agent.execution.placement.slurm import Slurm
from agent.task.cluster_table import ClusterSpec
from sandbox.job import Execution, StoppedBy
from sandbox.node.job_folder import InnerSandbox
from tests.contracts.placer_contract import job_in
from tests.contracts.sandbox_contract import processes_with, wait_until

Command = Callable[[str, str], None]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Makes a command of a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    for name in ("sbatch", "squeue", "scancel"):
        make(name, "exit 0")
    return make


def test_a_submission_that_slurm_retries_ends_with_the_run_and_leaves_no_job(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.execution.placement.slurm._COMMAND_SECONDS", 86_400.0)
    marker, cancelled = str(tmp_path / "submitting"), tmp_path / "cancelled"
    command("sbatch", f"touch '{marker}'; exec python3 -c 'import time; time.sleep(86400)' '{marker}'")
    command("scancel", f"echo \"$@\" >> '{cancelled}'")
    stop = threading.Event()
    found: list[Execution] = []
    with closing(PlacingSandbox(Slurm(ClusterSpec()), InnerSandbox(), tmp_path / "jobs", timeouts=Timeouts(0.1))) as it:
        job = job_in(tmp_path, "pass", stop_when=stop.is_set)
        thread = threading.Thread(target=lambda: found.append(it.run(job)), daemon=True)
        thread.start()
        wait_until(lambda: bool(processes_with(marker)))
        stop.set()
        wait_until(lambda: not thread.is_alive(), 120.0)
    assert not processes_with(marker)
    assert [execution.stopped_by for execution in found] == [StoppedBy.CALLER]
    assert "--name=RUN-0007-train.a1." in cancelled.read_text()
