"""The inbox of a run: order, durability, and files that no program of ours wrote."""

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import UnsafeFileError, UsageError
from agent.store.inbox.inbox import MOST_BYTES, MOST_MESSAGES, Inbox
from agent.store.inbox.submissions import KIND, MOST_WAITING, SubmissionQueue
from agent.store.paths import RunPaths


def _kept(inbox: Inbox, kind: str = "said") -> list[object]:
    return [message.fields["text"] for message in inbox.messages(kind)]


def test_messages_come_in_the_order_in_which_they_were_put(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox")
    assert list(inbox.messages("said")) == []
    ids = [inbox.put("said", text=text) for text in "abc"]
    inbox.put("pause", text="other kind")
    assert _kept(inbox) == ["a", "b", "c"]
    assert [message.fields["text"] for message in inbox.messages("said", known={ids[0]})] == ["b", "c"]
    inbox.remove({ids[1]})
    inbox.remove({ids[1], "gone"})
    inbox.put("said", text="d")
    assert _kept(inbox) == ["a", "c", "d"]


def _put_many(folder: Path, name: str) -> None:
    for number in range(20):
        Inbox(folder).put("said", text=f"{name}{number}")


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_put_many, args=(tmp_path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = _kept(Inbox(tmp_path))
    for name in "ab":
        assert [text for text in found if str(text).startswith(name)] == [f"{name}{number}" for number in range(20)]


def test_what_is_no_message_is_skipped(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("said", text="kept")
    for number, content in enumerate(("", "[]", "{}", "nul", '{"id": 3, "kind": "said", "at": ""}', '{"id": "x"}')):
        (tmp_path / f"{number:09d}-{number:012x}.json").write_text(content)
    now = "2026-11-30T07:00:00+00:00"
    for number, wrong in enumerate(({"at": "noon"}, {"at": now, "id": ""}, {"at": now, "id": "9"}), start=50):
        fields = {"id": f"{number:011x}9", "kind": "said", "text": "no message", **wrong}
        (tmp_path / f"{number:09d}-{number:011x}9.json").write_text(json.dumps(fields))
    other = {"id": "0" * 12, "kind": "said", "at": now, "text": "under another name"}
    (tmp_path / f"000000099-{'f' * 12}.json").write_text(json.dumps(other))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / f"000000100-{'e' * 12}.json.tmp").write_text("half")
    assert _kept(inbox) == ["kept"]


def test_text_that_is_no_unicode_does_not_get_through(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("said", text="file \udcff.py \u00e9")
    fields = {"id": "a" * 12, "kind": "said", "at": "2026-11-30T07:00:00+00:00", "text": ["\ud800"]}
    (tmp_path / f"000000002-{'a' * 12}.json").write_text(json.dumps(fields))
    assert _kept(inbox) == ["file ?.py \u00e9"]


def test_people_can_still_pause_a_run_when_no_more_submissions_fit(tmp_path: Path) -> None:
    record = {"id": "a" * 12, "kind": KIND, "at": "2026-11-30T07:00:00+00:00", "record": {}, "title": ""}
    for number in range(1, MOST_WAITING + 1):
        fields = {**record, "id": f"{number:012x}"}
        (tmp_path / f"{number:09d}-{number:012x}.json").write_text(json.dumps(fields))
    inbox = Inbox(tmp_path)
    with pytest.raises(UsageError, match="900 submissions wait already"):
        SubmissionQueue(inbox).put({}, "one more", values={"WIDTH": 1.0})
    inbox.put("pause")
    assert len(list(inbox.messages("pause"))) == 1


def _link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def _fifo(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, secret: Path) -> None:
    path.mkdir()


def _oversized(path: Path, secret: Path) -> None:
    path.write_bytes(secret.read_bytes())
    os.truncate(path, MOST_BYTES + 1)


@pytest.mark.parametrize("put_there", [_link, _fifo, _folder, _oversized])
def test_what_is_no_message_stops_no_reader(tmp_path: Path, put_there: Callable[[Path, Path], None]) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"id": "a" * 12, "kind": "said", "at": "2026-11-30T07:00:00+00:00", "text": "secret"}))
    inbox = Inbox(tmp_path / "inbox")
    inbox.put("said", text="first")
    put_there(tmp_path / "inbox" / f"000000002-{'a' * 12}.json", secret)
    inbox.put("said", text="last")
    assert _kept(inbox) == ["first", "last"]


def test_limits_of_messages(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    with pytest.raises(UsageError, match="shorten it"):
        inbox.put("said", text="x" * MOST_BYTES)
    for number in range(MOST_MESSAGES):
        (tmp_path / f"{number:09d}-{number:012x}.json").touch()
    with pytest.raises(UsageError, match="1000 messages wait"):
        inbox.put("said", text="one more")


def test_the_folder_may_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "inbox").symlink_to(tmp_path)
    with pytest.raises(UnsafeFileError):
        _ = RunPaths(tmp_path / "run").inbox
