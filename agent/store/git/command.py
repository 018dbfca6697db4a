"""Git commands that ignore all settings: the user's, and those of the repository that is read.

A stranger's repository can name programs in its configuration, attributes and hooks, other repositories in its
alternates, and other objects in its replace refs. So git never opens it directly: it opens a temporary folder with our
own configuration and with links to the repository's objects and refs.
"""

import errno
import os
import re
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from agent.errors import MissingRequirementError, RepoError, UnsafeFileError
from agent.files import plain_file, plain_folder, read_bytes, refuse_larger, refuse_unsafe
from agent.text import hidden_in

# Git reads neither the user's nor the machine's configuration; `cli` has removed the caller's GIT_* variables.
_NO_CONFIG = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}
_OPTIONS = [
    *("-c", "safe.directory=*"),
    *("-c", "core.autocrlf=false"),
    *("-c", "core.symlinks=false"),
    *("-c", "core.attributesFile=/dev/null"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "log.showSignature=false"),
]
CONFIG = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogallrefupdates = false
\tfsync = all
[gc]
\tauto = 0
"""
_SHARED = ("objects", "refs", "packed-refs", "shallow")  # a repository's content, without its settings
MOST_REF_BYTES = 2**26
"""Largest size of the file with all refs, in bytes: a million tags."""
_MOST_BYTES_OF_A_REF = 2**10
_LITTLE_SPACE = 2**16  # bytes: more than git writes at a time for the files of a task
_ALTERNATES = ("objects/info/alternates", "objects/info/http-alternates")


class GitError(RepoError):
    """A git command failed. The message is one line; `printed` is its whole output."""

    def __init__(self, message: str, printed: str) -> None:
        super().__init__(message)
        self.printed = printed


class GitFolder:
    """A bare repository or a .git folder, of which git commands see only objects and refs."""

    def __init__(self, path: Path) -> None:
        """`path`: an existing repository; all links in the path are resolved."""
        self.path = path

    def run(self, argv: list[str], stdin: bytes = b"", held: int | None = None) -> bytes:
        """Run git on the repository, and return its output; the process inherits `held`, from `git_locks.turn`.

        Raises:
            UnsafeFileError: it contains links, FIFOs or devices, or takes objects from another repository.
            MissingRequirementError, RepoError: as for `run_git`.
        """
        view = self._view.name
        try:
            return run_git(argv, stdin, {"GIT_DIR": view}, held, self.path)
        except GitError as error:
            raise GitError(*(text.replace(view, str(self.path)) for text in (str(error), error.printed))) from error

    def run_in(self, worktree: Path, argv: list[str], held: int) -> None:
        """Run git in a worktree that the repository has registered. Raises as `run` does."""
        registered = Path((worktree / ".git").read_text(encoding="utf-8").strip().removeprefix("gitdir: "))
        places = {"GIT_DIR": str(registered), "GIT_COMMON_DIR": self._view.name, "GIT_WORK_TREE": str(worktree)}
        run_git(["-C", str(worktree), "-c", "core.bare=false", *argv], b"", places, held, self.path)

    @cached_property
    def _view(self) -> "tempfile.TemporaryDirectory[str]":
        """The temporary folder that git opens; it is removed with this object."""
        for name in ("objects", "refs", "worktrees"):
            refuse_unsafe(self.path / name)
        for name in ("packed-refs", "shallow"):  # git reads them whole
            refuse_larger(self.path / name, MOST_REF_BYTES)
        for place, _, names in os.walk(self.path / "refs"):
            for name in names:
                refuse_larger(Path(place, name), _MOST_BYTES_OF_A_REF)
        for name in _ALTERNATES:
            if (self.path / name).exists():
                raise UnsafeFileError(
                    f"{self.path / name} lets this repository take objects from another one, which is not allowed; "
                    "clone it again without --shared and --reference"
                )
        view = tempfile.TemporaryDirectory()
        folder = Path(view.name)
        (folder / "HEAD").write_text(_head_of(self.path), encoding="utf-8")
        (folder / "config").write_text(CONFIG, encoding="utf-8")
        for name in _SHARED:
            if name != "shallow" or (self.path / name).exists():
                (folder / name).symlink_to(self.path / name)
        return view


def _head_of(repo: Path) -> str:
    """Return the content of a repository's HEAD if it is a branch or a commit; else a branch that does not exist."""
    try:
        head = read_bytes(repo / "HEAD", 2**10).decode(errors="replace").strip()
    except FileNotFoundError:
        head = ""
    return (
        f"{head if re.fullmatch(r'ref: refs/heads/[A-Za-z0-9._/-]+|[0-9a-f]{40}', head) else 'ref: refs/heads/none'}\n"
    )


