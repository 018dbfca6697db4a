"""The git repository of all runs: bare, with one branch per run and one tagged commit per trial.

Everything in it is derived from the journal, so it can be made again after a kill, with the same hashes. The user's
git configuration, hooks, signing and identity are ignored, and the user's own repository is never touched.
"""

import re
import shutil
from pathlib import Path

from agent.errors import RepoError
from agent.files import read_bytes
from agent.store.git.command import CONFIG, MOST_REF_BYTES, GitError, GitFolder, folder_of, run_git
from agent.store.git.locks import is_worktree_of, register, registered, remove_leftovers, turn, unregister
from agent.store.git.objects import Commit

_MOST_BYTES = 2**29  # all files of one commit together
_MOST_FILES = 10_000
_MOST_MESSAGE = 2**20


class TrialRepo:
    """A bare repository with a tag for every trial and, for every run, a branch of its kept trials."""

    def __init__(self, path: Path) -> None:
        """Open the repository at `path`; make it if it does not exist.

        Raises:
            MissingRequirementError: there is no git program.
            RepoError: `path` is not a git repository.
        """
        self.path = path.resolve()
        self._git = GitFolder(self.path)
        self._written: set[str] = set()
        if not self.path.exists():
            self._found()
        elif not (self.path / "objects").is_dir():
            raise RepoError(f"{self.path} is not a git repository; move it away, or give another --runs DIR")

    @classmethod
    def containing(cls, path: Path) -> "TrialRepo | None":
        """Return the repository that `path` is or is inside of, e.g. a clone; None if there is none."""
        if not path.is_dir():
            return None
        folder = folder_of(path.resolve())
        return None if folder is None else cls(folder)

    def branch(self, run_id: str) -> str | None:
        """Return the hash of the run's branch or, in a clone, of that of `origin`; None if there is neither."""
        return self._resolve(f"refs/heads/{run_id}") or self._resolve(f"refs/remotes/origin/{run_id}")

    def tag(self, run_id: str, number: int) -> str | None:
        """Return the hash of a trial's commit; None if there is none."""
        return self._resolve(_tag(run_id, number))

    def champion(self, run_id: str) -> str | None:
        """Return the hash of the champion's commit; None if the run has confirmed no gain."""
        return self._resolve(f"refs/tags/{run_id}/champion")

    def tags(self, run_id: str) -> dict[int, str]:
        """Return the hashes of all trial commits of a run, by trial number."""
        # Reads git's own ref files: running git would take longer than the rest of a command that only reads.
        prefix = f"refs/tags/{run_id}/"
        found = {}
        packed = self.path / "packed-refs"
        for line in _ref_lines(packed, MOST_REF_BYTES) if packed.exists() else ():
            sha, _, name = line.partition(" ")
            if name.startswith(prefix) and name.removeprefix(prefix).isdigit():
                found[int(name.removeprefix(prefix))] = sha
        folder = self.path / prefix
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name.isdigit():  # not a lock file or the champion
                found[int(path.name)] = "".join(_ref_lines(path, 200))
        for number, sha in found.items():
            if not re.fullmatch(r"[0-9a-f]{40}", sha):
                raise RepoError(f"tag {_tag(run_id, number)} in {self.path} is not a commit: restore it from a backup")
        return found

    def run_ids(self) -> set[str]:
        """Return the names of all runs that have a tag, also of those whose folders are gone."""
        packed, folder = self.path / "packed-refs", self.path / "refs" / "tags"
        lines = _ref_lines(packed, MOST_REF_BYTES) if packed.exists() else []
        tags = (line.partition(" refs/tags/")[2] for line in lines)
        folders = folder.iterdir() if folder.is_dir() else ()
        loose = (path.name for path in folders if path.is_dir() and any(path.iterdir()))
        return {*(tag.partition("/")[0] for tag in tags if "/" in tag), *loose}

    def baselines(self) -> list[str]:
        """Return the tags of all trials 0, which identify the runs in a clone."""
        return self.run(["for-each-ref", "--format=%(refname)", "refs/tags/*/0000"]).split()

    def record(self, run_id: str, number: int, commit: Commit, advance: bool) -> str:
        """Make the commit of a trial and its tag, advance the branch to it if `advance`, and return the hash.

        Both refs change in one transaction. A second call changes nothing.
        """
        self._store(commit)
        updates = [f"update {_tag(run_id, number)} {commit.sha}"]
        if advance:
            updates.append(f"update refs/heads/{run_id} {commit.sha}")
        self._change(["update-ref", "--stdin"], "\n".join(["start", *updates, "commit", ""]).encode())
        return commit.sha

    def recover(self, run_id: str, worktree: Path) -> list[Path]:
        """Remove leftovers of this run's killed git commands; return the lock files among them."""
        with turn(self.path):
            return remove_leftovers(self.path, run_id, worktree)

    def point(self, run_id: str, incumbent: int, champion: int) -> None:
        """Move the run's branch to the incumbent's commit and the tag RUN/champion to the champion's.

        Until a trial is confirmed, the champion is trial 0 and there is no such tag.
        """
        updates = [f"update refs/heads/{run_id} {self.find(_tag(run_id, incumbent))}"]
        if champion != 0:
            updates.append(f"update refs/tags/{run_id}/champion {self.find(_tag(run_id, champion))}")
        self._change(["update-ref", "--stdin"], "\n".join(["start", *updates, "commit", ""]).encode())

    def find(self, revision: str) -> str:
        """Return the full hash of the commit that `revision` names. Raises RepoError if there is none."""
        sha = self._resolve(revision)
        if sha is None:
            raise RepoError(f"there is no commit {revision!r} in {self.path}; `agent log` lists the trials")
        return sha

    def read(self, revision: str) -> dict[str, bytes]:
        """Return the files of a commit by path. Raises RepoError if there is no such commit."""
        sha = self.find(revision)
        listed = self.run(["ls-tree", "-r", "-l", "-z", sha]).split("\0")
        entries = [(about.split(), path) for about, path in (entry.split("\t", 1) for entry in listed if entry)]
        sizes = [int(size) if size.isdigit() else 0 for (_, _, _, size), _ in entries]
        if sum(sizes) > _MOST_BYTES or len(entries) > _MOST_FILES:
            raise RepoError(
                f"commit {sha[:7]} in {self.path} has {len(entries)} files of {sum(sizes) / 2**20:.0f} MiB, "
                f"more than any run commits: at most {_MOST_FILES} and {_MOST_BYTES / 2**20:g} MiB are read"
            )
        return {
            path: self._git.run(["cat-file", "blob", blob]) for (_, kind, blob, _), path in entries if kind == "blob"
        }

    def chain(self, revision: str) -> list[str]:
        """Return the hashes from the first commit, a baseline, to `revision`, each the parent of the next."""
        return self.run(["rev-list", "--first-parent", "--reverse", self.find(revision)]).split()

    def parents(self, revision: str) -> list[str]:
        """Return the hashes of a commit's parents."""
        return self.run(["rev-list", "--parents", "-1", self.find(revision)]).split()[1:]

    def problems(self) -> list[str]:
        """Return the faults that git finds in the objects and refs of all runs, one line each."""
        try:
            self.run(["fsck", "--no-dangling", "--no-progress"])
        except GitError as error:
            return error.printed.splitlines()
        return []

    def message(self, revision: str) -> str:
        """Return the message of a commit, including trailers."""
        sha = self.find(revision)
        if int(self.run(["cat-file", "-s", sha])) > _MOST_MESSAGE:
            raise RepoError(f"the message of commit {sha[:7]} in {self.path} is longer than any message of a run")
        return self.run(["log", "-1", "--format=%B", sha])

    def diff(self, old: str, new: str) -> str:
        """Return the unified diff between two commits."""
        return self.run(["diff", "--no-color", "--no-ext-diff", "--no-textconv", self.find(old), self.find(new)])

    def graph(self, run_id: str, n_commits: int) -> str:
        """Return `git log --graph` of the trials of a run, newest first."""
        shown = [f"--decorate-refs=refs/tags/{run_id}", f"--decorate-refs=refs/heads/{run_id}"]
        # RUN/minimal, a tag of versions up to 2026-11-22, is not a trial.
        which = [f"--exclude=refs/tags/{run_id}/minimal", f"--glob=refs/tags/{run_id}/*"]
        return self.run(["log", "--graph", "--format=%h%d %s", f"-{n_commits}", *shown, *which])

    def remove(self, run_id: str, worktree: Path) -> None:
        """Remove the branch, the tags and the registered worktree of a run, and objects that no ref needs any more.

        Call it with the run locked. Objects of the last hour stay: another run may be about to make a ref to them.
        """
        found = self.run(["for-each-ref", "--format=%(refname)", f"refs/heads/{run_id}", f"refs/tags/{run_id}"]).split()
        updates = [f"delete {ref}" for ref in found]
        with turn(self.path) as held:
            remove_leftovers(self.path, run_id, worktree)
            for folder in registered(self.path, worktree):
                unregister(folder)
            commands = "\n".join(["start", *updates, "commit", ""])
            self._git.run(["update-ref", "--stdin"], commands.encode(), held)
            self._git.run(["prune", "--expire=1.hour.ago"], held=held)

    def check_out(self, run_id: str, worktree: Path) -> None:
        """Check out the run's branch, as it is now, in `worktree`, whatever was there before."""
        with turn(self.path) as held:
            if not is_worktree_of(self.path, worktree):
                shutil.rmtree(worktree, ignore_errors=True)
                for folder in registered(self.path, worktree):
                    unregister(folder)
                register(self.path, worktree, run_id)
            self._git.run_in(worktree, ["reset", "--quiet", "--hard", f"refs/heads/{run_id}"], held)
            self._git.run_in(worktree, ["clean", "-ffdxq"], held)

    def pack_refs(self) -> None:
        """Pack loose refs into one file, so that listing thousands of trials stays fast."""
        self._change(["pack-refs", "--all"])

    def _found(self) -> None:
        """Make the repository, in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with turn(self.path) as held:
            if self.path.exists():
                return  # another run made it first
            temporary = self.path.with_name(self.path.name + ".new")
            shutil.rmtree(temporary, ignore_errors=True)
            argv = ["init", "--quiet", "--bare", "--template=", "--initial-branch=none", str(temporary)]
            run_git(argv, held=held, runs=self.path.parent)
            (temporary / "config").write_text(CONFIG, encoding="utf-8")
            temporary.rename(self.path)

    def _store(self, commit: Commit) -> None:
        """Store those objects of a commit that this process has not stored yet."""
        for made in commit.objects:
            if made.sha not in self._written:
                self._change(["hash-object", "-w", "-t", made.kind, "--stdin"], made.data)
                self._written.add(made.sha)

    def _resolve(self, revision: str) -> str | None:
        if not re.fullmatch(r"[\w./@^~-]+", revision) or revision.startswith("-"):
            return None
        try:
            return self.run(["rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]).strip()
        except RepoError:
            return None

    def run(self, argv: list[str]) -> str:
        """Run a git command that only reads, and return its output. Raises as `GitFolder.run` does."""
        return self._git.run(argv).decode(errors="replace")

    def _change(self, argv: list[str], stdin: bytes = b"") -> None:
        """Run a git command that writes, while holding the lock."""
        with turn(self.path) as held:
            self._git.run(argv, stdin, held)


def _ref_lines(path: Path, most_bytes: int) -> list[str]:
    return read_bytes(path, most_bytes).decode(errors="replace").splitlines()


def trailers(message: str) -> dict[str, str]:
    """Return the trailers of a commit message."""
    block = message.strip().rpartition("\n\n")[2]
    pairs = (line.partition(": ") for line in block.split("\n"))
    return {name: value for name, colon, value in pairs if colon and re.fullmatch(r"[A-Z][A-Za-z-]*", name)}


def _tag(run_id: str, number: int) -> str:
    return f"refs/tags/{run_id}/{number:04d}"
