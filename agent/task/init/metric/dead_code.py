"""Code that a plain run of a script never enters: branches of `if args.resume:` and the like."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from agent.task.init.metric.scopes import Function, Scopes, last_name


class DeadCode:
    """Tells which parts of a file run only with options that are off.

    An option is off if all that the file says of its name is a false default: `store_true`, `default=False`, a
    constant, a field of a class. Other conditions are taken to hold or not.
    """

    def __init__(self, scopes: Scopes, arguments: Sequence[str] = (), *, is_script: bool = True) -> None:
        """Read the file.

        Args:
            arguments: those that the script is run with; an option among them is not off.
            is_script: whether the file is run; if not, it is imported, and its main part is dead.
        """
        self._scopes = scopes
        self._is_script = is_script
        given = {word.lstrip("-").partition("=")[0].replace("-", "_") for word in arguments if word.startswith("-")}
        self._off, self._on = (names - given for names in _switches(scopes))
        self._uses: Mapping[str, list[ast.AST]] = defaultdict(list)
        for node in ast.walk(scopes.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                self._uses[last_name(node)].append(node)
        self._dead_functions: set[int] = set()
        while (found := {id(one) for one in self._functions() if self._is_unused(one)} - self._dead_functions) != set():
            self._dead_functions |= found

    def __contains__(self, node: object) -> bool:
        assert isinstance(node, ast.AST)
        below = node
        for above in self._scopes.parents(node):
            if isinstance(above, ast.If) and below is not above.test:
                truth = self._truth(above.test)
                if truth is not None and (below in above.orelse) == truth:
                    return True
            if isinstance(above, Function) and id(above) in self._dead_functions:
                return True
            below = above
        return False

    def _functions(self) -> Iterable[Function]:
        return [node for node in ast.walk(self._scopes.tree) if isinstance(node, Function)]

    def _is_unused(self, function: Function) -> bool:
        """Return whether a function is used in dead code alone; one that the file does not use may be an interface."""
        uses = [node for node in self._uses[function.name] if function not in self._scopes.parents(node)]
        return bool(uses) and all(use in self for use in uses)

    def _truth(self, test: ast.expr) -> bool | None:  # noqa: PLR0911 (one return a kind of condition)
        """Return whether a condition holds in a plain run; None if that is not known."""
        match test:
            case ast.Constant(value=value):
                return bool(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                truth = self._truth(operand)
                return None if truth is None else not truth
            case ast.BoolOp(op=op, values=values):
                truths, decisive = [self._truth(value) for value in values], isinstance(op, ast.Or)
                return decisive if decisive in truths else None if None in truths else not decisive
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[ast.Constant(value=None)]):
                return isinstance(op, ast.Is) if last_name(left) in self._off else None
            case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
                return self._is_script
            case ast.Name() | ast.Attribute():
                name = last_name(test)
                return False if name in self._off else True if name in self._on else None
        return None


def _switches(scopes: Scopes) -> tuple[set[str], set[str]]:
    """Return the names that are false by default and those that are true, each wherever the file sets them."""
    off, on, unknown, constant = set[str](), set[str](), set[str](), set[int]()
    for node in ast.walk(scopes.tree):  # statements before their parts
        match node:
            case ast.Call(func=func) if last_name(func) in ("add_argument", "option"):
                name, value = _option(node)
            case ast.AnnAssign(target=ast.Name(id=name) as target, value=ast.Constant(value=value)):
                constant.add(id(target))
            case ast.Assign(targets=[ast.Name(id=name) as target], value=ast.Constant(value=value)):
                constant.add(id(target))
            case ast.Name(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()) if id(node) not in constant:
                name, value = last_name(node), ...
            case ast.arg(arg=name):
                value = ...
            case _:
                continue
        is_off = any(value is one for one in (False, None)) or value in ("", 0)
        (off if is_off else on if value is True else unknown).add(name)
    return off - on - unknown, on - off - unknown


def _option(call: ast.Call) -> tuple[str, object]:
    """Return the name and the default of a command-line option; a default that is not a literal is its text."""
    flags = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    given = {word.arg: word.value for word in call.keywords}
    longest = max(flags, key=len, default="")
    name = longest.strip("-").partition("/")[0].replace("-", "_")
    if isinstance(dest := given.get("dest"), ast.Constant):
        name = str(dest.value)
    match given:
        case {"default": ast.Constant(value=value)}:
            return name, value
        case {"default": value}:
            return name, ast.unparse(value)
        case {"action": ast.Constant(value="store_true")}:
            return name, False
        case {"action": ast.Constant(value="store_false")}:
            return name, True
    is_needed = not longest.startswith("-") or "required" in given or last_name(call.func) == "option"
    return name, "needed" if is_needed or "action" in given else None
