"""`--sandbox docker` and `--gpus` as users call them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import TaskError
from agent.execution.sandboxes import open_sandbox
from agent.task.task import Task
from sandbox.container.engine import Engine
from tests import commands
from tests.docker_engine import skip_without_docker

BIGRAM = Path(__file__).parents[2] / "tasks" / "bigram_plain"
ROOT = Path(__file__).parents[3]


def a_task(folder: Path, environment: str) -> Path:
    """Copy the bigram task into `folder`, with that table [environment]."""
    folder.mkdir()
    for path in BIGRAM.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    config = folder / "task.toml"
    config.write_text(config.read_text().replace("[data]", f"[environment]\n{environment}\n\n[data]", 1))
    return folder


def agent(place: Path, cache: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "AUTOCENTAUR_CACHE": str(cache), **extra}
    return commands.agent(*args, cwd=place, env=environment)


@pytest.mark.slow
@pytest.mark.docker
def test_a_run_in_containers_with_the_tasks_python_and_variables(tmp_path: Path, cache: Path) -> None:
    skip_without_docker()
    task = a_task(tmp_path / "task", f'python = "{sys.executable}"\nvariables = ["MAY_PASS"]')
    script = task / "train.py"
    look = "    print('sees', sorted(name for name in os.environ if name.startswith(('MAY_', 'OPENAI_', 'HF_'))))\n"
    script.write_text(script.read_text().replace("def main():\n", f"def main():\n{look}", 1))
    secrets = {"OPENAI_API_KEY": "sk-secret", "HF_TOKEN": "hf-secret", "MAY_PASS": "yes"}
    run = ("run", "--task", str(task), "--mode", "random", "--trials", "2", "--name", "r", "--sandbox", "docker")
    done = agent(tmp_path, cache, *run, **secrets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sees ['MAY_PASS']" in (tmp_path / "runs/r/trials/0000/train.log").read_text()
    events = [json.loads(line) for line in (tmp_path / "runs/r/journal.jsonl").read_text().splitlines()]
    finished = [event["outcome"] for event in events if event["event"] == "trial_finished"]
    assert [outcome["status"] for outcome in finished] == ["ok", "ok"]
    assert all(re.match(r"docker \S+, image sha256:[0-9a-f]{64}", outcome["sandbox"]) for outcome in finished)


@pytest.mark.docker
def test_a_gpu_that_containers_cannot_have_is_reported_before_anything_is_written(tmp_path: Path, cache: Path) -> None:
    skip_without_docker()
    with Engine() as engine:
        if "nvidia" in engine.info().get("Runtimes", {}):
            pytest.skip("this engine has the NVIDIA runtime")
    task = a_task(tmp_path / "task", f'python = "{sys.executable}"')
    done = agent(tmp_path, cache, "run", "--task", str(task), "--mode", "random", "--sandbox", "docker", "--gpus", "0")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "NVIDIA Container Toolkit" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_gpu_that_bubblewrap_cannot_have_is_reported_before_anything_is_written(tmp_path: Path, cache: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("there is a GPU")
    done = agent(tmp_path, cache, "run", "--task", str(BIGRAM), "--mode", "random", "--gpus", "0")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "/dev/nvidia0" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_rehearsal_on_a_gpu_without_one_is_refused_before_anything_is_written(tmp_path: Path, cache: Path) -> None:
    run = ("run", "--task", str(BIGRAM), "--mode", "code-edit", "--smoke-on", "gpu")
    done = agent(tmp_path, cache, *run)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--gpus" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_no_engine_is_one_line_with_the_other_sandbox_as_remedy(tmp_path: Path, cache: Path) -> None:
    run = ("run", "--task", str(BIGRAM), "--mode", "random", "--sandbox", "docker")
    done = agent(tmp_path, cache, *run, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "--sandbox bubblewrap" in done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ('image = "a"\ndockerfile = "train.py"', "choose one"),
        ('dockerfile = "nowhere"', "no dockerfile nowhere"),
        ('dockerfile = "../Dockerfile"', "in the task's folder"),
    ],
)
def test_an_environment_that_cannot_be_is_refused(tmp_path: Path, environment: str, expected: str) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    task = Task.load(a_task(tmp_path / "task", environment))
    with pytest.raises(TaskError, match=expected):
        open_sandbox("docker", task)
