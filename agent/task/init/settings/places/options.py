"""Command-line options with a default, as argparse, click, typer and absl declare them."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.task.init.python_file import Source
from agent.task.init.settings.declared import Declared, enums_of, of_annotation, of_call
from agent.task.init.settings.setting import Setting, constant_name, setting_at

OPTION_CALLS = ("add_argument", "option", "add_option", "argument")
_TYPER = ("Option", "Argument")


@dataclass(frozen=True)
class Option:
    """One option, with or without a default."""

    flags: tuple[str, ...]  # --learning-rate, -l; of a positional argument its name
    name: str  # of the value in the script: learning_rate
    default: ast.expr | None
    declared: Declared
    takes_value: bool  # not a switch such as --cuda
    nargs: str = ""  # of argparse: "?", "*", "+" or a number
    call: ast.Call | None = None

    @property
    def shown(self) -> str:
        """The longest flag."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])


def options(source: Source) -> Iterator[Option]:
    """Yield the options of a script, in the order of the text."""
    enums = enums_of(source.tree)
    for node in ast.walk(source.tree):
        called = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
        option = None
        if isinstance(node, ast.Call) and called in OPTION_CALLS:
            option = _option(node, enums)
        elif isinstance(node, ast.Call) and called.startswith("DEFINE_"):
            option = _of_absl(node, enums)
        if option is not None:
            yield option
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_typer(node, enums)


def option_settings(source: Source) -> Iterator[Setting]:
    """Yield the options whose default is a number or a string, also those that `set_defaults` overrides."""
    overridden = _set_defaults(source)
    for option in options(source):
        node = overridden.get(option.name, option.default)
        if node is None:
            continue
        found = setting_at(source, "argument", option.name, option.shown, node, declared=option.declared)
        if found is not None:
            yield found


def aliases(source: Source) -> Mapping[str, tuple[str, Option]]:
    """Return the options whose default is a name or an attribute, by its name as a constant: `default=LR`.

    The value of each is the text of the default, LR or Config.lr, and the option.
    """
    return {
        constant_name(ast.unparse(option.default)): (ast.unparse(option.default), option)
        for option in options(source)
        if isinstance(option.default, ast.Name | ast.Attribute | ast.Subscript)
    }


def _option(node: ast.Call, enums: Mapping[str, tuple[str, ...]]) -> Option | None:
    given = {word.arg: word.value for word in node.keywords if word.arg}
    texts = (flag.value for flag in node.args if isinstance(flag, ast.Constant) and isinstance(flag.value, str))
    flags = tuple(text for text in texts if text.strip("- "))
    if not flags:
        return None
    dest = given.get("dest")
    long = [flag for flag in flags if flag.startswith("--")] or list(flags)
    plain = [flag for flag in flags if not flag.startswith("-")]  # click's name of the parameter, argparse's positional
    name = dest.value if isinstance(dest, ast.Constant) and isinstance(dest.value, str) else (plain or long)[0]
    action = given.get("action")
    stores = action is None or (isinstance(action, ast.Constant) and action.value in ("store", "append"))
    is_switch = isinstance(flag := given.get("is_flag"), ast.Constant) and flag.value is True
    nargs = given.get("nargs")
    return Option(
        tuple(flag for flag in flags if flag.startswith("-")) or flags,
        name.lstrip("-").partition("/")[0],
        given.get("default"),
        of_call(node, enums),
        takes_value=stores and not is_switch,
        nargs=str(nargs.value) if isinstance(nargs, ast.Constant) else "",
        call=node,
    )


def _of_absl(node: ast.Call, enums: Mapping[str, tuple[str, ...]]) -> Option | None:
    if len(node.args) < 2 or not isinstance(name := node.args[0], ast.Constant) or not isinstance(name.value, str):
        return None
    kind = getattr(node.func, "attr", "")
    declared = of_call(node, enums)
    return Option((f"--{name.value}",), name.value, node.args[1], declared, kind != "DEFINE_boolean", call=node)


def _of_typer(node: ast.FunctionDef | ast.AsyncFunctionDef, enums: Mapping[str, tuple[str, ...]]) -> Iterator[Option]:
    """Yield the parameters `lr: float = typer.Option(0.1, min=0)` and `lr: Annotated[float, typer.Option()] = 0.1`."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(arguments) - len(node.args.defaults)), *node.args.defaults]
    pairs = [*zip(arguments, defaults, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    for argument, value in pairs:
        declared = of_annotation(argument.annotation, enums)
        call = value if isinstance(value, ast.Call) else _annotated(argument.annotation)
        if call is None or getattr(call.func, "attr", getattr(call.func, "id", "")) not in _TYPER:
            continue
        default = next(iter(call.args), None) if call is value else value
        written = [part.value for part in call.args if isinstance(part, ast.Constant)]
        flags = tuple(flag for flag in written if isinstance(flag, str) and flag.startswith("-"))
        yield Option(
            flags or (f"--{argument.arg.replace('_', '-')}",),
            argument.arg,
            default,
            of_call(call, enums).and_also(declared),
            takes_value=not (isinstance(argument.annotation, ast.Name) and argument.annotation.id == "bool"),
            call=call,
        )


def _annotated(node: ast.expr | None) -> ast.Call | None:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        return next((part for part in node.slice.elts if isinstance(part, ast.Call)), None)
    return None


def _set_defaults(source: Source) -> dict[str, ast.expr]:
    """Return the values that `parser.set_defaults(lr=0.1)` sets, by name: they replace the defaults of the options."""
    return {
        word.arg: word.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "set_defaults"
        for word in node.keywords
        if word.arg
    }
