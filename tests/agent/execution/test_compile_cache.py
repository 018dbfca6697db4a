"""What the baseline compiled is there for every trial, and no trial can put anything in its place."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from agent.edits.edit import WholeFile
from agent.execution.compile_cache import saves_cache, with_cache
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.task.task import Task
from agent.trials.trial import Origin, Proposal, Status
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.container.docker_sandbox import DockerSandbox
from sandbox.container.image import ImageSpec
from sandbox.interpreter import own_interpreter
from sandbox.job import Execution, Job, Limits, Mount, Sandbox, StoppedBy
from tests.docker_engine import skip_without_docker

LIMITS = Limits(wall_seconds=600.0, memory_gb=0.5, output_mb=1.0, scratch_mb=16.0)

COMPILE = """
import os
folder = os.environ["TORCHINDUCTOR_CACHE_DIR"]
os.makedirs(folder, exist_ok=True)
for name in sorted(os.listdir(folder)):
    print("found", name, open(f"{folder}/{name}").read())
"""
WRITE = COMPILE + "open(f'{folder}/kernel', 'w').write('of the baseline')\n"
POISON = (
    COMPILE
    + """
for place in (folder, "/in", "/out", os.path.dirname(folder), os.environ["TRITON_CACHE_DIR"]):
    for name in ("kernel", "compiled.tar", "extra", "poison"):
        try:
            os.makedirs(place, exist_ok=True)
            open(f"{place}/{name}", "w").write("poison")
            print("wrote", f"{place}/{name}")
        except OSError:
            pass
