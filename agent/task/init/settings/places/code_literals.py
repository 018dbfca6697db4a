"""Numbers in the code itself: variables, default arguments, literal arguments of calls, defaults of os.environ."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from agent.edits.assignments import literal_value
from agent.edits.edit import Value
from agent.errors import EditError
from agent.task.init.python_file import Source
from agent.task.init.settings.budget import is_length
from agent.task.init.settings.declared import Declared, enums_of, of_annotation
from agent.task.init.settings.places.known_calls import (
    ALIASES,
    ESTIMATORS,
    FIRST_IS_RATE,
    NOT_OF_TRAINING,
    PARAMETERS,
    SCHEDULES,
    SEARCHED_KEYWORDS,
)
from agent.task.init.settings.setting import Setting, constant_name, setting_at

OWN_VARIABLES = "TRAIN_"
"""Environment variables with this prefix are set by the harness: TRAIN_SEED, TRAIN_BUDGET, TRAIN_OUTPUT."""
_OF_MAIN = re.compile(
    r"^(main|train|run|fit|cli|start|experiment|pretrain|finetune|work)(_|er|ing|$)|_main$|_training$"
)
_NO_SETTING = re.compile(r"^.$|best|loss|acc|start|begin|count|total|idx|correct|running|prev|last|_time$|^t\d$|score")
"""Names of local variables that hold results, not settings."""
_CASTS = ("int", "float", "str")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def variable_settings(source: Source) -> Iterator[Setting]:
    """Yield the variables that are bound once to a number: at module level, below `if __name__`, in main()."""
    stored = _stored(source.tree)
    for name, node, value, below_if in _module_assignments(source.tree):
        if name.startswith("_") or stored[name] != 1 or _environment_call(value):
            continue
        if not name.isupper():
            found = setting_at(source, "variable", name, name, value, declared=_annotated(source, node))
        elif below_if and (
            found := setting_at(source, "variable", name, name, value, declared=_annotated(source, node))
        ):
            found = replace(found, node=node, written="pass")  # a constant at the top replaces the assignment
        else:
            continue
        if found is not None:
            yield found
    for function in ast.walk(source.tree):
        if isinstance(function, Function) and _OF_MAIN.search(function.name):
            yield from _local_variables(source, function)


def default_settings(source: Source) -> Iterator[Setting]:
    """Yield the default arguments of the script's own functions and of its classes' constructors."""
    enums = enums_of(source.tree)
    used = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(source.tree) if _is_read(node)}
    for owner, function in own_functions(source.tree).items():
        if owner not in used or is_apart(owner):
            continue
        arguments = [*function.args.posonlyargs, *function.args.args]
        with_default = arguments[len(arguments) - len(function.args.defaults) :]
        pairs = [*zip(with_default, function.args.defaults, strict=True)]
        pairs += [
            (argument, default)
            for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if default is not None
        ]
        for argument, default in pairs:
            declared = replace(of_annotation(argument.annotation, enums), enum="")
            shown = f"{owner}({argument.arg})"
            found = setting_at(source, "default", argument.arg, shown, default, declared=declared)
            if found is not None and not _is_minor(found):
                yield found


def call_settings(source: Source) -> Iterator[Setting]:
    """Yield the literal arguments of calls whose parameters are known; equal ones of the same function are one."""
    own = {name: tuple(parameter_names(function)) for name, function in own_functions(source.tree).items()}
    imported = _estimators(source.tree)
    found: dict[tuple[str, str, Value], Setting] = {}
    for call, within in _calls(source.tree, ""):
        callee = getattr(call.func, "id", getattr(call.func, "attr", ""))
        if is_apart(within) or _is_of_evaluation(call, callee):
            continue
        for parameter, node in _arguments(call, callee, own, imported):
            shown = f"{callee}({parameter})"
            name = ALIASES.get((callee, parameter), parameter)
            setting = setting_at(source, "call", name, shown, node)
            if setting is None or isinstance(setting.value, str) or (callee in own and _is_minor(setting)):
                continue
            key = (callee, parameter, setting.value)
            if key in found:
                found[key] = replace(found[key], others=(*found[key].others, node))
            else:
                found[key] = setting
    yield from found.values()


def environment_settings(source: Source) -> Iterator[Setting]:
    """Yield the defaults of os.environ.get and os.getenv, with the int() or float() around them."""
    taken: set[int] = set()
    stored = _stored(source.tree)
    targets = {id(value): name for name, _, value, below_if in _module_assignments(source.tree) if not below_if}
    for node in ast.walk(source.tree):
        read = _environment_call(node)
        if read is None or id(node) in taken:
            continue
        taken |= {id(inner) for inner in ast.walk(node) if isinstance(inner, ast.expr)}  # ast shares operators
        variable, default, cast = read
        if variable.startswith(OWN_VARIABLES):
            continue
        with suppress(EditError, ValueError):
            value = literal_value(variable, default)
            if isinstance(value, str) and (
                cast in ("int", "float") or re.fullmatch(r"[-+]?\d[\d_.]*(e[-+]?\d+)?", value)
            ):
                number = float(value)
                is_whole = cast == "int" or (not cast and value.lstrip("-+").isdigit())
                value = int(number) if is_whole else number
                written = "{}" if cast else "str({})"
            else:
                written = "{}"
            value = {"int": int, "float": float}.get(cast, lambda same: same)(value)
            target = targets.get(id(node), "")
            in_place = target.isupper() and stored[target] == 1
            name = target if in_place else constant_name(variable)
            assert isinstance(node, ast.expr)
            shown = f"{variable} of the environment"
            yield Setting(
                *(name, value, "environment", shown, source.at(node), node),
                longer=constant_name(f"env_{variable}"),
                written="" if in_place else written,
                key=constant_name(variable),
            )


def is_apart(function: str) -> bool:
    """Return whether the name of a function says that its numbers do not concern training."""
    return not NOT_OF_TRAINING.isdisjoint(constant_name(function).split("_"))


def _is_minor(setting: Setting) -> bool:
    """Return whether an argument of an own function seems to be no setting: n=3, start=0."""
    is_zero = isinstance(setting.value, int) and setting.value == 0
    return len(setting.name) == 1 or (is_zero and setting.declared.kind != "float")


def own_functions(tree: ast.Module) -> dict[str, Function]:
    """Return the module-level functions, by name, and the constructors of classes, by the name of the class."""
    found: dict[str, Function] = {node.name: node for node in tree.body if isinstance(node, Function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function) and inner.name == "__init__":
                    found[node.name] = inner
    return found


def parameter_names(function: Function) -> list[str]:
    """Return the names of the parameters that take positional arguments, without self."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return names[1:] if names[:1] == ["self"] else names


