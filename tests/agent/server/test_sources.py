"""Scripts from files, patches and commits: only the script is taken, and other differences are listed."""

import subprocess
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.server.sources import MOST_BYTES, script_in_file, script_of_commit, script_of_patch
from agent.task.task import Task
from tests.kill_anywhere.killed_runs import ROOT

BIGRAM = ROOT / "tests" / "tasks" / "bigram"


@pytest.fixture(scope="module")
def task() -> Task:
    return Task.load(BIGRAM)


@pytest.fixture
def repo(tmp_path: Path, task: Task) -> Path:
    """A repository with the task's files at its top, in two commits; the second is the branch `loop`."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for name, content in task.files.items():
        (folder / name).write_bytes(content)
    commit(folder, "first", "init", "-q", "-b", "main")
    git(folder, "checkout", "-q", "-b", "loop")
    return folder


def git(folder: Path, *argv: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *who, *argv], check=True, capture_output=True)


def commit(folder: Path, message: str, *first: str) -> None:
    if first:
        git(folder, *first)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", message)


def changed(task: Task) -> str:
    return task.source.replace("MIX = 0.5", "MIX = 0.9")


def test_a_file_is_taken_as_text(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\r\n")
    found = script_in_file(path)
    assert (found.script, found.name, found.ignored) == ("x = 1\ny = 2\n", str(path), ())


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        script_in_file(tmp_path / "nowhere.py")
    (tmp_path / "binary.py").write_bytes(b"x = '\xff'")
    with pytest.raises(UsageError, match=r"binary.py is not UTF-8 text"):
        script_in_file(tmp_path / "binary.py")
    (tmp_path / "large.py").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(UsageError):
        script_in_file(tmp_path / "large.py")
    with pytest.raises(UsageError):
        script_in_file(tmp_path)


def test_a_patch_changes_the_incumbents_script(tmp_path: Path, task: Task) -> None:
    path = tmp_path / "my.patch"
    path.write_text(
        "--- a/train.py\n+++ b/train.py\n@@ -13 +13 @@\n-MIX = 0.5 \n+MIX = 0.9\n".replace("0.5 ", _line(task))
    )
    found = script_of_patch(path, task.source, task.script)
    assert "MIX = 0.9\n" in found.script
    with pytest.raises(UsageError, match=r"the patch does not apply to the incumbent's train.py"):
        script_of_patch(path, changed(task), task.script)
    path.write_text(path.read_text().replace("train.py", "score.py"))
    with pytest.raises(UsageError, match=r"score.py"):
        script_of_patch(path, task.source, task.script)


def _line(task: Task) -> str:
    (line,) = [line for line in task.source.splitlines() if line.startswith("MIX = ")]
    return line.removeprefix("MIX = ")


def test_a_commit_gives_the_script_and_lists_other_differences(repo: Path, task: Task) -> None:
    (repo / task.script).write_text(changed(task))
    commit(repo, "only the script")
    found = script_of_commit(f"{repo}@loop", task)
    assert found.script == changed(task)
    assert found.ignored == ()
    assert found.name.startswith(f"{repo}@")
    other, gone = task.frozen[0], task.frozen[1]
    (repo / other).write_text("# easier\n")
    (repo / gone).unlink()
    (repo / "cheat.py").write_text("import os\n")
    (repo / "notes.txt").write_text("not listed: no script can import it\n")
    commit(repo, "more")
    assert set(script_of_commit(f"{repo}@loop", task).ignored) == {
        f"{other} (differs)", f"{gone} (missing)", "cheat.py (not in the task)",
    }  # fmt: skip
    assert script_of_commit(f"{repo}@main", task).script == task.source  # an older commit


def test_a_commit_with_the_script_in_a_folder(tmp_path: Path, task: Task) -> None:
    top = tmp_path / "mono"
    for name in ("one", "two"):
        (top / name).mkdir(parents=True)
        (top / name / task.script).write_text(task.source + f"# {name}\n")
    commit(top, "two of them", "init", "-q", "-b", "main")
    assert script_of_commit(f"{top / 'two'}@main", task).script.endswith("# two\n")
    with pytest.raises(UsageError, match=r"2 files called train.py, and none at its top; submit the file with"):
        script_of_commit(f"{top}@main", task)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{repo}", "write REPO@REV, for example"),
        ("@main", "write REPO@REV"),
        ("{repo}@", "write REPO@REV"),
        ("{repo}@nowhere", "nowhere"),
        ("{repo}@--all", "--all"),
        ("/@main", "is not in a git repository"),
    ],
)
def test_a_commit_that_is_not_there_is_one_line(repo: Path, task: Task, name: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        script_of_commit(name.format(repo=repo), task)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_commit_without_the_script(repo: Path, task: Task) -> None:
    (repo / task.script).rename(repo / "other.py")
    commit(repo, "renamed")
    with pytest.raises(UsageError, match=r"the commit has no file called train.py"):
        script_of_commit(f"{repo}@loop", task)
