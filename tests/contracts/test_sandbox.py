"""Every sandbox keeps the contract."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.job import Sandbox
from tests.contracts.sandbox_contract import SandboxContract


class TestBubblewrap(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Iterator[Sandbox]:
        with closing(BubblewrapSandbox()) as sandbox:
            yield sandbox

    def held(self) -> set[str]:
        mine = f"autocentaur.{os.getpid()}."
        return {str(path) for path in Path("/sys/fs/cgroup").rglob(f"{mine}*")}
