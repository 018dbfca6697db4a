"""Static checks of a script before it runs: does it parse, keep its contract, and fix no seed."""

import ast
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.edits.source_text import hidden_meaning
from agent.edits.syntax import parse_script
from agent.edits.tune_comments import ranges_text
from agent.errors import EditError

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_MOST_DIGITS = 4300  # of an integer: Python neither reads nor prints longer ones in decimal
_UNPRINTABLE = 10**_MOST_DIGITS
_SEEDING = {"seed", "seed_all", "manual_seed", "manual_seed_all", "default_rng", "RandomState", "PRNGKey", "Random"}


@dataclass(frozen=True)
class Guard:
    """Checks that refuse edits which cannot run, or which break the contract with the scorer."""

    required: tuple[str, ...] = ()  # functions of one argument that the script must define at module level
    frozen_imports: frozenset[str] = frozenset()  # names that it must import from frozen files; see `imports_of`
    texts: tuple[str, ...] = ()  # string constants that must occur, such as the variable with the path to save to
    max_bytes: int = 200_000
    known: str = ""  # the baseline, whose lines and names may be misleading: they are the user's own
    also: Callable[[str], object] | None = None  # one more check, of a script that passed the others; raises EditError

    def check(self, source: str) -> str:
        """Return the fingerprint of `source`; the caller compares it with those of the other trials.

        Raises:
            EditError: it does not parse, is too large, contains misleading text (see `source_text`), or breaks the
                contract with the files beside it.
        """
        size = len(source.encode(errors="surrogatepass"))
        if size > self.max_bytes:
            raise EditError(f"the script has {size} bytes; the limit is {self.max_bytes}; make it shorter")
        tree = _parsed(source)
        if hidden := hidden_meaning(source, self.known):
            raise EditError(f"the script contains misleading text: {hidden}")
        if missing := [name for name in self.required if name not in _defined(tree)]:
            raise EditError(f"the script no longer defines {', '.join(missing)}, which the scorer needs; put it back")
        for name in self.required:
            _check_takes_one(tree, name)
        self._check_frozen(tree)
        strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        if absent := [text for text in self.texts if text not in strings]:
            raise EditError(f"the script no longer uses {absent[0]!r}, the path to save the model to; put it back")
        if self.also is not None:
            self.also(source)
        return _fingerprint(tree, source)

    def _check_frozen(self, tree: ast.Module) -> None:
        """Raise EditError if the script no longer imports a name of a frozen file, or redefines it."""
        imported = _imports(tree, {entry.partition(".")[0] for entry in self.frozen_imports})
        if missing := sorted(self.frozen_imports - imported):
            raise EditError(f"the script no longer imports {missing[0]} from a fixed file; put the import back")
        names = {entry.rpartition(".")[2] for entry in self.frozen_imports}
        if bound := sorted(names & _bound(tree)):
            raise EditError(f"the script redefines {bound[0]}, which a fixed file defines; import it instead")


def imports_of(source: str, files: Iterable[str]) -> frozenset[str]:
    """Return what `source` imports from Python files beside it: FILE.NAME, or FILE for the whole module."""
    return frozenset(_imports(_parsed(source), {file.removesuffix(".py") for file in files}))


def fingerprint(source: str) -> str:
    """Return a hash of the code in `source`, 16 hexadecimal digits; comments, docstrings and formatting do not count.

    Of the comments, only ranges count (`# tune: 1..8`): they decide which values a search may try.

    Raises:
        EditError: it does not parse; the message names the line.
    """
    return _fingerprint(_parsed(source), source)


def _parsed(source: str) -> ast.Module:
    tree = _tree(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) >= _UNPRINTABLE:
            line = re.split(r"\r\n?|\n", source)[node.lineno - 1].strip()[:60]  # as Python counts lines
            raise EditError(
                f"line {node.lineno} has a number of more than {_MOST_DIGITS} digits: {line}; write a shorter one"
            )
    return tree


def _tree(source: str) -> ast.Module:
    try:
        return parse_script(source)
    except SyntaxError as fault:
        where = f" in line {fault.lineno}" if fault.lineno else ""  # none where a zero byte stands
        line = f": {fault.text.strip()}" if fault.text else ""
        raise EditError(f"the edited script does not parse: {fault.msg}{where}{line}") from None
    except (ValueError, RecursionError, MemoryError) as fault:  # null bytes, lone surrogates, absurd nesting
        raise EditError(f"the edited script does not parse: {str(fault) or 'it is nested too deeply'}") from None


def _fingerprint(tree: ast.Module, source: str) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    try:
        text = ast.dump(tree)
    except RecursionError:
        raise EditError("the edited script is nested too deeply; simplify it") from None
    text += ranges_text(source)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that module-level statements define."""
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


def _imports(tree: ast.Module, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name in modules)
    return found


def _bound(tree: ast.Module) -> set[str]:
    """Return the names that are assigned or defined anywhere, without imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
    return names


def _check_takes_one(tree: ast.Module, name: str) -> None:
    """Raise EditError if `name` is a function that cannot be called with one argument."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            arguments = node.args
            n_places = len(arguments.posonlyargs) + len(arguments.args)
            n_needed = n_places - len(arguments.defaults)
            needs_keyword = None in arguments.kw_defaults
            if n_needed > 1 or needs_keyword or (n_places == 0 and arguments.vararg is None):
                raise EditError(
                    f"the scorer calls {name} with one argument, the path of the saved model; accept exactly that"
                )


def fixed_seeds(source: str) -> tuple[str, ...]:
    """Return the calls that seed a generator with a literal, as source text, e.g. `torch.manual_seed(1337)`.

    Calls are recognised by their last name, so this finds the usual calls but not disguised ones. Raises SyntaxError
    if the script does not parse.
    """
    found = []
    for node in ast.walk(parse_script(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _SEEDING and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, int):
            try:
                found.append(ast.unparse(node)[:60])
            except RecursionError:
                found.append(f"{name}({node.args[0].value}, …)")
    return tuple(found)
