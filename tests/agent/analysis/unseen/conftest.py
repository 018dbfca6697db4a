"""A run that confirms its gains on slices, for what is asked after it."""

import shutil
from pathlib import Path

import pytest

from tests.kill_anywhere.killed_runs import ROOT, Zygote

TASK = ROOT / "tests" / "tasks" / "bigram_plain"


def copied(process: Zygote, warm: Zygote, parent: Path) -> Zygote:
    """Return a copy of runs and pool, in which the same runs have opened the same slices."""
    copy = parent / "copy"
    shutil.copytree(process.folder, copy, symlinks=True)
    for path in copy.glob(".cache/autocentaur/*-pool-*/opened.jsonl"):  # it names runs by their folders
        path.write_text(path.read_text().replace(str(process.folder.resolve()), str(copy.resolve())))
    return Zygote(warm._process, copy)


@pytest.fixture(scope="session")
def ended(warm: Zygote) -> Zygote:
    """A run `r` of eight trials and a final run, whose result is trial 7. No test changes it."""
    process = warm.within(warm.folder / "confirmed-on-slices")
    asked = ["run", "--task", str(TASK), "--mode", "random", "--trials", "8", "--name", "r", "--final-runs", "1"]
    assert process.agent(*asked) == 0, process.said
    return process


@pytest.fixture
def finished(ended: Zygote, warm: Zygote, tmp_path: Path) -> Zygote:
    """A copy of it and of its pool, which a test may change."""
    return copied(ended, warm, tmp_path)
