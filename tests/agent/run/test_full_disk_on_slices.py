"""The disk is full when a slice is opened or answered: one sentence, nothing lost, and the run goes on from there."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.edits.assignments import Assignments
from agent.errors import JournalError
from agent.execution.slices.text_slices import TextSlices
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import KeepState, Origin, Proposal
from sandbox.job import Sandbox
from tests.full_disk import fill
from tests.made_pools import make_pool

OpenRunWith = Callable[..., Run]


class Better:
    def propose(self, context: Context) -> Proposal:
        return Proposal(Origin.SEARCHER, "better", Assignments({"MIX": 0.95, "CHUNK": 1024}))


@pytest.fixture
def opened(open_run: OpenRunWith, bigram: Task, corpus: Corpus, sandbox: Sandbox, tmp_path: Path) -> Callable[[], Run]:
    pool = make_pool(corpus, tmp_path / "pool", 1, n_slices=4)
    rule = KeepRule(paired=True, sigma=0.02, lead=4.0, n_slices=4)
    return lambda: open_run(Better(), trials=2, rule=rule, slices=TextSlices(bigram, corpus, pool, sandbox))


class FullFor:
    """A disk that has no room for the n-th write to a file of this name: half of it is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, nth: int) -> None:
        self._left = nth
        self._name = name
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: Any) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(self._name):
            self._left -= 1
            if self._left == 0:
                self._write(fd, bytes(data)[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(fd, data)


def goes_on(opened: Callable[[], Run], n_answered: int) -> None:
    """Open the run again, and let it come to its end on the slice that was opened before."""
    run = opened()
    answers = run.paths.slice(0) / "answers.jsonl"
    before = answers.read_bytes() if answers.exists() else b""
    assert before.count(b"\n") == n_answered
    assert before.endswith(b"\n") or not before
    run_trials(run)
    assert answers.read_bytes().startswith(before)
    assert answers.read_bytes().count(b"\n") == 4
    assert [use.number for use in run.history.slices] == [0]
    assert run.history.trials[1].standing is KeepState.CONFIRMED


@pytest.mark.parametrize(
    ("name", "nth", "n_answered", "expected"),
    [
        ("opened.jsonl", 1, 0, r"cannot write to .*opened\.jsonl: No space left on device; make room and continue"),
        (
            "000/answers.jsonl",
            3,
            2,
            r"cannot write to .*answers\.jsonl: No space left on device; make room and continue",
        ),
        ("challenger-questions.bin", 2, 1, "No space left on device"),  # the command line makes the sentence of it
    ],
)
def test_a_full_disk_stops_the_run_and_loses_nothing(  # noqa: PLR0917 (fixtures)
    opened: Callable[[], Run],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    nth: int,
    n_answered: int,
    expected: str,
) -> None:
    run = opened()
    with monkeypatch.context() as full:
        FullFor(full, name, nth)
        with pytest.raises((JournalError, OSError), match=expected):
            run_trials(run)
    run.records.journal.close()
    goes_on(opened, n_answered)


def test_a_full_disk_at_the_line_that_opens_a_slice_shows_nothing(opened: Callable[[], Run]) -> None:
    run = opened()
    fill(run.records.journal, lambda line: b'"slice_opened"' not in line)
    with pytest.raises(JournalError, match=r"journal\.jsonl: No space left on device; make room and continue"):
        run_trials(run)
    assert not list(run.paths.root.glob("slices/0*"))
    run.records.journal.close()
    goes_on(opened, 0)
