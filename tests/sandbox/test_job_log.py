"""Bounds and harmlessness of a job's log, without a job."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import SandboxError
from sandbox.job_log import BoundedLog


def written(path: Path, pieces: list[bytes], cap_bytes: int) -> tuple[str, BoundedLog]:
    with BoundedLog(path, cap_bytes) as log:
        for piece in pieces:
            log.write(piece)
    return path.read_text(), log


def test_a_character_cut_between_two_pieces_is_whole(tmp_path: Path) -> None:
    assert written(tmp_path / "log", [b"\xe2\x82", b"\xac"], 100)[0] == "€"


def test_a_character_that_never_ends_is_replaced(tmp_path: Path) -> None:
    assert written(tmp_path / "log", [b"a\xe2\x82"], 100)[0] == "a\ufffd"


def test_a_log_of_exactly_the_cap_is_whole(tmp_path: Path) -> None:
    text, log = written(tmp_path / "log", [b"x" * 60, b"y" * 40], 100)
    assert text == "x" * 60 + "y" * 40
    assert not log.truncated


def test_one_byte_more_drops_one_byte_of_the_middle(tmp_path: Path) -> None:
    text, log = written(tmp_path / "log", [b"x" * 50, b"!", b"y" * 50], 100)
    assert text == "x" * 50 + "\n[... 1 bytes of the log were dropped here ...]\n" + "y" * 50
    assert log.truncated


def test_a_full_disk_is_the_sandboxs_failure() -> None:
    log = BoundedLog(Path("/dev/full"), 100)
    with pytest.raises(SandboxError, match="No space left"):
        log.write(b"x")


@given(pieces=st.lists(st.binary(max_size=300), max_size=30), cap_bytes=st.integers(2, 500))
def test_any_output_is_bounded_and_inert(pieces: list[bytes], cap_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text, _ = written(Path(folder) / "log", pieces, cap_bytes)
    assert len(text.encode()) <= cap_bytes + 80
    assert not {character for character in text if ord(character) < 32 or 127 <= ord(character) < 160} - {"\n", "\t"}


def test_what_nobody_sees_is_shown_and_emoji_stay_whole_symbols(tmp_path: Path) -> None:
    printed = "a\U000e0001b\u200bc\u3164d\u202ee ⚠\ufe0f\n".encode()
    assert written(tmp_path / "log", [printed], 100)[0] == "a\ufffdb\ufffdc\ufffdd\ufffde ⚠\n"
