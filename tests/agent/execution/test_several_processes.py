"""A script of several processes, which torch.distributed joins on the loopback interface, trains in each sandbox."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.execution.training_job import export, training_job
from agent.store.paths import TrialPaths
from agent.task.task import Task
from sandbox.job import Sandbox
from tests.docker_engine import SANDBOXES, opened_sandbox

pytest.importorskip("torch")

CONFIG = """[task]
name = "two"
command = {command}
[environment]
writable_copy = true
[set]
OMP_NUM_THREADS = "1"
[score]
kind = "printed"
[budget]
unit = "work"
amount = 1
counted_by = "script"
[limits]
wall_seconds = 600
memory_gb = 4
cpus = 2
"""
JOIN = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(total)
found = [None, None]
dist.all_gather_object(found, dist.get_rank())
if dist.get_rank() == 0:
    print("world", dist.get_world_size(), "total", total.item(), "ranks", found)
dist.destroy_process_group()
"""
BY_ITSELF = """
import os, subprocess, sys

if "RANK" not in os.environ:
    place = {"MASTER_ADDR": os.uname().nodename, "MASTER_PORT": "29500", "WORLD_SIZE": "2"}
    ranks = [subprocess.Popen([sys.executable, __file__], env={**os.environ, **place, "RANK": str(n)}) for n in (0, 1)]
    sys.exit(max(rank.wait() for rank in ranks))
"""
COMMANDS = {
    "by itself": ('["python", "train.py"]', BY_ITSELF + JOIN),
    "torchrun": ('["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]', JOIN),
}


@pytest.fixture(params=SANDBOXES)
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with closing(opened_sandbox(request.param)) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("way", COMMANDS)
def test_two_processes_join_by_gloo(box: Sandbox, tmp_path: Path, way: str) -> None:
    command, source = COMMANDS[way]
    config = CONFIG.format(command=command)
    task = Task(tmp_path, {"task.toml": config.encode(), "train.py": source.encode()})
    paths = TrialPaths(tmp_path / "trial")
    paths.root.mkdir()
    export(task.files, paths.files)
    job = training_job(task, None, paths, label="r/0", train_seed=0, baseline_cpu_seconds=None, passed_on={})
    execution = box.run(job)
    assert execution.exit_code == 0, paths.log.read_text()
    assert paths.stdout.read_text() == "world 2 total 3.0 ranks [0, 1]\n"
