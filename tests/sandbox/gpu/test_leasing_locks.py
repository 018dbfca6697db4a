"""A GPU belongs to one job at a time, whichever run it is of, and a dead run holds none."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.gpu.leasing import Leases

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from sandbox.gpu.leasing import Leases
with Leases(Path(sys.argv[1])).one_of(sys.argv[2:], "RUN/0007/train") as device:
    print(device, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_run(folder: Path, *devices: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Another process that holds one of `devices` until its input ends; yields it and which it holds."""
    command = [sys.executable, "-c", HOLD, str(folder), *devices]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_two_runs_get_two_gpus(tmp_path: Path) -> None:
    with another_run(tmp_path, "0", "1") as (_, theirs), Leases(tmp_path).one_of(("0", "1"), "x") as ours:
        assert (theirs, ours) == ("0", "1")


def test_a_run_waits_for_the_other_and_says_for_whom(tmp_path: Path) -> None:
    lines: list[str] = []
    is_waiting, got = threading.Event(), threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        is_waiting.set()

    def wait() -> None:
        with Leases(tmp_path, say).one_of(("0",), "x"):
            got.set()

    with another_run(tmp_path, "0") as (process, _):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert is_waiting.wait(600)
        assert not got.is_set()
        assert lines == [f"waiting for a GPU; in use: 0 (pid {process.pid}, RUN/0007/train)"]
        process.communicate("")
        waiting.join(600)
        assert got.is_set()
    assert len(lines) == 1


def test_a_run_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with another_run(tmp_path, "0") as (process, theirs):
        assert theirs == "0"
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Leases(tmp_path).one_of(("0",), "x") as ours:
            assert ours == "0"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError, match="cannot keep locks in"):
        Leases(tmp_path / "file" / "locks")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_another_users_folder_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    os.chown(tmp_path / "locks", 65534, 65534)
    with pytest.raises(SandboxError, match="another user"):
        Leases(tmp_path / "locks")