"""
)


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "docker":
        skip_without_docker()
    sandbox: Sandbox = (
        DockerSandbox(ImageSpec(python=own_interpreter())) if request.param == "docker" else BubblewrapSandbox()
    )
    with closing(sandbox):
        yield sandbox


@pytest.fixture
def job_of(tmp_path: Path) -> Callable[[str], Job]:
    """Return a function that makes a job of a script."""

    def job_of(script: str, limits: Limits = LIMITS, environment: Mapping[str, str] | None = None) -> Job:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text(script)
        path.chmod(0o644)
        return Job(
            argv=("python", "script.py", "an argument"),
            label="RUN/0001/train",
            limits=limits,
            log=path.with_suffix(".log"),
            output=path.with_suffix(".artifact"),
            mounts=(Mount(path, "/task/script.py"),),
            environment=environment or {},
            workdir="/task",
        )

    return job_of


def test_a_trial_begins_with_what_the_baseline_compiled_and_cannot_poison_the_next(
    box: Sandbox, job_of: Callable[..., Job], tmp_path: Path
) -> None:
    seed = tmp_path / "seed"
    assert box.run(saves_cache(job_of(WRITE), seed)).exit_code == 0
    before = seed.read_bytes()
    logs = []
    for script in (POISON, COMPILE):
        job = with_cache(job_of(script), seed)
        assert box.run(job).exit_code == 0, job.log.read_text()
        logs.append(job.log.read_text())
    assert "found kernel of the baseline" in logs[0]
    assert "wrote /tmp/compiled/inductor/kernel" in logs[0]  # its own copy is its own
    assert "wrote /in" not in logs[0]
    assert logs[1] == "found kernel of the baseline\n"
    assert seed.read_bytes() == before


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("import sys; print(sys.argv[1:]); sys.exit(7)", (7, StoppedBy.ITSELF, None)),
        ("import os; os.kill(os.getpid(), 11)", (None, StoppedBy.SIGNAL, 11)),
        ("x = bytearray(2**30)", (None, StoppedBy.MEMORY, None)),
    ],
)
def test_a_baseline_ends_as_it_would_and_one_that_fails_leaves_nothing(
    *, box: Sandbox, job_of: Callable[..., Job], tmp_path: Path, ending: str, expected: tuple[object, ...]
) -> None:
    execution: Execution = box.run(saves_cache(job_of(WRITE + ending), tmp_path / "seed"))
    assert (execution.exit_code, execution.stopped_by, execution.signal) == expected
    assert (tmp_path / "seed").read_bytes() == b""


def test_a_cache_larger_than_the_output_may_be_is_left_out(
    sandbox: Sandbox, job_of: Callable[..., Job], tmp_path: Path
) -> None:
    write = WRITE + "for n in range(3): open(f'{folder}/{n}', 'wb').write(bytes(700_000))\n"
    job = saves_cache(job_of(write), tmp_path / "seed")
    assert sandbox.run(job).exit_code == 0
    assert (tmp_path / "seed").read_bytes() == b""
    assert job.log.read_text() == ""
    assert with_cache(job_of(WRITE), tmp_path / "seed").argv == ("python", "script.py", "an argument")


def test_a_script_that_compiles_nothing_runs_as_it_is(job_of: Callable[..., Job], tmp_path: Path) -> None:
    assert with_cache(job_of(WRITE), tmp_path / "never made").argv == ("python", "script.py", "an argument")


def test_a_folder_that_the_task_names_itself_stands(job_of: Callable[..., Job], tmp_path: Path) -> None:
    job = job_of(WRITE, environment={"TRITON_CACHE_DIR": "/tmp/mine"})
    assert saves_cache(job, tmp_path / "seed").environment["TRITON_CACHE_DIR"] == "/tmp/mine"


class Repeats:
    """Proposes a script."""

    def __init__(self, source: str) -> None:
        self._source = source

    def propose(self, context: Context) -> Proposal:
        return Proposal(Origin.LLM, "poison", WholeFile(self._source))


def test_every_trial_of_a_run_sees_the_baselines_cache_and_nothing_of_another_trial(
    open_run: Callable[..., Run], bigram: Task
) -> None:
    def with_first(code: str) -> str:
        return bigram.source.replace("def main():\n", f"def main():\n    exec({code!r}, {{}})\n", 1)

    task = Task(bigram.folder, {**bigram.files, "train.py": with_first(WRITE).encode()}, "small")
    run = open_run(Repeats(with_first(POISON)), trials=3, task=task)
    run_trials(run)
    assert [trial.status for trial in run.history.trials] == [Status.OK] * 3
    for number in (1, 2):
        found = [line for line in run.paths.trial(number).log.read_text().splitlines() if line.startswith("found")]
        assert found == ["found kernel of the baseline"]


TORCH = """
import os, time
import torch
torch.set_num_threads(1)
from torch._dynamo.utils import counters
began = time.perf_counter()
compiled = torch.compile(lambda x: (x.sin() * 2 + x.cos()).sum())
compiled(torch.arange(100.0))
print("hits", counters["inductor"]["fxgraph_cache_hit"] + counters["aot_autograd"]["autograd_cache_hit"])
print(f"{time.perf_counter() - began:.1f} s")
"""


@pytest.mark.long
def test_torch_compiles_once(sandbox: Sandbox, job_of: Callable[..., Job], tmp_path: Path) -> None:
    if shutil.which("g++") is None or not Path("/usr/bin/g++").exists():
        pytest.skip("torch.compile needs a C++ compiler in /usr/bin")
    limits = Limits(wall_seconds=3000.0, memory_gb=4.0, scratch_mb=256.0)
    cold = saves_cache(job_of(TORCH, limits), tmp_path / "seed")
    assert sandbox.run(cold).exit_code == 0, cold.log.read_text()
    warm = with_cache(job_of(TORCH, limits), tmp_path / "seed")
    assert sandbox.run(warm).exit_code == 0, warm.log.read_text()
    print(cold.log.read_text(), warm.log.read_text(), os.path.getsize(tmp_path / "seed"))
    assert "hits 0\n" in cold.log.read_text()
    assert "hits 0\n" not in warm.log.read_text()
