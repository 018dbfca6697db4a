"""What the container sandbox promises beyond the contract: images, labels, what the dead leave, broken engines."""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import host_identity
from sandbox.container.docker_sandbox import JOB, OWNER, DockerSandbox, missing, sweep
from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec
from sandbox.container.job_process import ContainerProcess
from sandbox.errors import LauncherDiedError, SandboxError, SandboxUnavailableError
from sandbox.interpreter import own_interpreter
from sandbox.job import Job, Limits, Mount
from tests.contracts.sandbox_contract import Gate, processes_with, python, wait_for
from tests.docker_engine import skip_without_docker

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
LIMITS = Limits(wall_seconds=600.0, memory_gb=0.25, output_mb=1.0, scratch_mb=4.0)


@pytest.fixture
def docker() -> DockerSandbox:
    skip_without_docker()
    return DockerSandbox(ImageSpec(python=own_interpreter()))


def a_job(folder: Path, code: str, *arguments: str) -> Job:
    return Job(python(code, *arguments), "RUN/0007/train", LIMITS, folder / "log", folder / "artifact")


def containers(pid: int = os.getpid()) -> dict[str, str]:
    """Return the containers that the process `pid` has started: others may use the engine too."""
    with Engine() as engine:
        return {name: whose for name, whose in engine.labelled(OWNER).items() if f".{pid}." in whose}


@pytest.mark.docker
def test_the_image_and_the_engine_are_recorded(docker: DockerSandbox, tmp_path: Path) -> None:
    execution = docker.run(a_job(tmp_path, "print(1)"))
    assert execution.sandbox.startswith("docker ")
    assert "image sha256:" in execution.sandbox
    assert execution.unenforced == ()


