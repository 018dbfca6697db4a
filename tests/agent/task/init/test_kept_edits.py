"""`agent init --force` keeps what a person edited: three versions of task.toml are merged, key by key."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from agent.task.init.host import HostResources, chosen_interpreter
from agent.task.init.kept_edits import Merged, WrittenBefore, merge, with_edits
from agent.task.init.script_report import InitOptions, read_script
from agent.task.init.task_toml import document, files_of, task_of

BEFORE = """# Written by `agent init`.
[task]
name = "t"
command = ["python", "train.py"]
# frozen = []

[environment]
# python = ".venv/bin/python"
mounts = [
    { source = "~/a", target = "/tmp/a" },
]

[limits]
memory_gb = 8

[space]
LR = { type = "float", low = 0.01, high = 1.0 }
WIDTH = { type = "int", low = 1, high = 9 }
"""
KNOWN = ("LR", "WIDTH", "DEPTH")


def merged(own: str, now: str = BEFORE, before: str | None = BEFORE, **options: Any) -> tuple[dict[str, Any], Merged]:
    result = merge(before, now, own, known=KNOWN, **options)
    return tomllib.loads(result.text), result


def test_what_nobody_edited_follows_init() -> None:
    now = BEFORE.replace("memory_gb = 8", "memory_gb = 6").replace("high = 9", "high = 7")
    assert merge(BEFORE, now, BEFORE, known=KNOWN) == Merged(now)


@pytest.mark.parametrize(
    ("old", "new", "keys", "value"),
    [
        ('# python = ".venv/bin/python"', 'python = "/opt/py"  # mine', ("environment", "python"), "/opt/py"),
        ("memory_gb = 8", "memory_gb = 3", ("limits", "memory_gb"), 3),
        ("low = 0.01", "low = 0.05", ("space", "LR", "low"), 0.05),
        ('"~/a", target', '"~/b", target', ("environment", "mounts"), [{"source": "~/b", "target": "/tmp/a"}]),
        ("# frozen = []", 'frozen = [\n  "x.txt",\n]', ("task", "frozen"), ["x.txt"]),
        ("[limits]\n", "[keep]\nrule = 'any'\n\n[limits]\n", ("keep", "rule"), "any"),
        ("[space]\n", "[space]\nDEPTH = { type = 'int', low = 1, high = 3 }\n", ("space", "DEPTH", "high"), 3),
    ],
)
def test_an_edit_is_kept_wherever_it_is(old: str, new: str, keys: tuple[str, ...], value: object) -> None:
    own = BEFORE.replace(old, new)
    assert own != BEFORE
    now = BEFORE.replace("high = 9", "high = 7").replace('name = "t"', 'name = "u"')
    found, result = merged(own, now)
    at: Any = found
    for key in keys:
        at = at[key]
    assert at == value
    assert found["task"]["name"] == "u"
    assert found["space"]["WIDTH"]["high"] == 7
    assert result.remarks[0].startswith("kept from your task.toml: [")


def test_a_dotted_key_is_the_same_key() -> None:
    own = "limits.memory_gb = 5\n" + BEFORE.replace("[limits]\nmemory_gb = 8\n", "")
    assert merged(own)[0]["limits"] == {"memory_gb": 5}


def test_a_line_that_was_removed_stays_removed() -> None:
    found, result = merged("\n".join(line for line in BEFORE.split("\n") if not line.startswith("WIDTH")))
    assert list(found["space"]) == ["LR"]
    assert result.remarks == ("left out as in your task.toml: [space] WIDTH",)


def test_in_a_conflict_the_persons_value_stays_and_is_named() -> None:
    now = BEFORE.replace("memory_gb = 8", "memory_gb = 6")
    found, result = merged(BEFORE.replace("memory_gb = 8", "memory_gb = 3"), now)
    assert found["limits"]["memory_gb"] == 3
    assert "[limits] memory_gb: your 3 is kept; init now finds 6" in result.remarks


def test_an_option_of_this_command_replaces_an_edit_and_says_so() -> None:
    now = BEFORE.replace('"train.py"]', '"other.py"]')
    found, result = merged(BEFORE.replace('"train.py"]', '"mine.py"]'), now, chosen={("task", "command")})
    assert found["task"]["command"] == ["python", "other.py"]
    assert 'your ["python", "mine.py"] is replaced' in result.remarks[0]


def test_a_range_for_a_constant_that_is_gone_is_left_out() -> None:
    own = BEFORE + "GONE = { type = 'int', low = 1, high = 2 }\n"
    found, result = merged(own)
    assert "GONE" not in found["space"]
    assert "the script has no such constant" in result.remarks[0]


def test_comments_of_a_person_stay_above_what_they_edited() -> None:
    own = BEFORE.replace("memory_gb = 8", "# the other half is for the browser\nmemory_gb = 4")
    assert "# the other half is for the browser\nmemory_gb = 4\n" in merged(own)[1].text


def test_a_second_merge_changes_nothing() -> None:
    own = BEFORE.replace("memory_gb = 8", "memory_gb = 4").replace("[limits]", "[keep]\nrule = 'any'\n\n[limits]")
    once = merged(own)[1].text
    assert merged(once)[1].text == once


def test_if_the_last_text_is_unknown_every_difference_is_an_edit() -> None:
    found, _ = merged(BEFORE.replace("memory_gb = 8", "memory_gb = 3"), BEFORE.replace("high = 9", "high = 7"), None)
    assert (found["limits"]["memory_gb"], found["space"]["WIDTH"]["high"]) == (3, 9)


def test_windows_line_ends_and_a_byte_order_mark_are_no_edit(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LR = 0.1\nprint('val loss', LR)\n")
    reading = read_script(tmp_path, InitOptions(), HostResources(4.0, 8.0, 2))
    plain = document(reading)
    (tmp_path / "task.toml").write_bytes(b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode())
    assert with_edits(reading, plain, plain, force=True) == Merged(plain)
    assert with_edits(reading, plain, plain, force=False) == Merged(plain)


def test_what_cannot_be_merged_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LR = 0.1\nprint('val loss', LR)\n")
    reading = read_script(tmp_path, InitOptions(), HostResources(4.0, 8.0, 2))
    (tmp_path / "task.toml").write_text("mine")
    result = with_edits(reading, "new", None, force=True)
    assert result == Merged("new", ("your task.toml was not TOML text: it is kept as task.toml.old",))
    assert (tmp_path / "task.toml.old").read_text() == "mine"
    (tmp_path / "task.toml").unlink()
    (tmp_path / "task.toml").symlink_to("train.py")
    with pytest.raises(UsageError, match="is not a plain file"):
        with_edits(reading, "new", None, force=True)


def test_each_folder_has_a_last_text_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    WrittenBefore(tmp_path / "cache", tmp_path / "a").save("x = 1\n")
    assert WrittenBefore(tmp_path / "cache", tmp_path / "a" / "." / "..").read() is None
    assert WrittenBefore(tmp_path / "cache", tmp_path / "b" / ".." / "a").read() == "x = 1\n"
    (tmp_path / "file").touch()
    WrittenBefore(tmp_path / "file", tmp_path).save("x")  # a cache that cannot be written stops nothing


def test_the_named_interpreter_is_written_as_task_toml_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mine" / "env" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(os.path.realpath("/bin/sh")))
    monkeypatch.chdir(tmp_path)
    assert chosen_interpreter(Path("mine"), "mine/env/bin/python") == "env/bin/python"
    assert chosen_interpreter(Path("other"), "mine/env/bin/python") == str(program)
    assert chosen_interpreter(Path("mine"), "sh").endswith("/sh")
    for wrong in ("mine/env/bin/python3", "no-such-program", "mine"):
        with pytest.raises(UsageError, match="there is no such program"):
            chosen_interpreter(Path("mine"), wrong)


def test_a_named_interpreter_that_is_no_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import numpy\nLR = 0.1\nprint('val loss', LR)\n")
    program = tmp_path / "python"
    program.write_bytes(b"\0\1\2")
    program.chmod(0o755)
    for named in (str(program), "/bin/sh"):
        with pytest.raises(UsageError, match=f"--python {named}: it does not run as Python"):
            read_script(tmp_path, InitOptions(python=named), HostResources(4.0, 8.0, 2))


def test_a_file_that_a_person_froze_stays_frozen(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LR = 0.1\nprint('val loss', LR)\n")
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / "vocabulary" / "a.txt").touch()
    reading = read_script(tmp_path, InitOptions(), HostResources(4.0, 8.0, 2))
    plain = document(reading)
    (tmp_path / "task.toml").write_text(plain.replace("# frozen = []", 'frozen = ["vocabulary/"]'))
    kept = with_edits(reading, plain, plain, force=True)
    assert task_of(tmp_path, files_of(reading, kept.text)).frozen == ("vocabulary/a.txt",)
