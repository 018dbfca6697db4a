"""What a task names for its job acts on nothing that runs before the job has lost its rights."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.errors import SandboxError
from sandbox.job import Job, Limits, Mount, Sandbox
from tests.contracts.sandbox_contract import python

LIMITS = Limits(wall_seconds=600.0, memory_gb=0.25)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with closing(BubblewrapSandbox()) as box:
        yield box


def test_loaders_obey_the_tasks_variables_only_behind_the_gate(box: Sandbox, tmp_path: Path) -> None:
    # With LD_DEBUG the loader says of each program that it starts it: what LD_PRELOAD would have acted on.
    variables = {"LD_DEBUG": "files", "BASH_ENV": "/task/x", "ENV": "/task/x", "PYTHONWARNINGS": "x"}
    box.run(Job(python("print('ran')"), "RUN/1/x", LIMITS, tmp_path / "log", environment=variables))
    log = (tmp_path / "log").read_text()
    started = [os.path.basename(path) for path in re.findall(r"transferring control: (\S+)", log)]
    assert "ran\n" in log
    assert started[0] == "env"
    assert started[1].startswith("python")
    assert len(started) == 2


@pytest.mark.parametrize("name", ["go", "line", "PATH", "HOME", "LD_PRELOAD", "POSIXLY_CORRECT", "TMPDIR", "TERM"])
def test_variables_that_the_gate_knows_arrive(box: Sandbox, tmp_path: Path, name: str) -> None:
    python_at = f"{os.path.dirname(os.path.realpath('/usr/bin/env'))}:/bin"
    value = python_at if name == "PATH" else "/nowhere exec 'echo'"
    argv = ("/usr/bin/env",)
    box.run(Job(argv, "RUN/1/x", LIMITS, tmp_path / "log", environment={name: value}))
    assert f"{name}={value}" in (tmp_path / "log").read_text().splitlines()


def test_a_mount_over_the_loaders_files_is_refused_before_anything_starts(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("/task/x.so\n")
    for target in ("/etc/ld.so.preload", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/setpriv"):
        job = Job(("true",), "RUN/1/x", LIMITS, tmp_path / "log", mounts=(Mount(tmp_path / "p", target),))
        with pytest.raises(SandboxError, match="covers a system folder"):
            box.run(job)
    assert not (tmp_path / "log").exists()
