"""Each fault of the table is injected, and the resumed run is equal to one that nothing happened to."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import faults
from tests.kill_anywhere.killed_runs import Zygote

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench(warm: Zygote) -> faults.Bench:
    return faults.Bench(warm.within(warm.folder / "faults"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "sees"),
    [
        (faults.torn_last_line, "the journal ended in a torn line of 43 bytes, which was dropped"),
        (faults.torn_middle_line, "line 2: not an event"),
        (faults.missing_worktree, "the run continues"),
        (faults.runs_moved, "the run continues"),
        (faults.git_locks, "which a git command of this run had left when it was killed"),
        (faults.another_process, "is using r; wait for it, or stop it"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nothing_is_lost_and_the_user_gets_the_reason(
    bench: faults.Bench, fault: Callable[[faults.Bench], faults.Row], sees: str
) -> None:
    row = fault(bench)
    assert row.equal
    assert sees in row.sees


@pytest.mark.long
def test_a_full_disk_loses_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--only", "disk_full"]
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no mount namespaces for this user here")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| disk full" in done.stdout
