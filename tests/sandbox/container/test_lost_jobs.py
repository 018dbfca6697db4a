"""A job whose container vanishes, or whose engine stops answering, is lost: nobody knows how it ended."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox import host_identity
from sandbox.container import engine as engine_module
from sandbox.container.docker_sandbox import OWNER, DockerSandbox
from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec
from sandbox.errors import JobLostError, SandboxError
from sandbox.interpreter import own_interpreter
from sandbox.job import Job, Limits
from tests.contracts.sandbox_contract import processes_with, python, wait_for, wait_until
from tests.docker_engine import skip_without_docker

pytestmark = pytest.mark.docker

LIMITS = Limits(wall_seconds=600.0, memory_gb=0.25, output_mb=1.0, scratch_mb=4.0)


def own_containers() -> list[str]:
    with Engine() as engine:
        ours = host_identity.process_id()
        return [name for name, started_by in engine.labelled(OWNER).items() if started_by == ours]


def ended_by(act: Callable[[], object], folder: Path, marker: str) -> SandboxError:
    """Return what a job ends with if `act` is called while it runs."""
    job = Job(
        python("import time; print('up', flush=True); time.sleep(6000)", marker),
        *("RUN/0007/train", LIMITS, folder / "log", folder / "artifact"),
    )
    caught: list[SandboxError] = []
    with closing(DockerSandbox(ImageSpec(python=own_interpreter()))) as sandbox:

        def run() -> None:
            try:
                sandbox.run(job)
            except SandboxError as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda: job.log.exists() and "up" in job.log.read_text(), while_alive=thread)
        act()
        thread.join()
    return caught[0]


class Relay:
    """A socket that passes all on to the engine until the test cuts it: an engine that can stop answering."""

    def __init__(self, path: Path, engine: str) -> None:
        self._path = path
        self._engine = engine.removeprefix("unix://").removeprefix("unix:")
        self._ends: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self._path))
        self._listening.listen(64)
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        self._path.unlink(missing_ok=True)
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                ours, _ = listening.accept()
            except OSError:  # cut
                return
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(self._engine)
            self._ends += [ours, theirs]
            for pair in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # cut
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    skip_without_docker()
    with Engine() as engine:
        found = Relay(tmp_path / "engine.sock", engine.address.url)
    with monkeypatch.context() as patched:
        patched.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        yield found
    found.cut()


def remove(client: docker.APIClient, name: str) -> None:
    client.remove_container(name, force=True)


def kill(client: docker.APIClient, name: str) -> None:
    client.kill(name)


@pytest.mark.parametrize("act", [remove, kill])
def test_a_job_whose_container_is_ended_from_outside_is_lost(
    act: Callable[[docker.APIClient, str], None], tmp_path: Path
) -> None:
    skip_without_docker()
    marker = uuid.uuid4().hex

    def end() -> None:
        with closing(docker.APIClient()) as client:
            act(client, own_containers()[0])

    assert isinstance(ended_by(end, tmp_path, marker), JobLostError)
    assert processes_with(marker) == []
    assert own_containers() == []


def test_so_is_one_whose_container_is_removed_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_docker()
    really = Engine.execute

    def execute(engine: Engine, name: str, *more: Any) -> Any:
        engine.remove(name)
        return really(engine, name, *more)

    monkeypatch.setattr(Engine, "execute", execute)
    job = Job(python("pass"), "RUN/0007/train", LIMITS, tmp_path / "log")
    with (
        closing(DockerSandbox(ImageSpec(python=own_interpreter()))) as sandbox,
        pytest.raises(JobLostError, match="something outside ended it"),
    ):
        sandbox.run(job)
    assert own_containers() == []


def test_a_job_is_lost_with_the_engine_and_its_container_is_removed_once_that_answers(
    relay: Relay, tmp_path: Path
) -> None:
    marker, answered = uuid.uuid4().hex, threading.Event()

    def restart() -> None:
        relay.cut()
        wait_until(lambda: processes_with(marker) == [])  # the keeper ends with its connection
        time.sleep(2 * engine_module._PAUSE_SECONDS)
        relay.open()
        answered.set()

    error = ended_by(restart, tmp_path, marker)
    assert isinstance(error, JobLostError), error
    assert answered.is_set()
    assert own_containers() == []


def test_a_job_that_may_be_alive_is_not_lost(relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_AGAIN_SECONDS", 0.0)
    try:
        error = ended_by(relay.cut, tmp_path, uuid.uuid4().hex)
    finally:
        monkeypatch.delenv("DOCKER_HOST")
        for name in own_containers():
            with Engine() as engine:
                engine.remove(name)
    assert not isinstance(error, JobLostError)
    assert "remove a container" in str(error)
