"""Where a script binds its names: the last assignment before a use, and the functions by name."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BINDING = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.With, ast.comprehension)


class Scopes:
    """The syntax tree of a file with a way up: parents, functions and bindings of its nodes."""

    def __init__(self, tree: ast.Module, others: Iterable[ast.Module] = ()) -> None:
        """`others`: trees of the modules whose functions the file may call."""
        self.tree = tree
        self._parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.functions: dict[str, Function] = {}
        for module in (*others, tree):
            for node in ast.walk(module):
                if isinstance(node, Function):
                    self.functions[node.name] = node
        self._bound: Mapping[tuple[int, str], list[ast.AST]] = self._bindings()

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes around a node, the nearest first."""
        while (above := self._parents.get(id(node))) is not None:
            yield above
            node = above

    def function(self, node: ast.AST) -> Function | None:
        """Return the function that a node is in; None at the top of the file."""
        return next((above for above in self.parents(node) if isinstance(above, Function)), None)

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that a node is part of."""
        found = node if isinstance(node, ast.stmt) else next(n for n in self.parents(node) if isinstance(n, ast.stmt))
        assert isinstance(found, ast.stmt)
        return found

    def binding(self, name: str, use: ast.AST) -> ast.AST | None:
        """Return the last node before `use` that binds a name, in the function of the use, else at the top."""
        place = _place(use)
        for scope in (self.function(use), None):
            found = self._bound.get((id(scope), name), [])
            before = [node for node in found if _place(node) < place] if scope or self._is_top(use) else found
            if before:
                return before[-1]
        return None

    def value(self, name: str, use: ast.AST) -> ast.expr | None:
        """Return the expression that a name stands for at `use`, if a plain assignment binds it."""
        bound = self.binding(name, use)
        if isinstance(bound, ast.Assign) and any(_is_name(target, name) for target in bound.targets):
            return bound.value
        return bound.value if isinstance(bound, ast.AnnAssign | ast.NamedExpr) else None

    def parts(self, name: str, use: ast.AST) -> list[ast.expr]:
        """Return the lists that a name consists of at `use`: `entries = [a]`, then `entries += [b]` or append(c)."""
        found: list[ast.expr] = []
        for node in ast.walk(self.function(use) or self.tree):
            if _place(node) >= _place(use):
                continue
            match node:
                case ast.Assign(targets=[ast.Name(id=other)], value=value) if other == name:
                    found.append(value)
                case ast.AugAssign(target=ast.Name(id=other), op=ast.Add(), value=value) if other == name:
                    found.append(value)
                case ast.Call(func=ast.Attribute(value=ast.Name(id=other), attr="append"), args=[item]) if (
                    other == name
                ):
                    found.append(ast.copy_location(ast.List([item], ast.Load()), item))
        return sorted(found, key=_place)

    def called(self, call: ast.Call) -> Function | None:
        """Return the function of the file, or of a module beside it, that a call names."""
        return self.functions.get(last_name(call.func))

    def _is_top(self, node: ast.AST) -> bool:
        return self.function(node) is None

    def _bindings(self) -> Mapping[tuple[int, str], list[ast.AST]]:
        found: dict[tuple[int, str], list[ast.AST]] = defaultdict(list)
        names = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        for name in sorted(names, key=lambda node: (node.lineno, node.col_offset)):
            around = next((node for node in self.parents(name) if isinstance(node, _BINDING)), None)
            if around is not None:
                found[(id(self.function(name)), name.id)].append(around)
        return found


def _place(node: ast.AST) -> tuple[int, int]:
    """Return where a node begins: line and column."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def last_name(node: ast.expr) -> str:
    """Return the last name of a dotted one, such as `print` of `accelerator.print`; empty if it is no name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
