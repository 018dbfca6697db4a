"""The sandboxes that a test runs in, and whether this machine can run the tests that need Docker."""

from functools import cache

import pytest

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.container.docker_sandbox import DockerSandbox
from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec, find_or_build
from sandbox.errors import SandboxError
from sandbox.interpreter import own_interpreter
from sandbox.job import Sandbox

# In Docker they take minutes: `make test-long`, and .ci/run after the quick tests.
SANDBOXES = ("bubblewrap", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.long]))


def opened_sandbox(kind: str) -> Sandbox:
    """Return a sandbox of one of SANDBOXES, to be closed; skip the test if this machine cannot run it."""
    if kind == "bubblewrap":
        return BubblewrapSandbox()
    skip_without_docker()
    return DockerSandbox(ImageSpec(python=own_interpreter()))


def skip_without_docker() -> None:
    """Skip the test, with the reason, if no engine answers or the base image is neither here nor to be had."""
    reason = _reason()
    if reason is not None:
        pytest.skip(reason)


@cache
def _reason() -> str | None:
    try:
        with Engine() as engine:
            find_or_build(engine, ImageSpec(python=own_interpreter()), gpus=False, say=print)
    except SandboxError as error:
        return str(error)
    return None
