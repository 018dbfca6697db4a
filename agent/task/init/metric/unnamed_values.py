"""Metrics that a script prints without their names, in columns of a table, so that no text of the log finds them."""

import ast
from collections.abc import Iterator

from agent.task.init.metric.labels import label_of
from agent.task.init.metric.meters import held_out_meters
from agent.task.init.metric.printing_calls import is_printer
from agent.task.init.metric.scopes import Scopes, last_name
from agent.task.init.python_file import Source

_TABLES = frozenset({"tabulate", "add_row", "append", "writerow"})


def line_to_add(source: Source) -> str:
    """Return the place where a script shows a metric of held-out data without its name, and the line to add there.

    Empty if there is no such place.
    """
    scopes = Scopes(source.tree)
    for call, name, value in _shown(scopes):
        function = scopes.function(call)
        label = label_of(f"{name}: ", "", function.name if function else "")
        if label is not None and label.goal is not None and label.split in ("val", "test"):
            added = f"print(f{_quoted(f'{label.name}: {{{value}:.6f}}')})"
            return f"{source.at(call)} shows {value} without its name; add its name, too: {added}"
    return ""


def _shown(scopes: Scopes) -> Iterator[tuple[ast.Call, str, str]]:
    """Yield calls that print or fill a table, each with the name and the expression of a number in it."""
    calls = [node for node in ast.walk(scopes.tree) if isinstance(node, ast.Call)]
    for call in calls:
        if is_printer(call) or last_name(call.func) in _TABLES:
            for node in (inner for argument in call.args for inner in ast.walk(argument)):  # outer ones first
                if name := _name_of(node):
                    yield call, name, ast.unparse(node)
    for call, _ in held_out_meters(scopes):
        statement = scopes.statement(call)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield call, str(getattr(call.args[0], "value", "")), f"{statement.targets[0].id}.avg"


def _name_of(node: ast.AST) -> str:
    """Return the name of a number: `val_loss` of val_loss, row["val_loss"], val_loss[-1] and np.mean(val_loss)."""
    match node:
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=func, args=[ast.Name(id=name)]) if last_name(func) not in ("str", "repr", "format"):
            return name
        case ast.Subscript(value=ast.Name(id=name)) | ast.Attribute(value=ast.Name(id=name), attr="avg"):
            return name
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text else f"'{text}'"
