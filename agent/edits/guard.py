"""What an edited script must be before any sandbox sees it."""

import ast
import hashlib
import warnings
from dataclasses import dataclass

from agent.errors import EditError

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Guard:
    """Refuses edits that cannot run, or that break the contract with the scorer."""

    required: tuple[str, ...] = ()  # names that must be defined at module level
    max_bytes: int = 200_000

    def check(self, source: str) -> str:
        """Return the fingerprint of `source`. Whether it is new is for the caller, who knows the other trials.

        Raises:
            EditError: it does not parse, is too large, or lacks a required name.
        """
        size = len(source.encode(errors="surrogatepass"))
        if size > self.max_bytes:
            raise EditError(f"the script has {size} bytes, {self.max_bytes} are allowed; make it shorter")
        tree = _parsed(source)
        if missing := [name for name in self.required if name not in _defined(tree)]:
            raise EditError(f"the script no longer defines {', '.join(missing)}; others import it: put it back")
        return _fingerprint(tree)


def fingerprint(source: str) -> str:
    """Return a hash of what `source` says, 16 hexadecimal digits; comments, docstrings and formatting do not count.

    Raises:
        EditError: it does not parse; the message names the line.
    """
    return _fingerprint(_parsed(source))


def _parsed(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # an odd escape is the script's own affair
            return ast.parse(source)
    except SyntaxError as fault:
        line = f": {fault.text.strip()}" if fault.text else ""
        raise EditError(f"the edited script does not parse: {fault.msg} in line {fault.lineno}{line}") from None
    except (ValueError, RecursionError, MemoryError) as fault:  # null bytes, lone surrogates, absurd nesting
        raise EditError(f"the edited script does not parse: {fault or type(fault).__name__}") from None


def _fingerprint(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    try:
        text = ast.dump(tree)
    except RecursionError:
        raise EditError("the edited script is nested too deeply; simplify it") from None
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that statements at module level bind."""
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.Assign(targets=targets):
                names.update(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                names.add(name)
    return names
