"""Whether this machine can run the tests that need Docker."""

from functools import cache

import pytest

from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec, find_or_build
from sandbox.errors import SandboxError
from sandbox.interpreter import own_interpreter


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
