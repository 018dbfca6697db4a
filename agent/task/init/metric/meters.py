"""The metrics of scripts that keep them in meters, as the ImageNet example of PyTorch: AverageMeter("Acc@1")."""

import ast
import re
from collections.abc import Container, Iterator

from agent.task.init.metric.labels import Label, Report, label_of
from agent.task.init.metric.scopes import Function, Scopes, last_name

_SUMMARY = re.compile(r"\{(self\.)?name\}(?P<sign>[:=]?)\s*\{(self\.)?avg")
"""In the code of a meter: its name, and behind it the mean over an epoch."""


def meter_reports(scopes: Scopes, dead: Container[ast.AST]) -> Iterator[Report]:
    """Yield the means of held-out data that a file prints by the `summary` of its meters."""
    printer = next((node for node in ast.walk(scopes.tree) if isinstance(node, Function) and _prints(node)), None)
    if printer is None:
        return
    calls = [node for node in ast.walk(scopes.tree) if isinstance(node, ast.Call)]
    if all(call in dead for call in calls if last_name(call.func) == printer.name):
        return
    signs = {node.name: _sign(node) for node in ast.walk(scopes.tree) if isinstance(node, ast.ClassDef)}
    for call, label in held_out_meters(scopes):
        sign = signs[last_name(call.func)]
        is_left_out = any(ast.unparse(argument).endswith(".NONE") for argument in call.args)
        if sign is not None and call not in dead and not is_left_out:
            line = f"{_first_word(printer)} {getattr(call.args[0], 'value', '')}{sign} {{}}"
            yield Report(label, printer, line.strip())


def held_out_meters(scopes: Scopes) -> Iterator[tuple[ast.Call, Label]]:
    """Yield the calls that make a meter of held-out data by a class of the file, each with its label."""
    classes = {node.name for node in ast.walk(scopes.tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(scopes.tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]) if name in classes:
                function = scopes.function(node)
                label = label_of(f"{text} ", "", function.name if function else "")
                if "meter" in name.lower() and label is not None and label.split in ("val", "test"):
                    yield node, label


def meter_code(scopes: Scopes, line: str | None) -> Iterator[ast.AST]:
    """Yield the code that reports a metric which `meter_reports` finds, by its line: classes, meters and updates."""
    reports = [report for report in meter_reports(scopes, ()) if report.line == line]
    if not reports:
        return
    meters = [call for call, _ in held_out_meters(scopes)]
    classes = {last_name(call.func) for call in meters}
    targets = [getattr(scopes.statement(call), "targets", [])[:1] for call in meters]
    names = {last_name(target) for found in targets for target in found}
    places = [scopes.function(call) for call in meters]
    yield from (report.node for report in reports)
    yield from meters
    for node in ast.walk(scopes.tree):
        match node:
            case ast.ClassDef(name=name) if name in classes:
                yield node
            case ast.Call(func=ast.Attribute(value=meter, attr="update")) if last_name(meter) in names:
                if scopes.function(node) in places:
                    yield node


def _sign(node: ast.ClassDef) -> str | None:
    """Return what the text of a meter has between name and mean, `:` or nothing; None if it has not both."""
    found = _SUMMARY.search(ast.unparse(node))
    return None if found is None else found["sign"]


def _prints(function: Function) -> bool:
    """Return whether a function prints what `summary()` of several objects returns."""
    called = [last_name(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)]
    return "summary" in called and any("print" in name or name == "info" for name in called)


def _first_word(function: Function) -> str:
    """Return the text with which a function begins a line, such as `*`; empty if it has none."""
    is_documented = ast.get_docstring(function, clean=False) is not None
    nodes = [node for statement in function.body[is_documented:] for node in ast.walk(statement)]
    texts = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    texts.sort(key=lambda node: (node.lineno, node.col_offset))
    return next((word for word in (str(node.value).strip() for node in texts) if word), "")
