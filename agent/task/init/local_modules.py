"""The modules of a folder that a script imports, and how the script must be started so that Python finds them."""

import ast
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.task.init.python_file import Source, is_file, read_source

_SOURCE_ROOTS = ("src", "lib")  # from which an installed package is often taken


@dataclass(frozen=True)
class LocalModules:
    """The files of a folder that a script imports, directly or indirectly."""

    files: Mapping[str, tuple[Source, str]]  # by path below the folder, each with the place of its import
    roots: tuple[str, ...]  # folders that Python must search besides the script's own, "." for the top
    found_from: Mapping[str, str]  # by path: the folder from which Python finds it
    names: frozenset[str]  # top-level names that are imported from the folder
    module: str | None = None  # the script's own name if it is part of a package, as in `python -m pkg.train`

    def sources(self) -> list[tuple[Source, str]]:
        """Return the files that are Python source, in the order in which the imports were found."""
        return list(self.files.values())

    @property
    def packages(self) -> dict[str, str]:
        """The outermost folder of each package that is imported, with the place of the first import."""
        found: dict[str, str] = {}
        for name, (_, where) in self.files.items():
            root = self.found_from.get(name, ".")
            below = posixpath.relpath(name, root)
            if "/" in below and not below.startswith("../"):
                found.setdefault(posixpath.normpath(posixpath.join(root, below.partition("/")[0])), where)
        return found


def find_modules(folder: Path, script: Source) -> LocalModules:
    """Return the modules of `folder` that `script` imports.

    As in Python, names are looked up beside the script; then in the folder and its `src`, which are on Python's path
    if the script is started with `-m`, is installed, or extends sys.path. Packages include their `__init__.py`.
    """
    beside = posixpath.dirname(script.name) or "."
    in_package = any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(script.tree))
    top = "." if beside != "." and not in_package else None
    wanted = dict.fromkeys((*_added_to_path(script.tree, beside), ".", *_SOURCE_ROOTS))
    others = [root for root in wanted if root != beside and (folder / root).is_dir()]
    places = [beside, *others] if not in_package else others or [beside]
    found: dict[str, tuple[Source, str]] = {}
    found_from: dict[str, str] = {}
    used: set[str] = set()
    outermost = max((place for place in others if _holds(place, beside)), key=len, default=beside)
    names: set[str] = set()
    todo = [script]
    if in_package or (folder / beside / "__init__.py").is_file():
        todo += _initial(folder, beside, found)
        found_from |= dict.fromkeys(found, outermost)
    while todo:
        source = todo.pop(0)
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for root, name in _files(folder, places, posixpath.dirname(source.name), node):
                if root is not None:
                    used.add(root)
                    names.add(posixpath.relpath(name, root).partition("/")[0].removesuffix(".py"))
                if name not in found and name != script.name:
                    found_from[name] = root if root is not None else found_from.get(source.name, outermost)
                    found[name] = read_source(folder, name), source.at(node)
                    todo.append(found[name][0])
    if in_package and beside == ".":
        raise UsageError(
            f"{folder / script.name} imports relative to its package: give the folder above, with --script "
            f"{folder.resolve().name}/{script.name}"
        )
    dotted = posixpath.splitext(script.name)[0].replace("/", ".")
    is_module = in_package or (
        top in used and beside not in used and (folder / beside / "__init__.py").is_file() and _is_dotted(dotted)
    )
    roots = tuple(sorted(used - {beside} - ({"."} if is_module else set())))
    return LocalModules(found, roots, found_from, frozenset(names), dotted if is_module else None)


def _added_to_path(tree: ast.Module, beside: str) -> Iterator[str]:
    """Yield the folders that a script names when it extends sys.path, as seen from the top and from the script."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.path.append", "sys.path.insert")):
            continue
        for word in ast.walk(node):
            if isinstance(word, ast.Constant) and isinstance(word.value, str) and not word.value.startswith("/"):
                for start in (".", beside):
                    path = posixpath.normpath(posixpath.join(start, word.value))
                    if not path.startswith("..") and "\0" not in path:
                        yield path


def _holds(place: str, folder: str) -> bool:
    return place == "." or folder.startswith(f"{place}/")


def _initial(folder: Path, beside: str, found: dict[str, tuple[Source, str]]) -> Iterator[Source]:
    """Yield the `__init__.py` of the package that a script is part of, and of the packages around it."""
    parts = [part for part in beside.split("/") if part != "."]
    for n in range(1, len(parts) + 1):
        name = "/".join([*parts[:n], "__init__.py"])
        if (folder / name).is_file():
            source = read_source(folder, name)
            found[name] = source, "the package of the script"
            yield source


def _files(
    folder: Path, places: list[str], own: str, node: ast.Import | ast.ImportFrom
) -> Iterator[tuple[str | None, str]]:
    """Yield (root, file below `folder`) for each file that an import statement reads; relative imports have no root."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _first(folder, places, [alias.name])
        return
    module = node.module or ""
    dotted = [module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)]
    if not node.level:
        yield from _first(folder, places, dotted)
        return
    start = posixpath.normpath(posixpath.join(own or ".", *[".."] * (node.level - 1)))
    if not start.startswith(".."):
        for name in dotted:
            yield from ((None, file) for file in _of(folder, start, name))


def _first(folder: Path, places: list[str], dotted: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of the names in the first place that has any of them."""
    for place in places:
        found = [file for name in dotted for file in _of(folder, place, name)]
        if found:
            yield from ((place, file) for file in found)
            return


def _of(folder: Path, start: str, dotted: str) -> Iterator[str]:
    at = start
    if not dotted and is_file(folder / start / "__init__.py"):
        yield posixpath.normpath(f"{start}/__init__.py")
    for part in dotted.split(".") if dotted else ():
        at = posixpath.join(at, part)
        for file in (f"{at}/__init__.py", f"{at}.py"):
            if is_file(folder / file):
                yield posixpath.normpath(file)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
