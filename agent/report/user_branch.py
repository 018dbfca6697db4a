"""Commits the kept trials, or the minimal script, to a new branch of the user's own repository.

It writes to git's object store and creates one ref. Checkout, index, hooks and configuration stay untouched.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.analysis.ablation_log import hash_of, known
from agent.errors import RepoError, UsageError
from agent.store.git.command import is_branch_name, run_git
from agent.store.git.objects import AUTHOR
from agent.store.git_repo import TrialRepo
from agent.store.stored_run import StoredRun, ratchet
from agent.text import hidden_in, plural
from agent.trials.keeping.keep_rule import HELD_OUT_SEED


@dataclass(frozen=True)
class Branch:
    """A branch that was created."""

    name: str
    base: str  # hash of the commit that it starts from: HEAD
    commits: tuple[str, ...]  # hashes, in the order of the kept trials
    brings_baseline: bool  # the first commit replaces the user's script with the run's baseline


def make_branch(stored: StoredRun, repository: Path, name: str, path: str | None, *, minimal: bool = False) -> Branch:
    """Put the ratchet of a run on a new branch that starts from the repository's HEAD; each commit changes one file.

    Args:
        path: of the script within the repository; None: the task's name for it, at the top level.
        minimal: commit the attribution's minimal script instead of the kept trials.

    Raises:
        UsageError: `repository` is not a git repository with a commit, the branch exists, HEAD lacks the file, or no
            minimal script is both smaller and as good.
    """
    script = stored.task(0).script
    trials = [stored.trial(0)] if minimal else ratchet(stored)
    chain = [stored.hashes[trial.number] for trial in trials]
    steps = [(stored.repo.read(commit)[script], _CommitText.of(stored.repo, commit)) for commit in chain]
    baseline = steps[0][0]
    if minimal:
        steps.append(_minimal(stored))
    user = _UserRepository(repository)
    user.refuse_taken(name)
    file = user.file(path or script)
    commits: list[str] = []
    at, content = user.head, file.content
    for source, text in steps:
        if source == content:
            continue
        at = user.commit(user.tree(at, file, source), at, text)
        content = source
        commits.append(at)
    if not commits:
        raise UsageError(f"{repository} already has the best script of {stored.run_id}; there is nothing to commit")
    user.create(name, at)
    return Branch(name, user.head, tuple(commits), baseline != file.content)


@dataclass(frozen=True)
class _File:
    path: str
    mode: str
    content: bytes


@dataclass(frozen=True)
class _CommitText:
    """A commit's message, author and date."""

    message: str
    who: Mapping[str, str]  # as variables for git

    @classmethod
    def of(cls, repo: TrialRepo, commit: str) -> "_CommitText":
        about = repo.run(["log", "-1", "--format=%an%n%ae%n%ad%n%B", "--date=raw", commit])
        name, email, date, message = about.split("\n", 3)
        return cls.by(message, name, email, date)

    @classmethod
    def by(cls, message: str, name: str, email: str, date: str) -> "_CommitText":
        pairs = (("NAME", name), ("EMAIL", email), ("DATE", date))
        return cls(message, {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in pairs})


def _minimal(stored: StoredRun) -> tuple[bytes, _CommitText]:
    """Return the minimal script and its commit's message, author and date. Raises UsageError if there is none."""
    attributed = known(stored)
    found, chain = attributed.found, attributed.found.chain
    if not found.offered:
        raise UsageError(
            f"{stored.run_id} has no minimal script that is smaller and as good: `agent attribute {stored.run_id}` "
            "shows what is known about its changes"
        )
    without = [change.key for change in chain.changes if change.key in found.minimal.without]
    which = f"{len(chain.changes) - len(without)} of the {plural(len(chain.changes), 'change')} of trial {chain.result}"
    ran = attributed.readings.ran[hash_of(found.minimal.source), HELD_OUT_SEED]
    message = (
        f"minimal: {which}\n\nAs good as trial {chain.result} without {', '.join(without)}.\n\n"
        f"Run: {stored.run_id}\nTrial: {chain.result}\nWithout: {', '.join(without)}\n"
        f"Val-Loss: {ran.outcome.val_loss!r}\nSeed: {HELD_OUT_SEED}\n"
    )
    return found.minimal.source.encode(), _CommitText.by(message, *AUTHOR, ran.at)


class _UserRepository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            found = run_git(["-C", str(folder.resolve()), "rev-parse", "--absolute-git-dir"])
        except RepoError as error:
            raise UsageError(f"{folder} is not a git repository; name one with --to DIR") from error
        self._git_dir = ["--git-dir", found.decode().strip()]
        try:
            self.head = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        except RepoError as error:
            raise UsageError(f"{folder} has no commit yet; commit your script first") from error

    def refuse_taken(self, name: str) -> None:
        """Raise UsageError unless a branch of that name can be created."""
        if not is_branch_name(name):
            raise UsageError(f"--branch {name!r} is not a valid branch name in git; use letters, digits, - and /")
        try:
            self._run("rev-parse", "--verify", "--quiet", f"refs/heads/{name}")
        except RepoError:
            return
        raise UsageError(f"{self.folder} already has a branch {name}; choose another --branch")

    def file(self, path: str) -> _File:
        """Return a file at HEAD. Raises UsageError if there is none."""
        if path.startswith("/") or ".." in path.split("/") or hidden_in(path):
            raise UsageError(f"--path {path!r} is not a path within the repository; write it as `git ls-files` does")
        entry = self._run("ls-tree", "-z", self.head, "--", path).rstrip("\0")
        about, _, found = entry.partition("\t")
        if found != path or about.split(" ")[1] != "blob":
            raise UsageError(f"{self.folder} has no file {path} at HEAD; give the script's path with --path")
        mode, _, blob = about.split(" ")
        return _File(path, mode, run_git([*self._git_dir, "cat-file", "blob", blob]))

    def tree(self, commit: str, file: _File, content: bytes) -> str:
        """Store a commit's tree with the content of one file replaced; return the tree's hash."""
        blob = run_git([*self._git_dir, "hash-object", "-w", "--stdin"], content).decode().strip()
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            self._run("read-tree", commit, env=index)
            self._run("update-index", "--cacheinfo", f"{file.mode},{blob},{file.path}", env=index)
            return self._run("write-tree", env=index)

    def commit(self, tree: str, parent: str, text: _CommitText) -> str:
        """Store a commit and return its hash."""
        return self._run("commit-tree", tree, "-p", parent, stdin=text.message.encode(), env=text.who)

    def create(self, name: str, commit: str) -> None:
        """Create the branch. Raises RepoError if it exists by now, or another ref conflicts with its name."""
        self._run("update-ref", f"refs/heads/{name}", commit, "")

    def _run(self, *argv: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        return run_git([*self._git_dir, *argv], stdin, env).decode().strip()
