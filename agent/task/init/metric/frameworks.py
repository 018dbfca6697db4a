"""The metrics that training libraries print: the Trainer of transformers, Lightning, Keras.

Their formats were read off transformers 4 and 5, Lightning 2.6 and Keras 3.
"""

import ast
from collections.abc import Container, Iterable, Iterator

from agent.task.init.metric.labels import Report, label_of, split_of
from agent.task.init.metric.scopes import Function, Scopes, last_name

_EVALUATE_KEYS: dict[str, tuple[str, ...]] = {"glue": ("accuracy", "f1"), "seqeval": ("f1", "accuracy")}
"""What some metrics of the library evaluate return; the others return one value with their own name."""
_HELD_OUT_STEPS = (
    *("validation_step", "on_validation_epoch_end", "validation_epoch_end", "test_step", "on_test_epoch_end"),
    *("_shared_eval", "_shared_eval_step", "_shared_step", "_evaluate", "shared_step", "evaluate"),
)


def framework_reports(scopes: Scopes, dead: Container[ast.AST]) -> Iterator[Report]:
    """Yield what a library prints for the file, most of it in lines of its own form."""
    calls = [node for node in ast.walk(scopes.tree) if isinstance(node, ast.Call) and node not in dead]
    yield from _transformers(calls, scopes)
    yield from _lightning(calls, scopes)
    yield from _keras(calls)


def logged_names(scopes: Scopes) -> Iterator[tuple[str, ast.Call]]:
    """Yield the names that a LightningModule logs outside of its training step, each with its call."""
    for node in ast.walk(scopes.tree):
        if not isinstance(node, ast.Call) or last_name(node.func) not in ("log", "log_dict"):
            continue
        if not isinstance(node.func, ast.Attribute) or last_name(node.func.value) != "self" or not node.args:
            continue
        first, function = node.args[0], scopes.function(node)
        if isinstance(first, ast.Name):
            first = scopes.value(first.id, first) or first
        keys = first.keys if isinstance(first, ast.Dict) else [first]
        for key in keys:
            for name in _texts(key, scopes):
                if split_of(name) in ("val", "test") or (function is not None and function.name in _HELD_OUT_STEPS):
                    yield name, node


def _transformers(calls: Iterable[ast.Call], scopes: Scopes) -> Iterator[Report]:
    trainers = [call for call in calls if last_name(call.func).endswith("Trainer") and _keyword(call, "eval_dataset")]
    if not trainers:
        return
    keys = ["loss"]
    for trainer in trainers:
        keys += _computed(_keyword(trainer, "compute_metrics"), scopes)
    for call in calls:
        name = last_name(call.func)
        strategy = _keyword(call, "eval_strategy") or _keyword(call, "evaluation_strategy")
        if strategy is not None and not (isinstance(strategy, ast.Constant) and strategy.value == "no"):
            yield from _labelled(keys, call, "'eval_{key}': {{}}")
        elif name == "log_metrics" and call.args and _is_text(call.args[0], "eval"):
            yield from _labelled(keys, call, "eval_{key} = {{}}")
        elif name == "evaluate" and _is_printed(call, scopes):
            yield from _labelled(keys, call, "'eval_{key}': {{}}")


def _labelled(keys: Iterable[str], node: ast.Call, line: str) -> Iterator[Report]:
    for key in dict.fromkeys(keys):
        label = label_of(f"eval_{key}: ", "")
        if label is not None:
            yield Report(label, node, line.format(key=key))


def _computed(function: ast.expr | None, scopes: Scopes) -> list[str]:
    """Return the names of what a function for compute_metrics returns."""
    found = scopes.functions.get(last_name(function)) if function is not None else None
    if found is None:
        return []
    keys: list[str] = []
    for node in ast.walk(found):
        if isinstance(node, ast.Return) and node.value is not None:
            value = node.value
            if isinstance(value, ast.Name):
                value = scopes.value(value.id, value) or value
            if isinstance(value, ast.Dict):
                keys += [text for key in value.keys for text in _texts(key, scopes)]
            elif isinstance(value, ast.Call) and last_name(value.func) == "compute":
                keys += computed_names(value, scopes)
    return [key.removeprefix("eval_") for key in keys]


