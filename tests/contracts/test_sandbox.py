"""Every sandbox keeps the contract."""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from sandbox import host_identity
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.container.docker_sandbox import OWNER, DockerSandbox
from sandbox.container.engine import Engine
from sandbox.container.image import Wanted, find_or_build
from sandbox.interpreter import own
from sandbox.job import Sandbox
from tests.contracts.sandbox_contract import SandboxContract, control_groups
from tests.docker_engine import skip_without_docker


class TestBubblewrap(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        with closing(BubblewrapSandbox()) as sandbox:
            yield sandbox

    def held(self) -> set[str]:
        return control_groups(os.getpid())


@pytest.mark.docker
class TestDocker(SandboxContract):
    """With the interpreter of the tests, so that no image with PyTorch has to be built."""

    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        skip_without_docker()
        with closing(DockerSandbox(Wanted(python=own()))) as sandbox:
            yield sandbox

    def held(self) -> set[str]:
        with Engine() as engine:
            ours = host_identity.own()
            return {name for name, started_by in engine.labelled(OWNER).items() if started_by == ours}

    def set_by_the_image(self) -> set[str]:
        with Engine() as engine:
            image = find_or_build(engine, Wanted(python=own()), gpus=False, say=print)
            found = engine.image(image.id)
        assert found is not None
        return {pair.partition("=")[0] for pair in found["Config"]["Env"]} - {"HOME", "LANG", "PATH"}
