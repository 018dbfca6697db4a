"""Counters of the whole machine are constant for every job, in a form that programs can read."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import proc_constants
from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Job, Limits, Sandbox
from tests.contracts.sandbox_contract import python


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with closing(BubblewrapSandbox()) as box:
        yield box


@pytest.mark.parametrize(
    ("name", "text", "constant"),
    [
        ("loadavg", "15.06 13.41 11.80 3/290 22199\n", "0.00 0.00 0.00 0/0 0\n"),
        ("stat", "cpu  12 3\ncpu0 5 6\nbtime 1764432000\nctxt 9\n", "cpu  0 0\ncpu0 0 0\nbtime 1764432000\nctxt 0\n"),
        ("pressure/cpu", "some avg10=1.50 total=77\n", "some avg10=0.00 total=0\n"),
        (
            "meminfo",
            "MemTotal:  900 kB\nMemFree:  7 kB\nCached: 5 kB\n",
            "MemTotal:  900 kB\nMemFree:  900 kB\nCached: 0 kB\n",
        ),
        ("diskstats", " 254       0 vda 7 8\n", " 0       0 vda 0 0\n"),
        ("locks", "1: FLOCK ADVISORY WRITE 12 fe:00:99 0 EOF\n", ""),
        ("swaps", "Filename Type\n/dev/vdb partition 9\n", "Filename Type\n"),
    ],
)
def test_every_number_that_changes_is_replaced(name: str, text: str, constant: str) -> None:
    assert proc_constants.constant(name, text) == constant


def test_two_jobs_read_the_same_while_the_machine_goes_on(box: Sandbox, tmp_path: Path) -> None:
    names = ["stat", *sorted({*proc_constants.texts()} - {"stat"})]
    assert {"vmstat", "meminfo", "loadavg", "uptime", "sys/fs/inode-nr", "key-users"} <= set(names)
    code = f"import os; os.sync()\nfor name in {names}: print(name, repr(open('/proc/' + name).read()))"
    lines = []
    for number in range(2):
        log = tmp_path / f"log{number}"
        box.run(Job(python(code), "RUN/1/x", Limits(600.0, 0.25), log))
        lines.append(log.read_text())
    assert lines[0] == lines[1]
    assert lines[0].count("\n") == len(names)
    assert re.search(r"MemAvailable:\s+[1-9]", lines[0])
    assert lines[0].splitlines()[0].startswith("stat 'cpu  0 0")
