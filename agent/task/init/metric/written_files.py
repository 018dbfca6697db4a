"""The metrics that a script writes into a file of rows: JSON lines, JSON documents, CSV."""

import ast
from collections.abc import Container, Iterator
from pathlib import PurePosixPath

from agent.task.init.metric.frameworks import logged_names
from agent.task.init.metric.labels import Report, label_of
from agent.task.init.metric.scopes import Scopes, last_name
from agent.task.score_kinds import METRIC_FILES

_OPENERS = frozenset({"open", "fopen", "Path"})


def written_values(scopes: Scopes, dead: Container[ast.AST]) -> Iterator[Report]:
    """Yield the values with a known label that the file writes into a .jsonl, .json or .csv whose name it states."""
    for node in ast.walk(scopes.tree):
        if not isinstance(node, ast.Call) or node in dead:
            continue
        for file, keys in _written(node, scopes):
            path = PurePosixPath(file)
            if path.suffix.lower() not in METRIC_FILES or ".." in path.parts:
                continue
            for key in keys:
                label = label_of(f"{key}: ", "")
                if label is not None and label.split != "train":
                    yield Report(label, node, file=file, key=key)


def _written(call: ast.Call, scopes: Scopes) -> Iterator[tuple[str, list[str]]]:
    """Yield the files that a call writes to, each with the keys of the row."""
    name, base = last_name(call.func), call.func.value if isinstance(call.func, ast.Attribute) else None
    first = call.args[0] if call.args else None
    match name:
        case "DictWriter" if first is not None:
            fields = next((word.value for word in call.keywords if word.arg == "fieldnames"), None)
            names = fields or (call.args[1] if len(call.args) > 1 else None)
            yield from _pairs(_file(first, scopes), _names(names, scopes))
        case "writerow" if base is not None and first is not None:
            made = _resolved(base, scopes)
            if isinstance(made, ast.Call) and last_name(made.func) == "writer" and made.args:
                yield from _pairs(_file(made.args[0], scopes), _names(first, scopes))
        case "dump" if len(call.args) > 1:
            yield from _pairs(_file(call.args[1], scopes), _keys(call.args[0], scopes))
        case "write" | "write_text" if base is not None and first is not None:
            yield from _pairs(_file(base, scopes), _dumped(first, scopes))
        case "print" if first is not None:
            stream = next((word.value for word in call.keywords if word.arg == "file"), None)
            if stream is not None:
                yield from _pairs(_file(stream, scopes), _dumped(first, scopes))
        case "CSVLogger":
            given = {word.arg: word.value for word in call.keywords}
            folder = _text(given.get("save_dir", first), scopes)
            version = _text(given.get("version"), scopes) or "version_0"
            title = _text(given.get("name", call.args[1] if len(call.args) > 1 else None), scopes) or "lightning_logs"
            if folder is not None:
                path = PurePosixPath(folder) / title / version / "metrics.csv"
                yield str(path), [key for key, _ in logged_names(scopes)]


def _pairs(file: str | None, keys: list[str]) -> Iterator[tuple[str, list[str]]]:
    if file is not None and keys:
        yield file, keys


def _dumped(node: ast.expr, scopes: Scopes) -> list[str]:
    """Return the keys of the dict in `json.dumps(row)`, to which an end of line may be added."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and last_name(part.func) == "dumps" and part.args:
            return _keys(part.args[0], scopes)
    return []


def _keys(node: ast.expr, scopes: Scopes) -> list[str]:
    found = _resolved(node, scopes)
    if isinstance(found, ast.Call) and last_name(found.func) == "dict":
        return [word.arg for word in found.keywords if word.arg]
    if not isinstance(found, ast.Dict):
        return []
    keys: list[str] = []
    for key, value in zip(found.keys, found.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            inner = _keys(value, scopes) if isinstance(value, ast.Dict) else []
            keys += [f"{key.value}.{name}" for name in inner] or [key.value]
    return keys


def _names(node: ast.expr | None, scopes: Scopes) -> list[str]:
    """Return the words of a list."""
    found = _resolved(node, scopes) if node is not None else None
    if not isinstance(found, ast.List | ast.Tuple):
        return []
    return [one.value for one in found.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def _file(node: ast.expr, scopes: Scopes) -> str | None:
    """Return the name of the file that an expression has opened or names; None if the text does not say it."""
    made: ast.AST | None = node
    if isinstance(node, ast.Name):
        bound = scopes.binding(node.id, node)
        if isinstance(bound, ast.With):
            items = [item for item in bound.items if isinstance(item.optional_vars, ast.Name)]
            made = next((i.context_expr for i in items if getattr(i.optional_vars, "id", "") == node.id), None)
        else:
            made = scopes.value(node.id, node)
    if isinstance(made, ast.Call) and last_name(made.func) in _OPENERS:
        if isinstance(made.func, ast.Attribute) and last_name(made.func.value) not in (
            "io",
            "gzip",
            "codecs",
            "fsspec",
        ):
            return _text(made.func.value, scopes)  # path.open("w")
        return _text(made.args[0], scopes) if made.args else None
    return _text(made, scopes) if isinstance(made, ast.expr) else None


def _text(node: ast.expr | None, scopes: Scopes) -> str | None:
    """Return the path that an expression is, as far as it is made of words in the file."""
    found = _resolved(node, scopes) if node is not None else None
    match found:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([left, right], scopes)
        case ast.Call(func=func, args=args) if args and last_name(func) in ("join", "Path", "str"):
            return _joined(args, scopes)
        case ast.JoinedStr(values=values):
            parts = [_text(one.value if isinstance(one, ast.FormattedValue) else one, scopes) for one in values]
            return None if None in parts else "".join(filter(None, parts))
    return None


def _joined(nodes: list[ast.expr], scopes: Scopes) -> str | None:
    parts = [_text(node, scopes) for node in nodes]
    return None if None in parts else str(PurePosixPath(*filter(None, parts)))


def _resolved(node: ast.expr, scopes: Scopes) -> ast.expr:
    """Return the expression that a name stands for; other expressions are unchanged."""
    for _ in range(4):
        value = scopes.value(node.id, node) if isinstance(node, ast.Name) else None
        if value is None:
            break
        node = value
    return node
