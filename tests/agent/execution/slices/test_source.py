"""Who has opened which slices: the file that all runs of a machine share."""

import errno
import os
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.execution.slices.source import Openings


@pytest.fixture
def openings(tmp_path: Path) -> Openings:
    return Openings(tmp_path / "opened.jsonl")


def test_a_slice_that_fewest_others_have_opened_comes_first(openings: Openings) -> None:
    assert [openings.next("/a", 3, taken) for taken in ([], [0])] == [(0, 0), (1, 0)]
    assert [openings.next("/b", 3, taken) for taken in ([], [2], [2, 0])] == [(2, 0), (0, 1), (1, 1)]
    assert openings.next("/b", 3, [0, 1, 2]) is None


def test_one_that_was_noted_and_not_journaled_is_the_next_again(openings: Openings) -> None:
    assert openings.next("/a", 3, []) == openings.next("/a", 3, []) == (0, 0)


def test_what_was_opened_about_a_run_by_somebody_else_is_not_opened_by_it(openings: Openings) -> None:
    assert openings.next("/a/verified.json", 3, [], about=["/a"]) == (0, 0)
    assert openings.next("/a", 3, []) == (1, 0)
    assert openings.next("/b", 3, [1, 2]) == (0, 1)  # by others it is, and they are told


def test_what_its_runs_have_opened_is_not_opened_about_them(openings: Openings) -> None:
    openings.next("/a", 4, [])
    openings.next("/b", 4, [])
    openings.next("/b/verified.json", 4, [], about=["/b"])
    assert openings.next("/c", 4, [], about=["/a", "/b"]) == (3, 0)


def test_a_reserved_slice_is_left_to_whom_it_is_reserved_for(openings: Openings) -> None:
    assert openings.reserve("/c", 2, [], about=["/a", "/b"]) == 0
    assert [openings.next(run, 2, []) for run in ("/a", "/b")] == [(1, 0), (1, 1)]
    assert [openings.next(run, 2, [1]) for run in ("/a", "/b")] == [None, None]
    assert openings.reserve("/c", 2, [], about=["/a", "/b"]) == 0  # asked again
    assert openings.next("/c", 2, [], about=["/a", "/b"]) == (0, 0)  # nobody has opened it
    assert openings.reserve("/c", 2, [0], about=["/a", "/b"]) is None


def test_a_torn_line_says_nothing_and_hides_nothing(openings: Openings, tmp_path: Path) -> None:
    (tmp_path / "opened.jsonl").write_text('{"slice": 0, "run": "/a"}\n{"slice": 1, "ru')
    assert openings.next("/b", 2, []) == (1, 0)
    assert openings.others("/c") == {0: 1, 1: 1}


def test_what_cannot_be_noted_is_not_opened(
    openings: Openings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(JournalError, match="No space left on device; make room"):
            openings.next("/a", 2, [])
    assert (tmp_path / "opened.jsonl").read_text() == ""