def _module_assignments(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, ast.expr, bool]]:
    """Yield name, statement and value of each assignment at module level, and whether it is below `if __name__`."""
    for node in tree.body:
        below_if = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        for statement in node.body if isinstance(node, ast.If) and below_if else [node]:
            for name, value in _assigned(statement):
                yield name, statement, value, below_if


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement assigns, with their values; of `lr, depth = 0.1, 4` both in small letters."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(values):
            pairs = zip(targets, values, strict=True)
            yield from ((t.id, v) for t, v in pairs if isinstance(t, ast.Name) and not t.id.isupper())


def _local_variables(source: Source, function: Function) -> Iterator[Setting]:
    stored = _stored(function)
    for node in function.body:
        for name, value in _assigned(node):
            if stored[name] == 1 and not _NO_SETTING.search(name) and not name.startswith("_"):
                shown = f"{function.name}: {name}"
                found = setting_at(source, "variable", name, shown, value, declared=_annotated(source, node))
                if found is not None and found.value not in (0, ""):
                    yield found


def _annotated(source: Source, node: ast.stmt) -> Declared:
    return replace(of_annotation(getattr(node, "annotation", None), enums_of(source.tree)), enum="")


def _stored(tree: ast.AST) -> Counter[str]:
    """Return how often each name is bound."""
    return Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


def _is_read(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)


def _environment_call(node: ast.AST) -> tuple[str, ast.expr, str] | None:
    """Return variable, default and cast of `float(os.environ.get("LR", "0.1"))`; None for anything else."""
    match node:
        case ast.Call(func=ast.Name(id=cast), args=[inner]) if cast in _CASTS:
            read = _environment_call(inner)
            return (read[0], read[1], cast) if read and not read[2] else None
        case ast.BoolOp(op=ast.Or(), values=[ast.Call(func=func, args=[ast.Constant(value=str() as name)]), default]):
            return (name, default, "") if _reads_environment(func) else None
        case ast.Call(func=func, args=[ast.Constant(value=str() as name), default]) if _reads_environment(func):
            return name, default, ""
    return None


def _reads_environment(func: ast.expr) -> bool:
    return bool(re.search(r"(^|\.)(environ\.get|getenv)$", ast.unparse(func)))


def _calls(node: ast.AST, within: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield all calls, each with the name of the function around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child, within
        yield from _calls(child, child.name if isinstance(child, Function) else within)


def _arguments(
    call: ast.Call, callee: str, own: Mapping[str, tuple[str, ...]], imported: set[str]
) -> Iterator[tuple[str, ast.expr]]:
    """Yield the arguments of a call that may be settings, each with the name of its parameter."""
    root = ast.unparse(call.func).partition(".")[0]
    is_estimator = callee in imported or root in ESTIMATORS
    if not is_estimator and callee not in PARAMETERS and (callee not in own or is_apart(callee)):
        return
    names = own.get(callee, PARAMETERS.get(callee, ()))
    if callee in FIRST_IS_RATE and call.args and _is_number(call.args[0]):
        names = ("learning_rate",)  # of Keras and optax, whose optimizers take no parameters
    allowed = None if callee in own or is_estimator else SEARCHED_KEYWORDS
    pairs = [*zip(names, call.args, strict=False)] if not any(isinstance(a, ast.Starred) for a in call.args) else []
    pairs += [(word.arg, word.value) for word in call.keywords if word.arg]
    for parameter, value in pairs:
        if parameter == "betas" and isinstance(value, ast.Tuple) and len(value.elts) == 2:
            yield from zip(("beta1", "beta2"), value.elts, strict=True)
        elif allowed is None or (parameter in allowed and not (callee in SCHEDULES and is_length(parameter.upper()))):
            yield parameter, value


def _is_of_evaluation(call: ast.Call, callee: str) -> bool:
    """Return whether a call is of the evaluation: DataLoader(test_set, batch_size=1000)."""
    return (
        callee == "DataLoader"
        and bool(call.args)
        and bool(re.search(r"val|test|eval", ast.unparse(call.args[0]).lower()))
    )


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _estimators(tree: ast.Module) -> set[str]:
    """Return the names imported from libraries of estimators."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ESTIMATORS
        for alias in node.names
        if alias.name[:1].isupper()
    }
