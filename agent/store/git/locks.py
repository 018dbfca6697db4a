"""Locks of the repository that all runs share: git commands take turns, and leftovers of killed ones are removed."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.files import plain_file, read_text


@contextmanager
def turn(repo: Path) -> Iterator[int]:
    """Wait until no other process changes `repo`; yield a descriptor that the git command must inherit.

    Whichever process has the descriptor holds the lock, so that a git command that outlives its parent keeps it.
    """
    fd = os.open(plain_file(repo.with_name(f"{repo.name}.lock")), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def remove_leftovers(repo: Path, run_id: str, worktree: Path) -> list[Path]:
    """Remove the lock files and incomplete worktrees of killed commands; return the lock files.

    Call it within `turn` and with the run locked: then no live command can own them. The refs and worktrees of other
    runs are not touched.
    """
    tags = repo / "refs" / "tags" / run_id
    locks = [
        *(repo / name for name in ("packed-refs.lock", "packed-refs.new", "HEAD.lock", "config.lock")),
        repo / "refs" / "heads" / f"{run_id}.lock",
        *(tags.glob("*.lock") if tags.is_dir() else ()),
    ]
    for folder in registered(repo, worktree):
        if not (folder / "index").exists() or not (folder / "HEAD").exists():
            unregister(folder)  # `git worktree add` did not finish
        else:
            locks += folder.glob("*.lock")
    found = [path for path in locks if path.exists()]
    for path in found:
        path.unlink()
    return found


def registered(repo: Path, worktree: Path) -> list[Path]:
    """Return the folders in which `repo` registers `worktree`, and those that register no worktree."""
    folders = repo / "worktrees"
    return [
        folder
        for folder in (sorted(folders.iterdir()) if folders.is_dir() else ())
        if _text(folder / "gitdir") in ("", str(worktree.resolve() / ".git"))
    ]


def unregister(folder: Path) -> None:
    """Remove a folder that `registered` returned; a link or file in its place is removed itself."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink()


def register(repo: Path, worktree: Path, branch: str) -> None:
    """Make an empty worktree of `repo` on a branch, as `git worktree add --no-checkout` does. Call it within `turn`."""
    folder, n = repo / "worktrees" / "worktree", 0
    while folder.exists():
        n += 1
        folder = folder.with_name(f"worktree{n}")
    folder.mkdir(parents=True)
    (folder / "gitdir").write_text(f"{worktree.resolve() / '.git'}\n", encoding="utf-8")
    (folder / "commondir").write_text("../..\n", encoding="utf-8")
    (folder / "HEAD").write_text(f"ref: refs/heads/{branch}\n", encoding="utf-8")
    worktree.mkdir(parents=True)
    (worktree / ".git").write_text(f"gitdir: {folder}\n", encoding="utf-8")


def is_worktree_of(repo: Path, worktree: Path) -> bool:
    """Whether `worktree` and `repo` point at each other; not if one was moved, or copied without the other."""
    named = _text(worktree / ".git").removeprefix("gitdir: ")
    return bool(named) and Path(named) in registered(repo, worktree)


def _text(path: Path) -> str:
    try:
        return read_text(path, 2**16).strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