@pytest.mark.docker
def test_a_job_whose_launcher_died_is_started_again(
    docker: DockerSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = b"OCI runtime exec failed: unable to start container process: read init-p: connection reset by peer"
    really, n_deaths = ContainerProcess.exit_status, [2]

    def exit_status(process: ContainerProcess, log: Path) -> int:
        if not n_deaths[0]:
            return really(process, log)
        n_deaths[0] -= 1
        log.write_bytes(message)
        monkeypatch.setattr(process, "_engine", NeverStarted())
        return really(process, log)

    class NeverStarted:
        def executed(self, _process: str) -> dict[str, int]:
            return {"Pid": 0}

    monkeypatch.setattr(ContainerProcess, "exit_status", exit_status)
    assert docker.run(a_job(tmp_path, "print('ran')")).exit_code == 0
    assert (tmp_path / "log").read_text() == "ran\n"
    n_deaths[0] = 5
    with pytest.raises(LauncherDiedError, match="several times"):
        docker.run(a_job(tmp_path, "print('ran')"))
    assert containers() == {}


@pytest.mark.docker
def test_the_job_dies_with_the_program_that_started_it(docker: DockerSandbox, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    program = f"""
from pathlib import Path
from sandbox.container.docker_sandbox import DockerSandbox
from sandbox.container.image import ImageSpec
from sandbox.interpreter import own_interpreter
from sandbox.job import Job, Limits
argv = ("python", "-I", "-S", "-c", "import time; print('up', flush=True); time.sleep(6000)", "{marker}")
job = Job(argv, "RUN/1/x", Limits(6000, 0.1), Path({str(tmp_path / "log")!r}))
DockerSandbox(ImageSpec(python=own_interpreter())).run(job)
"""
    log = tmp_path / "log"
    launcher = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 600
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes_with(marker)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    while processes_with(marker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes_with(marker) == []
    assert len(containers(launcher.pid)) == 1
    DockerSandbox(ImageSpec(python=own_interpreter()))  # what the next run does first
    assert containers(launcher.pid) == {}


@pytest.mark.docker
def test_containers_of_the_living_are_not_swept(docker: DockerSandbox, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    code = f"print('up', flush=True)\n{gate.WAIT}\nprint('done')"
    job = dataclasses.replace(a_job(tmp_path, code), mounts=(gate.mount,))
    thread = threading.Thread(target=docker.run, args=(job,))
    thread.start()
    wait_for(lambda: job.log.exists() and "up" in job.log.read_text(), while_alive=thread)
    with Engine() as engine:
        labels = engine.labelled(JOB)
        sweep(engine)
    gate.open()
    thread.join()
    assert "RUN/0007/train" in labels.values()
    assert job.log.read_text() == "up\ndone\n"


@pytest.mark.docker
def test_the_job_dies_when_its_run_is_interrupted(docker: DockerSandbox, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    before = containers()

    def interrupt() -> None:
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        docker.run(a_job(tmp_path, "import time; print('up', flush=True); time.sleep(6000)", marker))
    thread.join()
    assert processes_with(marker) == []
    assert containers() == before


@pytest.mark.docker
def test_the_job_and_what_counts_it_are_different_users(docker: DockerSandbox, tmp_path: Path) -> None:
    code = "import os; print(os.getuid(), os.stat('/proc/1').st_uid)"
    docker.run(a_job(tmp_path, code))
    job, keeper = (tmp_path / "log").read_text().split()
    assert job != keeper
    assert "0" not in (job, keeper)


@pytest.mark.docker
def test_a_working_folder_that_is_not_there_is_named(docker: DockerSandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="/nowhere"):
        docker.run(dataclasses.replace(a_job(tmp_path, ""), workdir="/nowhere"))
    assert containers() == {}


@pytest.mark.docker
def test_packages_of_the_base_installation_are_not_there(docker: DockerSandbox, tmp_path: Path) -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("not in a virtual environment")
    code = "import sys, numpy, glob; print(sys.prefix, glob.glob(sys.base_prefix + '/lib/python3*/site-packages/*'))"
    docker.run(dataclasses.replace(a_job(tmp_path, ""), argv=("python", "-I", "-c", code)))
    assert (tmp_path / "log").read_text() == f"{sys.prefix} []\n"


@pytest.mark.docker
def test_python_is_the_tasks_interpreter_whatever_its_file_is_called(tmp_path: Path) -> None:
    skip_without_docker()
    (tmp_path / "snake").symlink_to(os.path.realpath(sys.executable))
    command = "for name in python python3; do $name -I -S -c 'import sys; print(sys.executable)'; done"
    with closing(DockerSandbox(ImageSpec(python=tmp_path / "snake"))) as docker:
        for argv in (("sh", "-c", command), python("import sys; print(sys.executable)")):
            assert docker.run(dataclasses.replace(a_job(tmp_path, ""), argv=argv)).exit_code == 0
            output = (tmp_path / "log").read_text().split()
            assert output in (["/opt/python/python", "/opt/python/python3"], ["/opt/python/python"])


@pytest.mark.docker
def test_what_is_mounted_below_a_mount_is_not_there(docker: DockerSandbox, tmp_path: Path) -> None:
    # /dev has /dev/shm and others mounted in it, which would be writable on engines before 25.
    job = dataclasses.replace(
        a_job(tmp_path, "import os; print(os.listdir('/given/shm'))"), mounts=(Mount(Path("/dev"), "/given"),)
    )
    marker = Path("/dev/shm") / uuid.uuid4().hex
    marker.touch()
    try:
        docker.run(job)
    finally:
        marker.unlink()
    assert job.log.read_text() == "[]\n"


@pytest.mark.docker
def test_an_image_that_is_not_here_is_named_with_the_remedy() -> None:
    skip_without_docker()
    with pytest.raises(SandboxUnavailableError, match="docker pull no-such/image:1"):
        DockerSandbox(ImageSpec(image="no-such/image:1"))


@pytest.mark.docker
def test_a_dockerfile_of_the_task_is_built_once_and_used(tmp_path: Path) -> None:
    skip_without_docker()
    lines: list[str] = []
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM python:3.11-slim\nENV MARK=seen\nCOPY extra.txt /extra.txt\n")
    (tmp_path / "extra.txt").write_text(uuid.uuid4().hex)
    boxes = [DockerSandbox(ImageSpec(dockerfile=dockerfile), say=lines.append) for _ in range(2)]
    (tmp_path / "out").mkdir()
    code = "import os; print(os.environ['MARK'], open('/extra.txt').read())"
    execution = boxes[1].run(a_job(tmp_path / "out", code))
    assert (tmp_path / "out" / "log").read_text() == f"seen {(tmp_path / 'extra.txt').read_text()}\n"
    assert len(lines) == 1
    with Engine() as engine:
        engine.remove_image(execution.sandbox.partition("image ")[2].split()[0])


@pytest.mark.docker
def test_a_dockerfile_that_fails_says_where(tmp_path: Path) -> None:
    skip_without_docker()
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\nRUN echo trying && exit 7\n")
    with pytest.raises(SandboxUnavailableError, match="exit 7"):
        DockerSandbox(ImageSpec(dockerfile=tmp_path / "Dockerfile"))


@pytest.mark.docker
def test_a_gpu_that_the_engine_cannot_give_is_reported_and_nothing_is_left(
    docker: DockerSandbox, tmp_path: Path
) -> None:
    with Engine() as engine:
        if "nvidia" in engine.info().get("Runtimes", {}):
            pytest.skip("this engine has the NVIDIA runtime")
    with pytest.raises(SandboxError, match="NVIDIA Container Toolkit"):
        docker.run(dataclasses.replace(a_job(tmp_path, ""), gpus=("0",)))
    assert containers() == {}


@pytest.mark.docker
def test_copies_of_the_dead_are_swept_and_of_the_living_are_not(
    docker: DockerSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = host_identity.process_id()
    dead, alive, other = (
        tmp_path / f"autocentaur-copies.{mine.rpartition('.')[0]}.1.x",
        tmp_path / f"autocentaur-copies.{mine}.x",
        tmp_path / "somebody-elses",
    )
    for folder in (dead, alive, other):
        folder.mkdir()
    with Engine() as engine:
        sweep(engine)
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])


def test_an_engine_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(SandboxUnavailableError, match="--sandbox bubblewrap") as caught:
        DockerSandbox()
    assert "\n" not in str(caught.value)


def test_an_engine_on_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(SandboxUnavailableError, match="DOCKER_HOST"):
        DockerSandbox()


GOOD = {
    "SecurityOptions": ["name=seccomp,profile=default"],
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}


def test_an_engine_without_a_limit_is_found_out() -> None:
    assert missing(GOOD) == ()
    assert missing({**GOOD, "PidsLimit": False}) == ("processes: the engine reports no PidsLimit",)


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], "seccomp"), ([*GOOD["SecurityOptions"], "name=rootless"], "rootless")],  # type: ignore[misc]
)
def test_an_engine_that_is_not_safe_or_maps_users_is_refused(options: list[str], expected: str) -> None:
    with pytest.raises(SandboxUnavailableError, match=expected):
        missing({**GOOD, "SecurityOptions": options})


def test_the_living_and_the_unseen_are_not_dead() -> None:
    mine = host_identity.process_id()
    assert not host_identity.is_dead(mine)
    assert host_identity.is_dead(mine.rpartition(".")[0] + ".1")
    boot, _, rest = mine.partition("-")
    assert not host_identity.is_dead(f"{boot}-1.{rest.partition('.')[2]}")
    assert host_identity.is_dead(f"{'0' * len(boot)}-{rest}")  # before the machine was started again


@pytest.mark.docker
@pytest.mark.long
def test_the_shipped_image_trains_with_torch(tmp_path: Path) -> None:
    """Builds sandbox/container/Dockerfile if that was not done yet: about two minutes and one gigabyte."""
    skip_without_docker()
    try:
        shipped = DockerSandbox()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    code = "import torch, numpy; print(torch.ones(2, requires_grad=True).sum().backward(), torch.cuda.is_available())"
    limits = dataclasses.replace(LIMITS, memory_gb=1.0, wall_seconds=1200.0)
    job = dataclasses.replace(a_job(tmp_path, ""), argv=("python", "-c", code), limits=limits)
    execution = shipped.run(job)
    assert execution.exit_code == 0, job.log.read_text()
    assert job.log.read_text().endswith("None False\n")
