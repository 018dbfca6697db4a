"""Real git in a temporary folder: deterministic commits, one transaction, no say for the user's settings."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.errors import RepoError, UnsafeFileError
from agent.store.git.objects import Commit
from agent.store.git_repo import TrialRepo, trailers

AT = "2026-11-22T10:00:00+00:00"


def commit(text: str, parent: str | None = None) -> Commit:
    files = {"train.py": text.encode(), "lib/frozen.py": b"FROZEN = 1\n"}
    return Commit(files, f"trial: {text}\n\nRun: r\nKept: yes\n", parent, AT)


@pytest.fixture
def repo(tmp_path: Path) -> TrialRepo:
    return TrialRepo(tmp_path / "trials.git")


def test_the_same_trial_gives_the_same_hash_in_every_repository(tmp_path: Path) -> None:
    hashes = {TrialRepo(tmp_path / name).record("r", 0, commit("a"), advance=True) for name in ("one", "two")}
    assert len(hashes) == 1


def test_recording_again_changes_nothing(repo: TrialRepo) -> None:
    first = repo.record("r", 0, commit("a"), advance=True)
    assert repo.record("r", 0, commit("a"), advance=True) == first
    assert repo.tags("r") == {0: first}


def test_only_kept_trials_move_the_branch_and_losers_stay_reachable(repo: TrialRepo) -> None:
    base = repo.record("r", 0, commit("a"), advance=True)
    loser = repo.record("r", 1, commit("b", base), advance=False)
    assert repo.branch("r") == base
    assert repo.tag("r", 1) == loser
    assert repo.read("r/0001")["train.py"] == b"b"
    winner = repo.record("r", 2, commit("c", base), advance=True)
    assert repo.branch("r") == winner


def test_nested_frozen_files_are_in_the_tree(repo: TrialRepo) -> None:
    repo.record("r", 0, commit("a"), advance=True)
    assert repo.read("r/0000") == {"train.py": b"a", "lib/frozen.py": b"FROZEN = 1\n"}


def test_trailers_are_read_back(repo: TrialRepo) -> None:
    repo.record("r", 0, commit("a"), advance=True)
    assert trailers(repo.message("r/0000")) == {"Run": "r", "Kept": "yes"}


def test_the_worktree_shows_the_branch_whatever_was_there(repo: TrialRepo, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    base = repo.record("r", 0, commit("a"), advance=True)
    repo.check_out("r", worktree)
    (worktree / "train.py").write_text("edited")
    (worktree / "stray").write_text("left behind")
    repo.check_out("r", worktree)
    assert (worktree / "train.py").read_text() == "a"
    assert not (worktree / "stray").exists()
    repo.record("r", 1, commit("b", base), advance=True)
    repo.check_out("r", worktree)
    assert (worktree / "train.py").read_text() == "b"


def test_a_lost_worktree_is_made_again(repo: TrialRepo, tmp_path: Path) -> None:
    repo.record("r", 0, commit("a"), advance=True)
    repo.check_out("r", tmp_path / "worktree")
    subprocess.run(["rm", "-rf", str(tmp_path / "worktree")], check=True)
    repo.check_out("r", tmp_path / "worktree")
    assert (tmp_path / "worktree" / "train.py").read_text() == "a"


def test_bytes_survive_as_they_are(repo: TrialRepo, tmp_path: Path) -> None:
    windows = Commit({"train.py": b"x = 1\r\ny = '\xc3\xa9'\r\n"}, "m\n", None, AT)
    repo.record("r", 0, windows, advance=True)
    repo.check_out("r", tmp_path / "worktree")
    assert (tmp_path / "worktree" / "train.py").read_bytes() == b"x = 1\r\ny = '\xc3\xa9'\r\n"


def test_the_users_git_settings_have_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = TrialRepo(tmp_path / "plain").record("r", 0, commit("a"), advance=True)
    marker = tmp_path / "hook-ran"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-commit", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (hooks / name).chmod(0o755)
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    (template / "hooks" / "reference-transaction").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (template / "hooks" / "reference-transaction").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n hooksPath = {hooks}\n autocrlf = true\n[commit]\n gpgsign = true\n[gpg]\n program = /bin/false\n"
        f"[init]\n templateDir = {template}\n defaultBranch = odd\n[user]\n name = Somebody\n email = s@example.org\n"
    )
    monkeypatch.setenv("HOME", str(home))
    repo = TrialRepo(tmp_path / "configured")
    assert repo.record("r", 0, commit("a"), advance=True) == plain
    repo.check_out("r", tmp_path / "worktree")
    assert not marker.exists()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.git").mkdir()
    with pytest.raises(RepoError, match="not a git repository"):
        TrialRepo(tmp_path / "trials.git")


@pytest.mark.parametrize("revision", ["r/0009", "--upload-pack=x", "; rm -rf", "", "HEAD:train.py"])
def test_what_is_no_commit_is_refused(repo: TrialRepo, revision: str) -> None:
    repo.record("r", 0, commit("a"), advance=True)
    with pytest.raises(RepoError, match="no commit"):
        repo.find(revision)


def test_plain_git_reads_it(repo: TrialRepo) -> None:
    repo.record("r", 0, commit("a"), advance=True)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = ["git", "--git-dir", str(repo.path), "log", "--format=%(trailers:key=Kept,valueonly)", "r/0000"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert output.stdout.strip() == "yes"
    checked = subprocess.run(["git", "--git-dir", str(repo.path), "fsck", "--strict"], env=environment, check=False)
    assert checked.returncode == 0


def test_a_commit_is_known_before_it_is_made(repo: TrialRepo) -> None:
    one = commit("a")
    two = commit("b", one.sha)
    assert repo.record("r", 0, one, advance=True) == one.sha
    assert repo.record("r", 1, two, advance=True) == two.sha
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "--git-dir", str(repo.path), "fsck", "--strict"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "error" not in done.stdout + done.stderr


def test_what_killed_git_commands_left_is_removed_and_other_runs_locks_are_not(repo: TrialRepo, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    repo.record("r", 0, commit("a"), advance=True)
    repo.record("other", 0, commit("a"), advance=True)
    repo.check_out("r", worktree)
    own = [repo.path / name for name in ("packed-refs.lock", "refs/heads/r.lock", "refs/tags/r/0000.lock")]
    own.append(repo.path / "worktrees" / "worktree" / "index.lock")
    theirs = repo.path / "refs" / "heads" / "other.lock"
    for path in (*own, theirs):
        path.touch()
    assert set(repo.recover("r", worktree)) == set(own)
    assert theirs.exists()
    repo.check_out("r", worktree)
    repo.record("r", 1, commit("b", commit("a").sha), advance=True)


def test_a_copy_of_all_runs_leaves_the_original_alone(tmp_path: Path) -> None:
    repo = TrialRepo(tmp_path / "runs" / "trials.git")
    repo.record("r", 0, commit("a"), advance=True)
    repo.check_out("r", tmp_path / "runs" / "r" / "worktree")
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    copy = TrialRepo(tmp_path / "copy" / "trials.git")
    copy.record("r", 1, commit("b", commit("a").sha), advance=True)
    copy.check_out("r", tmp_path / "copy" / "r" / "worktree")
    assert (tmp_path / "copy" / "r" / "worktree" / "train.py").read_text() == "b"
    assert (tmp_path / "runs" / "r" / "worktree" / "train.py").read_text() == "a"
    repo.check_out("r", tmp_path / "runs" / "r" / "worktree")
    assert (tmp_path / "runs" / "r" / "worktree" / "train.py").read_text() == "a"


def test_a_worktree_that_was_half_made_is_made_again(repo: TrialRepo, tmp_path: Path) -> None:
    worktree = tmp_path / "worktree"
    repo.record("r", 0, commit("a"), advance=True)
    repo.check_out("r", worktree)
    known = repo.path / "worktrees" / "worktree"
    (known / "index").unlink()
    (known / "locked").write_text("initializing")
    (worktree / "train.py").unlink()
    repo.recover("r", worktree)
    repo.check_out("r", worktree)
    assert (worktree / "train.py").read_text() == "a"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_stands_in_the_place_of_a_registered_worktree_is_removed_itself(
    repo: TrialRepo, tmp_path: Path, kind: str
) -> None:
    worktree, elsewhere = tmp_path / "worktree", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    repo.record("r", 0, commit("a"), advance=True)
    repo.check_out("r", worktree)
    known = repo.path / "worktrees" / "worktree"
    shutil.rmtree(known)
    if kind == "link":
        known.symlink_to(elsewhere)
    else:
        known.write_text("")
    repo.recover("r", worktree)
    repo.check_out("r", worktree)
    assert (worktree / "train.py").read_text() == "a"
    assert (elsewhere / "kept").read_text() == "kept"


@pytest.mark.parametrize("name", ["packed-refs", "shallow", "refs/heads/r"])
def test_git_is_not_given_a_file_of_refs_that_it_would_read_for_hours(repo: TrialRepo, name: str) -> None:
    repo.record("r", 0, commit("a"), advance=True)
    (repo.path / name).touch()
    os.truncate(repo.path / name, 2**40)
    with pytest.raises(UnsafeFileError, match=f"{name} is over .*: remove it"):
        TrialRepo(repo.path).run(["log", "r"])