def computed_names(call: ast.Call, scopes: Scopes) -> list[str]:
    """Return what `metric.compute(...)` returns, by the name that `metric = evaluate.load(NAME)` gives."""
    base = call.func.value if isinstance(call.func, ast.Attribute) else None
    made = scopes.value(base.id, base) if isinstance(base, ast.Name) else base
    if not isinstance(made, ast.Call) or last_name(made.func) not in ("load", "load_metric") or not made.args:
        return []
    names = list(_texts(made.args[0], scopes))
    return [key for name in names for key in _EVALUATE_KEYS.get(name, (name,))]


def _lightning(calls: Iterable[ast.Call], scopes: Scopes) -> Iterator[Report]:
    ends = {last_name(call.func): call for call in calls if last_name(call.func) in ("validate", "test")}
    for name, call in logged_names(scopes):
        label = label_of(f"{name}: ", "") or label_of(f"val_{name}: ", "")
        if label is None:
            continue
        end = ends.get("test" if label.split == "test" else "validate")
        if end is not None:  # a table, whose bars are left out of the log
            yield Report(label, end, f"{name} {{}}")
        elif _is_true(_keyword(call, "prog_bar")):
            yield Report(label, call, f"{name}: {{}}")


def _keras(calls: Iterable[ast.Call]) -> Iterator[Report]:
    fits = [call for call in calls if last_name(call.func) == "fit"]
    held_out = [call for call in fits if _keyword(call, "validation_data") or _keyword(call, "validation_split")]
    shown = [call for call in held_out if not _is_text(_keyword(call, "verbose"), 0)]
    for fit in shown:
        names = ["loss"]
        for call in calls:
            metrics = _keyword(call, "metrics") if last_name(call.func) == "compile" else None
            if isinstance(metrics, ast.List | ast.Tuple):
                names += [str(one.value) for one in metrics.elts if isinstance(one, ast.Constant)]
        for name in names:
            label = label_of(f"val_{name}: ", "")
            if label is not None:
                yield Report(label, fit, f"val_{name}: {{}}")


def _is_printed(call: ast.Call, scopes: Scopes) -> bool:
    """Return whether a call's value is printed: at once, or by its name."""
    for above in scopes.parents(call):
        if isinstance(above, ast.Call):
            return "print" in last_name(above.func)
    statement = scopes.statement(call)
    names = [target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)]
    printed = (node for node in ast.walk(scopes.tree) if isinstance(node, ast.Call) and "print" in last_name(node.func))
    return any(isinstance(one, ast.Name) and one.id in names for node in printed for one in node.args)


def _texts(node: ast.expr | None, scopes: Scopes) -> Iterator[str]:
    """Yield the text that an expression may be: of f"{stage}_loss", one for each value that calls pass."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        names = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        function = scopes.function(node)
        if len(names) == 1 and isinstance(names[0], ast.Name) and function is not None:
            for value in _passed(names[0].id, function, scopes):
                yield "".join(
                    value if isinstance(p, ast.FormattedValue) else str(getattr(p, "value", "")) for p in node.values
                )


def _passed(name: str, function: Function, scopes: Scopes) -> Iterator[str]:
    """Yield the words for held-out data that calls of a function pass for one of its parameters."""
    parameters = [argument.arg for argument in function.args.args if argument.arg != "self"]
    for node in ast.walk(scopes.tree):
        if isinstance(node, ast.Call) and last_name(node.func) == function.name and name in parameters:
            place = parameters.index(name)
            given = _keyword(node, name) or (node.args[place] if place < len(node.args) else None)
            if (
                isinstance(given, ast.Constant)
                and isinstance(given.value, str)
                and split_of(given.value) in ("val", "test")
            ):
                yield given.value


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def _is_text(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
