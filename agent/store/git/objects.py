"""Git objects and their hashes, computed without git.

So a commit that exists already needs no process, and a commit can be checked against the journal without making it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

AUTHOR = ("autocentaur", "autocentaur@localhost")
_WHO = f"{AUTHOR[0]} <{AUTHOR[1]}>"


@dataclass(frozen=True)
class Commit:
    """A commit; equal values always give the same hash."""

    files: Mapping[str, bytes]  # path in the tree → content
    message: str
    parent: str | None  # hash
    at: str  # ISO 8601 with a zone

    @cached_property
    def objects(self) -> "tuple[GitObject, ...]":
        """All objects that git must store for the commit, each after those it refers to; the commit itself is last."""
        *below, tree = _tree(self.files)
        seconds = int(datetime.fromisoformat(self.at).timestamp())
        parent = f"parent {self.parent}\n" if self.parent else ""
        who = f"author {_WHO} {seconds} +0000\ncommitter {_WHO} {seconds} +0000\n"
        text = f"tree {tree.sha}\n{parent}{who}\n{self.message}"
        return *below, tree, GitObject("commit", text.encode())

    @property
    def sha(self) -> str:
        """The commit's hash, whether it exists or not."""
        return self.objects[-1].sha


@dataclass(frozen=True)
class GitObject:
    """A blob, a tree or a commit."""

    kind: str
    data: bytes

    @cached_property
    def sha(self) -> str:
        header = f"{self.kind} {len(self.data)}\0".encode()
        return hashlib.sha1(header + self.data, usedforsecurity=False).hexdigest()


def _tree(files: Mapping[str, bytes]) -> list[GitObject]:
    """Return the blobs and trees of a folder; the tree of the folder itself is last."""
    inner: dict[str, dict[str, bytes]] = {}
    entries: list[tuple[str, str, str]] = []  # git sorts folders with a slash after their name
    objects = []
    for path, data in files.items():
        folder, slash, rest = path.partition("/")
        if slash:
            inner.setdefault(folder, {})[rest] = data
        else:
            objects.append(GitObject("blob", data))
            entries.append((path, "100644", objects[-1].sha))
    for folder, content in inner.items():
        objects += _tree(content)
        entries.append((f"{folder}/", "40000", objects[-1].sha))
    lines = (f"{mode} {name.rstrip('/')}\0".encode() + bytes.fromhex(sha) for name, mode, sha in sorted(entries))
    return [*objects, GitObject("tree", b"".join(lines))]
