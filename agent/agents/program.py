"""Finds the program of a coding agent on this machine, and the folders that a sandbox must mount for it."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from agent.agents.headless import Program
from agent.errors import MissingRequirementError, UsageError

_INSIDE = "/agent"
_SYSTEM = (Path("/usr"), Path("/bin"), Path("/lib"))  # every sandbox shows these
_NODE = re.compile(rb"#!\s*\S*(?:env\s+)?(?:-S\s+)?node\b")


def find_program(name: str, path: str, remedy: str, private: Iterable[Path] = ()) -> Program:
    """Return the program that `name` starts on this machine.

    For an npm package the whole folder `node_modules` is mounted, with its dependencies; for any other program the
    folder that it lies in. A Node outside of the system's folders is mounted too.

    Args:
        name: a name to look up, or a path.
        path: the folders to look in, as in PATH.
        remedy: how to install it, for the error message.
        private: folders that no sandbox may show.

    Raises:
        UsageError: a folder that it needs contains a private one.
        MissingRequirementError: it is not installed, or it needs Node, which is not installed.
    """
    found = shutil.which(name, path=path)
    if found is None:
        raise MissingRequirementError(f"{name} is not on the PATH; {remedy}")
    file = Path(found).resolve()
    mounts: dict[str, Path] = {}
    inside = _shown(file, mounts)
    folders = []
    if _needs_node(file):
        node = shutil.which("node", path=path)
        if node is None:
            raise MissingRequirementError(f"{name} needs Node, which is not on the PATH; install Node 20 or later")
        folders = [str(Path(_shown(Path(node).resolve(), mounts, "node")).parent)]
    hidden = [folder.resolve() for folder in private]
    for shown in mounts.values():
        if any(folder.is_relative_to(shown) for folder in hidden):
            raise UsageError(f"the sandbox would show {shown} to {name}, with all that lies there; move the program "
                             "into a folder of its own")  # fmt: skip
    return Program(inside, mounts, tuple(folders))


def _shown(file: Path, mounts: dict[str, Path], name: str = "program") -> str:
    """Return the path of a file inside the sandbox, and add the folder that it needs to `mounts`."""
    if any(file.is_relative_to(folder) for folder in _SYSTEM):
        return str(file)
    packages = [folder for folder in file.parents if folder.name == "node_modules"]
    folder = packages[-1] if packages else file.parent
    target = f"{_INSIDE}/{'node_modules' if packages else name}"
    mounts[target] = folder
    return f"{target}/{file.relative_to(folder)}"


def _needs_node(file: Path) -> bool:
    try:
        with file.open("rb") as program:
            return _NODE.match(program.readline(200)) is not None or file.suffix in {".js", ".mjs", ".cjs"}
    except OSError as error:
        raise MissingRequirementError(f"{file} cannot be read: {os.strerror(error.errno or 0)}") from error
