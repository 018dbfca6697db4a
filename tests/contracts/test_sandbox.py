"""Every sandbox keeps the contract."""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from sandbox import host_identity
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.container.docker_sandbox import OWNER, DockerSandbox
from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec, find_or_build
from sandbox.interpreter import own_interpreter
from sandbox.job import Execution, Job, Limits, Sandbox
from tests.contracts.sandbox_contract import (
    Gate,
    Run,
    SandboxContract,
    control_groups,
    processes_with,
    python,
    wait_for,
)
from tests.docker_engine import skip_without_docker


class TestBubblewrap(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        with closing(BubblewrapSandbox()) as sandbox:
            yield sandbox

    def held(self) -> set[str]:
        return control_groups(os.getpid())

    def test_process_1_of_the_job_has_its_limits(self, sandbox: Sandbox, tmp_path: Path) -> None:
        marker, gate = uuid.uuid4().hex, Gate(tmp_path)
        limits = Limits(wall_seconds=600.0, memory_gb=0.25, output_mb=3.0)
        job = Job(
            python(f"print('up', flush=True)\n{gate.WAIT}", marker),
            *("RUN/1/x", limits, tmp_path / "log", tmp_path / "artifact"),
            mounts=(gate.mount,),
        )
        thread = threading.Thread(target=sandbox.run, args=(job,))
        thread.start()
        wait_for(lambda: job.log.exists() and job.log.read_text() == "up\n", while_alive=thread)
        try:
            found = [
                pid
                for pid in processes_with(marker)
                if os.path.basename(os.readlink(f"/proc/{pid}/exe"))[:6] == "python"
            ]
            status = Path(f"/proc/{found[0]}/status").read_text().partition("PPid:")[2]
            found.append(int(status.split()[0]))
            files = [Path(f"/proc/{number}/limits").read_text().splitlines() for number in found]
            groups = [Path(f"/proc/{number}/cgroup").read_text() for number in found]
            allowed = [os.sched_getaffinity(number) for number in found]
        finally:
            gate.open()
            thread.join()
        named = ("Max file size", "Max core file size", "Max open files", "Max msgqueue size")
        own, of_init = ([line for line in lines if line.startswith(named)] for lines in files)
        assert f"{3 << 20}" in next(line for line in own if line.startswith("Max file size"))
        assert of_init == own
        assert groups[0] == groups[1]
        assert allowed[0] == allowed[1]


class Apart:
    """A sandbox whose jobs all learn nothing of each other."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def close(self) -> None:
        """Do nothing: the tests that come later share the sandbox."""

    def run(self, job: Job) -> Execution:
        return self._sandbox.run(replace(job, apart=True))


def kept_apart(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Yield the sandbox for all tests of a class: the first job makes the copy."""
    with closing(sandbox):
        apart = Apart(sandbox)
        apart.run(Job(python("pass"), "RUN/1/x", Limits(600.0, 0.25), Path(os.devnull)))
        yield apart


@pytest.fixture(scope="module")
def bubblewrap_apart() -> Iterator[Sandbox]:
    yield from kept_apart(BubblewrapSandbox())


@pytest.fixture(scope="module")
def docker_apart() -> Iterator[Sandbox]:
    skip_without_docker()
    yield from kept_apart(DockerSandbox(ImageSpec(python=own_interpreter())))


class OfScoringJobs(SandboxContract):
    """What scoring jobs promise beyond the others: that nothing which they do stays in the kernel for a later job."""

    loopback = "[Errno 97] Address family not supported by protocol"

    def test_pages_of_shared_files_are_not_moved_or_marked(self, run: Run) -> None:
        # The kernel keeps a policy for memory with the file: 1,536 of 1,536 bits went to the next scoring job.
        code = """
            import ctypes, os, platform, sys
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            arm = platform.machine() == "aarch64"
            mbind, move_pages, migrate_pages = (235, 239, 238) if arm else (237, 279, 256)
            fd = os.open(os.path.realpath(sys.executable), os.O_RDONLY)
            at = ctypes.c_void_p(libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, 0))
            one, zero = ctypes.byref(ctypes.c_ulong(1)), ctypes.byref(ctypes.c_ulong(0))
            print(
                libc.syscall(mbind, at, 4096, 1, one, 8, 0),
                libc.syscall(move_pages, 0, 1, ctypes.byref(at), zero, zero, 0),
                libc.syscall(migrate_pages, 0, 8, one, one),
                libc.syscall(450, at, 4096, 0, 0),
                *(libc.madvise(at, ctypes.c_size_t(4096), advice) for advice in (12, 20, 21, 25)),
                *(libc.fcntl(fd, command, one) for command in (1036, 1038)),
                libc.madvise(at, ctypes.c_size_t(4096), 4),  # MADV_DONTNEED is the job's own affair
            )
        """
        assert run(code).log == f"{'-1 ' * 10}0\n"

    def test_the_kernel_counts_no_session_of_theirs(self, run: Run) -> None:
        # Each new session has the next number of the machine, which any later job reads in /proc/self/autogroup.
        code = """
            import os, subprocess, sys
            before = os.getsid(0)
            print(subprocess.run([sys.executable, "-I", "-S", "-c", "import os; print(os.getsid(0))"],
                start_new_session=True, stdout=subprocess.PIPE, text=True).stdout == f"{before}\\n")
            os.setsid()
            print(os.getsid(0) == before)
        """
        assert run(code).log == "True\nTrue\n"


@pytest.mark.slow
class TestBubblewrapApart(OfScoringJobs):
    @pytest.fixture
    def sandbox(self, bubblewrap_apart: Sandbox) -> Sandbox:
        return bubblewrap_apart

    def held(self) -> set[str]:
        return control_groups(os.getpid())


@pytest.mark.slow
@pytest.mark.docker
class TestDocker(SandboxContract):
    """With the interpreter of the tests, so that no image with PyTorch has to be built."""

    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        skip_without_docker()
        with closing(DockerSandbox(ImageSpec(python=own_interpreter()))) as sandbox:
            yield sandbox

    def held(self) -> set[str]:
        with Engine() as engine:
            ours = host_identity.process_id()
            return {name for name, started_by in engine.labelled(OWNER).items() if started_by == ours}

    def has_ended(self, marker: str) -> bool:
        """The engine says so only a moment after the last process is gone."""
        client = docker.APIClient()
        with closing(client):
            states = [client.inspect_container(name) for name in self.held()]
            runs = [client.exec_inspect(job)["Running"] for state in states for job in state["ExecIDs"] or ()]
        return super().has_ended(marker) and not any(runs)

    def set_by_the_image(self) -> set[str]:
        with Engine() as engine:
            image = find_or_build(engine, ImageSpec(python=own_interpreter()), gpus=False, say=print)
            found = engine.image(image.id)
        assert found is not None
        return {pair.partition("=")[0] for pair in found["Config"]["Env"]} - {"HOME", "LANG", "PATH"}


@pytest.mark.docker
@pytest.mark.long
class TestDockerApart(OfScoringJobs, TestDocker):
    @pytest.fixture
    def sandbox(self, docker_apart: Sandbox) -> Sandbox:  # type: ignore[override]
        return docker_apart
