"""A repository that a stranger made: nothing that it names is run, fetched or followed."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent.errors import AgentError, RepoError, UnsafeFileError
from agent.store.git.command import GitFolder, folder_of, is_branch_name
from agent.store.git.objects import Commit
from agent.store.git_repo import TrialRepo

AT = "2026-11-22T10:00:00+00:00"
_PROGRAMS = (
    *("diff.x.textconv", "diff.x.command", "diff.external", "core.pager", "core.editor", "core.sshCommand"),
    *("core.askPass", "gpg.program", "core.alternateRefsCommand", "core.fsmonitor", "filter.y.smudge"),
    *("filter.y.clean", "filter.y.process", "credential.helper", "uploadpack.packObjectsHook"),
)
_SETTINGS = {
    "log.showSignature": "true", "include.path": "/etc/shadow", "core.symlinks": "true", "mailmap.file": "/etc/shadow",
    "i18n.logOutputEncoding": "utf-7", "extensions.partialClone": "origin", "remote.origin.promisor": "true",
    "submodule.recurse": "true", "extensions.worktreeConfig": "true", "format.outputDirectory": "/nowhere",
}  # fmt: skip
_HOOKS = ("post-checkout", "reference-transaction", "post-index-change", "pre-commit", "pre-auto-gc")


def git(repo: Path, *argv: str, stdin: bytes = b"") -> str:
    return GitFolder(repo).run(list(argv), stdin).decode().strip()


def git_config(values: Mapping[str, str]) -> str:
    """Return the text of a configuration that has these values, by keys such as diff.x.textconv."""
    text = ""
    for key, value in values.items():
        section, *named, name = key.split(".")
        text += f"[{section}{' ' + json.dumps(named[0]) if named else ''}]\n\t{name} = {value}\n"
    return text


@pytest.fixture
def hostile(tmp_path: Path) -> TrialRepo:
    """A repository of two trials, whose every setting, attribute and hook would leave a marker."""
    repo = TrialRepo(tmp_path / "trials.git")
    files = {"train.py": b"x = 1\n", ".gitattributes": b"* diff=x filter=y\n"}
    first = repo.record("r", 0, Commit(files, "trial 0\n\nRun: r\n", None, AT), advance=True)
    repo.record("r", 1, Commit({**files, "train.py": b"x = 2\n"}, "trial 1\n\nRun: r\n", first, AT), advance=True)
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\necho $0 >> {tmp_path}/marker\ncat\n")
    evil.chmod(0o755)
    values = dict.fromkeys(_PROGRAMS, str(evil)) | _SETTINGS
    values |= {"core.worktree": str(tmp_path), "core.attributesFile": str(tmp_path / "attributes")}
    with (repo.path / "config").open("a") as config:
        config.write(git_config({**values, "remote.origin.url": f"ext::{evil}"}))
    (repo.path / "info").mkdir(exist_ok=True)
    for place in (repo.path / "info" / "attributes", tmp_path / "attributes"):
        place.write_text("* diff=x filter=y\n")
    (repo.path / "hooks").mkdir(exist_ok=True)
    for name in _HOOKS:
        (repo.path / "hooks" / name).write_bytes(evil.read_bytes())
        (repo.path / "hooks" / name).chmod(0o755)
    return TrialRepo(repo.path)


def _everything(repo: TrialRepo, worktree: Path) -> None:
    """Do all that the program does with a repository."""
    repo.tags("r")
    assert repo.read("r/0001")["train.py"] == b"x = 2\n"
    assert "trial 1" in repo.message("r/0001")
    assert "+x = 2" in repo.diff("r/0000", "r/0001")
    assert "trial 1" in repo.graph("r", 2)
    assert repo.problems() == []
    repo.run(["bundle", "create", "--quiet", str(worktree.with_name("b")), "refs/heads/r"])
    repo.run(["format-patch", "--quiet", "--output-directory", str(worktree.with_name("p")), "r/0000..r/0001"])
    for trial in (1, 2):
        repo.check_out("r", worktree)
        assert (worktree / "train.py").read_text() == f"x = {trial + 1}\n"
        parent = repo.find("r")
        repo.record("r", trial + 1, Commit({"train.py": b"x = 3\n"}, "trial\n", parent, AT), advance=True)
    repo.point("r", 0, 1)
    repo.pack_refs()
    assert len(repo.tags("r")) == 4


def test_no_setting_attribute_or_hook_of_a_repository_has_a_say(hostile: TrialRepo, tmp_path: Path) -> None:
    _everything(hostile, tmp_path / "worktree")
    assert not (tmp_path / "marker").exists()


def test_plain_git_sees_the_worktree_as_its_own(tmp_path: Path) -> None:
    repo = TrialRepo(tmp_path / "trials.git")
    sha = repo.record("r", 0, Commit({"train.py": b"x = 1\n"}, "trial 0\n", None, AT), advance=True)
    repo.check_out("r", tmp_path / "worktree")
    output = [
        subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(tmp_path / "worktree"), *argv],
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for argv in (["status", "--porcelain"], ["rev-parse", "HEAD"], ["symbolic-ref", "HEAD"])
    ]  # fmt: skip
    assert output == ["", sha, "refs/heads/r"]


def test_replaced_objects_are_not_what_is_read(hostile: TrialRepo) -> None:
    one, two = hostile.find("r/0000"), hostile.find("r/0001")
    (hostile.path / "refs" / "replace").mkdir()
    (hostile.path / "refs" / "replace" / two).write_text(f"{one}\n")
    (hostile.path / "info" / "grafts").write_text(f"{two}\n")
    again = TrialRepo(hostile.path)
    assert again.read("r/0001")["train.py"] == b"x = 2\n"
    assert again.chain("r/0001") == [one, two]


@pytest.mark.parametrize("name", ["alternates", "http-alternates"])
def test_another_repository_is_not_taken_from(hostile: TrialRepo, tmp_path: Path, name: str) -> None:
    (hostile.path / "objects" / "info").mkdir(exist_ok=True)
    (hostile.path / "objects" / "info" / name).write_text(f"{tmp_path}/private.git/objects\n")
    with pytest.raises(UnsafeFileError, match=f"{name} lets this repository take objects from another"):
        TrialRepo(hostile.path).read("r/0001")


@pytest.mark.parametrize(
    "name", ["packed-refs", "refs/tags/r/0001", "refs/heads/r", "objects/info", "worktrees/x/HEAD"]
)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname")])
def test_links_and_fifos_in_a_repository_are_refused_by_name(
    hostile: TrialRepo, name: str, make: Callable[[Path], None]
) -> None:
    path = hostile.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["rm", "-rf", str(path)], check=True)
    make(path)
    with pytest.raises(UnsafeFileError, match=f"{name} is a"):
        TrialRepo(hostile.path).find("r/0000")


def test_a_link_in_a_tree_becomes_a_file_of_text(hostile: TrialRepo, tmp_path: Path) -> None:
    blob = git(hostile.path, "hash-object", "-w", "--stdin", stdin=b"/etc/shadow")
    tree = git(hostile.path, "mktree", stdin=f"120000 blob {blob}\ttrain.py\n".encode())
    sha = git(hostile.path, "-c", "user.name=x", "-c", "user.email=x", "commit-tree", tree, "-m", "x")
    git(hostile.path, "update-ref", "refs/heads/r", sha)
    repo = TrialRepo(hostile.path)
    repo.check_out("r", tmp_path / "worktree")
    assert not (tmp_path / "worktree" / "train.py").is_symlink()
    assert repo.read("r") == {"train.py": b"/etc/shadow"}


def test_commits_that_no_run_makes_are_not_read_into_memory(
    hostile: TrialRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.store.git_repo._MOST_BYTES", 10)
    with pytest.raises(RepoError, match="more than any run commits"):
        hostile.read("r/0001")
    monkeypatch.setattr("agent.store.git_repo._MOST_MESSAGE", 10)
    with pytest.raises(RepoError, match="longer than any"):
        hostile.message("r/0001")


def test_the_repository_around_a_folder_is_found_as_git_finds_it(tmp_path: Path) -> None:
    bare = TrialRepo(tmp_path / "trials.git")
    bare.record("r", 0, Commit({"train.py": b"x = 1\n"}, "trial 0\n", None, AT), advance=True)
    subprocess.run(["git", "clone", "-q", "-b", "r", str(bare.path), str(tmp_path / "clone")], check=True)
    tree = tmp_path / "tree"
    subprocess.run(["git", "-C", str(tmp_path / "clone"), "worktree", "add", "-q", "-b", "w", str(tree)], check=True)
    (tmp_path / "clone" / "below").mkdir()
    own = tmp_path / "clone" / ".git"
    assert [folder_of(place) for place in (tmp_path / "clone" / "below", own, tree, bare.path)] == [
        own,
        own,
        own,
        bare.path,
    ]
    found = TrialRepo.containing(tree)
    assert found is not None
    assert found.read("r") == {"train.py": b"x = 1\n"}


@pytest.mark.parametrize(
    "name",
    [
        "-x",
        "a..b",
        "a.lock",
        "x.",
        ".x",
        "HEAD",
        "@",
        "a b",
        "a~1",
        "a:b",
        "a//b",
        "/a",
        "a/",
        "a\x1b[2J",
        "a\u202eb",
        "a@{1}",
    ],
)
def test_a_name_that_git_does_not_take_is_known_before_it_is_given_one(name: str) -> None:
    assert not is_branch_name(name)


@pytest.mark.parametrize("name", ["r", "night-2", "a/b.c", "größe", "v1.0_x"])
def test_git_takes_the_other_names(name: str, tmp_path: Path) -> None:
    assert is_branch_name(name)
    git(TrialRepo(tmp_path / "trials.git").path, "check-ref-format", f"refs/heads/{name}")


def test_a_repository_that_is_a_link_to_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    TrialRepo(tmp_path / "private.git")
    (tmp_path / "clone" / ".git").symlink_to(tmp_path / "private.git")
    with pytest.raises(AgentError, match="is a link"):
        folder_of(tmp_path / "clone")
