"""The paths that a Python file spells: literals, joins, home folders, and places relative to the file itself."""

import ast
import posixpath
from collections.abc import Iterator, Mapping

from agent.task.init.python_file import Source

FROM_TOP = "\x02"
"""First character of a path that is relative to the top folder, since it is made from `__file__`."""


def paths_by_name(source: Source) -> dict[str, str]:
    """Return the paths that a file assigns to names at module level, by name."""
    names: dict[str, str] = {}
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                text = path_of(value, source, names)
                if text is not None:
                    names[name] = text
    return names


def paths(source: Source, names: Mapping[str, str]) -> Iterator[tuple[str, ast.expr]]:
    """Yield each expression that could be a path, with the largest expression around it.

    Of a path that is completed by a name or a value, such as `os.path.join("data", name)`, also the folder that is
    known is yielded: which part of it is read may depend on options.
    """
    todo: list[ast.AST] = [source.tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.expr):
            folder = _known_folder(node, source, names)
            if folder is not None:
                yield folder, node
        text = path_of(node, source, names) if isinstance(node, ast.expr) and not isinstance(node, ast.Name) else None
        if text is not None and isinstance(node, ast.expr):
            yield text, node
        elif not isinstance(node, ast.JoinedStr):
            todo += ast.iter_child_nodes(node)


def path_of(  # noqa: PLR0911 (one return a kind of expression)
    node: ast.AST, source: Source, names: Mapping[str, str]
) -> str | None:
    """Return the path that an expression spells, with ~ for the home folder; None if it cannot be determined."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id="__file__"):
            return FROM_TOP + source.name
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=inner, attr="parent"):
            return _above(path_of(inner, source, names), 1)
        case ast.Subscript(value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(n))):
            return _above(path_of(inner, source, names), n + 1)
        case ast.Call(func=ast.Attribute(value=inner, attr="expanduser" | "resolve" | "absolute"), args=[]):
            return path_of(inner, source, names)
        case ast.Call(func=ast.Attribute(attr="home"), args=[]):
            return "~"
        case ast.Call(func=func, args=[argument]) if ast.unparse(func).endswith("path.dirname"):
            return _above(path_of(argument, source, names), 1)
        case ast.Call(func=func, args=[argument]) if ast.unparse(func).endswith(
            ("expanduser", "abspath", "realpath", "normpath", "Path")
        ):
            return path_of(argument, source, names)
        case ast.Call(func=func, args=[_, default]) if ast.unparse(func) in ("os.environ.get", "os.getenv"):
            return path_of(default, source, names)
        case ast.Call() | ast.BinOp():
            return _joined([path_of(part, source, names) for part in _parts(node)])
    return None


def _parts(node: ast.expr) -> list[ast.expr]:
    """Return the parts of a path that is joined; empty if it is something else."""
    match node:
        case ast.Call(func=ast.Attribute(value=start, attr="joinpath"), args=[_, *_] as parts):
            return [start, *parts]
        case ast.Call(func=func, args=[_, _, *_] as parts) if ast.unparse(func).endswith(("path.join", "Path")):
            return parts
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return [*(_parts(left) or [left]), right]
    return []


def _known_folder(node: ast.expr, source: Source, names: Mapping[str, str]) -> str | None:
    """Return the beginning of a path of which a later part is a name or a value; None if there is none."""
    if isinstance(node, ast.JoinedStr):
        first = node.values[0] if node.values else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and "/" in first.value:
            return first.value.rpartition("/")[0]
        return None
    parts = _parts(node)
    known: list[str | None] = []
    for part in parts:
        text = path_of(part, source, names)
        if text is None or (known and not isinstance(part, ast.Constant)):
            break
        known.append(text)
    return _joined(known) if known and len(known) < len(parts) else None


def _joined(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return posixpath.join(known[0], *(part.removeprefix(FROM_TOP) for part in known[1:]))


def _above(path: str | None, n: int) -> str | None:
    """Return the folder n levels above a path."""
    if path is None:
        return None
    mark = FROM_TOP if path.startswith(FROM_TOP) else ""
    for _ in range(min(n, 20)):
        path = posixpath.normpath(path.removeprefix(FROM_TOP) or ".")
        path = posixpath.join(path, "..") if path == "." or path.endswith("..") else posixpath.dirname(path) or "."
    return mark + posixpath.normpath(path)
