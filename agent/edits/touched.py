"""Whether an edit touches what somebody has named: a schedule, a batch size, a seed."""

import ast
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher


def touched(before: str, after: str, names: Sequence[str]) -> str | None:
    """Return the first of `names` that a changed line, or a function around it, has in it; None if there is none.

    A name counts in any case and as a part of a word: "warm" is in WARMUP_RATIO. Sources are compared line by line.
    """
    old, new = before.splitlines(), after.splitlines()
    texts: list[str] = []
    functions_old, functions_new = _functions(before), _functions(after)
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            texts += [*old[old_from:old_to], *_around(functions_old, old_from, old_to)]
            texts += [*new[new_from:new_to], *_around(functions_new, new_from, new_to)]
    changed = "\n".join(texts).casefold()
    return next((name for name in names if name.casefold() in changed), None)


def _functions(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # then the lines alone must tell
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _around(functions: list[ast.FunctionDef | ast.AsyncFunctionDef], first: int, end: int) -> Iterator[str]:
    """Yield the names of the functions that any of the lines `first` to `end`, counted from 0, lie in."""
    for function in functions:
        if first < (function.end_lineno or 0) and end >= function.lineno and first < end:
            yield function.name