def is_branch_name(name: str) -> bool:
    """Whether git accepts a name for a branch; the name must also suit a file and an argument."""
    parts = name.split("/")
    is_odd = re.search(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{", name) or hidden_in(name) or name in ("HEAD", "@")
    return not is_odd and not any(
        part == "" or part.startswith((".", "-")) or part.endswith((".", ".lock", ".git")) for part in parts
    )


def folder_of(path: Path) -> Path | None:
    """Return the repository that a folder is, contains or is inside of, as git would find it; None if there is none.

    Git itself is not used, since it would read the configuration there.
    """
    for place in (path, *path.parents):
        named = place / ".git"
        for found in (_led_to(named), place):
            if found is not None and (found / "HEAD").is_file() and (found / "objects").is_dir():
                return found
    return None


def _led_to(named: Path) -> Path | None:
    """Return the repository that `.git` is or, in a worktree or a submodule, points to; None if it is neither."""
    if named.is_dir():
        return plain_folder(named)
    if not named.is_file():
        return None
    target = named.parent / plain_file(named).read_bytes()[:4096].decode(errors="replace").strip().removeprefix(
        "gitdir: "
    )
    common = target / "commondir"
    shared = plain_file(common).read_bytes()[:4096].decode(errors="replace").strip() if common.is_file() else "."
    return (target / shared).resolve()


def run_git(
    argv: list[str],
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    held: int | None = None,
    runs: Path | None = None,
) -> bytes:
    """Run git without the user's settings and hooks, and return its output.

    Git opens a repository named in `argv` with its own configuration, so name only one of this program or its user.

    Args:
        runs: an existing folder on the disk of runs, if the command writes there: the message says when it is full.

    Raises:
        MissingRequirementError: there is no git program.
        RepoError: git failed; the message has its output.
    """
    try:
        import git
    except ImportError as error:  # GitPython raises it at import if there is no git program
        raise MissingRequirementError("git is missing: install it, e.g. `apt install git`") from error
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        try:
            output = git.Git().execute(
                ["git", *_OPTIONS, *argv],
                istream=given,
                env={**_NO_CONFIG, **(env or {})},
                pass_fds=() if held is None else (held,),
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except git.GitCommandNotFound as error:
            raise MissingRequirementError("git is missing: install it, e.g. `apt install git`") from error
        except git.GitCommandError as error:
            printed = str(error.stderr).strip().removeprefix("stderr: ").strip("' \n") or f"exit status {error.status}"
            lines = printed.splitlines()
            why = next((line for line in lines if line.startswith("fatal: ")), lines[0])
            command = next(word for word in argv if not word.startswith(("-", "/")) and "=" not in word)
            remedy = "; make room and continue with `agent resume`" if runs and _is_full(runs, printed) else ""
            raise GitError(f"git {command} failed: {why}{remedy}", printed) from error
    assert isinstance(output, bytes)
    return output


def _is_full(folder: Path, printed: str) -> bool:
    """Whether a git command failed because the disk of `folder` is full, which its output often does not say."""
    if any(os.strerror(number) in printed for number in (errno.ENOSPC, errno.EDQUOT)):
        return True
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < _LITTLE_SPACE
