"""The text that an expression prints, as far as the source says it, with `VALUE` in the place of each value."""

import ast
import re
import string
from collections.abc import Iterator, Mapping

from agent.task.init.metric.frameworks import computed_names
from agent.task.init.metric.labels import split_of
from agent.task.init.metric.scopes import Scopes, last_name
from agent.task.printed_number import plain_log, whole_number

VALUE = "\0"
Given = Mapping[str, ast.expr | list[ast.expr]]
"""Arguments of a call by parameter: what the names of a helper stand for in that call."""
_BY_PERCENT = re.compile(r"%(?:\(\w+\))?[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[a-zA-Z]|%%")
_COLOURS = r"(?:bright_)?(?:red|green|blue|cyan|yellow|magenta|white|black)"
_MARKUP = re.compile(rf"\[/?(?:(?:bold|dim|italic|underline|{_COLOURS})\b[^\]\0]*)?\]")
_WRAPPERS = frozenset(
    {"colored", "style", "bold", "green", "red", "blue", "cyan", "yellow", "Text", "Panel", "fill", "str"}
)
_WITHOUT_BARS = ("simple", "plain", "tsv", "rst")
"""Formats of the library tabulate."""
_DEEPEST = 6  # names within names


def text_of(node: ast.expr, scopes: Scopes, given: Given | None = None) -> str:
    """Return the text of an expression, without colours and carriage returns.

    Args:
        given: the expressions that parameters stand for.
    """
    return _MARKUP.sub("", plain_log(_Reader(scopes, given or {}).text(node, 0))).replace("\r", "")


class _Reader:
    def __init__(self, scopes: Scopes, given: Given) -> None:
        self._scopes = scopes
        self._given = given

    def text(self, node: ast.expr, depth: int) -> str:  # noqa: PLR0911 (one return a kind of expression)
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.JoinedStr(values=values):
                return "".join(self.text(value, depth) for value in values)
            case ast.FormattedValue(value=value):
                return self.text(value, depth)
            case ast.Dict():
                return self._dict(node, depth, "'")
            case ast.BinOp(left=left, op=ast.Mod()) if (text := self.text(left, depth)) != VALUE:
                return by_percent(text)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.text(left, depth) + self.text(right, depth)
            case ast.IfExp(body=body):
                return self.text(body, depth)
            case ast.Starred(value=value):
                return self.text(value, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.Name(id=name) if depth < _DEEPEST:
                return self._name(name, node, depth + 1)
        return VALUE

    def _name(self, name: str, node: ast.Name, depth: int) -> str:
        if name in self._given:
            given = self._given[name]
            return (
                " ".join(self.text(one, depth) for one in given) if isinstance(given, list) else self.text(given, depth)
            )
        value = self._scopes.value(name, node) or _of_loop(self._scopes.binding(name, node), name, self._scopes)
        text = self.text(value, depth) if value is not None else VALUE
        return VALUE if whole_number(text) is not None else text

    def _call(self, node: ast.Call, depth: int) -> str:  # noqa: PLR0911 (one return a kind of call)
        match node:
            case ast.Call(func=ast.Attribute(value=inner, attr="format")) if (text := self.text(inner, depth)) != VALUE:
                return by_format(text)
            case ast.Call(func=ast.Attribute(attr="join", value=glue), args=[one]):
                return self.text(glue, depth).join(self._items(one, depth)) or VALUE
            case ast.Call(func=func, args=[ast.List() | ast.Tuple() as rows, *_]) if last_name(func) == "tabulate":
                return self._table(rows, node, depth)
            case ast.Call(func=func, args=[ast.Dict() as one, *_]) if last_name(func) == "dumps":
                return self._dict(one, depth, '"')
            case ast.Call(func=func, args=[ast.Name(id=name) as one, *_]) if last_name(func) == "dumps":
                value = self._scopes.value(name, one)
                return self._dict(value, depth, '"') if isinstance(value, ast.Dict) else VALUE
            case ast.Call(func=ast.Attribute(attr="compute")) if names := computed_names(node, self._scopes):
                return "{" + ", ".join(f"'{name}': {VALUE}" for name in names) + "}"
            case ast.Call(func=func, args=[one, *_]) if last_name(func) in _WRAPPERS:
                return self.text(one, depth)
            case ast.Call() if (made := made_dict(node, self._scopes)) is not None and depth < _DEEPEST:
                return self._dict(made, depth + 1, "'")
        return VALUE

    def _items(self, node: ast.expr, depth: int) -> Iterator[str]:
        """Yield the texts of the items of a list, as far as the source says them."""
        match node:
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                yield from (self.text(part, depth) for part in parts)
            case ast.GeneratorExp(elt=item, generators=[one]) | ast.ListComp(elt=item, generators=[one]):
                for given in _rounds(one.target, one.iter, self._scopes, self._given) or [{}]:
                    yield _Reader(self._scopes, {**self._given, **given}).text(item, depth)
            case ast.Name() if depth < _DEEPEST:
                for part in self._scopes.parts(node.id, node):
                    yield from self._items(part, depth + 1)
            case _:
                yield VALUE

    def _table(self, rows: ast.List | ast.Tuple, call: ast.Call, depth: int) -> str:
        """Return the rows of `tabulate`; most of its formats draw bars between the cells."""
        format_ = next((word.value for word in call.keywords if word.arg == "tablefmt"), ast.Constant("simple"))
        glue = "  " if isinstance(format_, ast.Constant) and format_.value in _WITHOUT_BARS else " | "
        listed = [row for row in rows.elts if isinstance(row, ast.List | ast.Tuple)]
        return "\n".join(glue.join(self.text(cell, depth) for cell in row.elts) for row in listed) or VALUE

    def _dict(self, node: ast.Dict, depth: int, quote: str) -> str:
        pairs = []
        for key, value in zip(node.keys, node.values, strict=True):
            text = self.text(value, depth + 1) if depth < _DEEPEST else VALUE
            is_text = isinstance(value, ast.JoinedStr) or (
                isinstance(value, ast.Constant) and isinstance(value.value, str)
            )
            shown = f"{quote}{text}{quote}" if is_text else text
            pairs.append(f"{quote}{self.text(key, depth)}{quote}: {shown}" if key is not None else shown)
        return "{" + ", ".join(pairs) + "}"


def made_dict(node: ast.expr, scopes: Scopes) -> ast.Dict | None:
    """Return the dict that an expression is: a name for one, `dict(a=1)`, or what a function of the file returns."""
    for _ in range(_DEEPEST):
        match node:
            case ast.Dict():
                return node
            case ast.Name(id=name) if (value := scopes.value(name, node)) is not None:
                node = value
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=words) if words:
                named = [word for word in words if word.arg]
                return ast.Dict([ast.Constant(word.arg) for word in named], [word.value for word in named])
            case ast.Call() if (function := scopes.called(node)) is not None:
                returns = [one.value for one in ast.walk(function) if isinstance(one, ast.Return) and one.value]
                if len(returns) != 1:
                    return None
                node = returns[0]
            case _:
                return None
    return None


def _rounds(target: ast.expr, over: ast.expr, scopes: Scopes, given: Given | None = None) -> list[dict[str, ast.expr]]:
    """Return what the names of a loop stand for in each round, as far as the source says it.

    That is the case for a list of words, and for the keys of a dict, also in `for key, value in made.items()`.
    """
    words: list[ast.expr | None] = []
    if isinstance(over, ast.List | ast.Tuple):
        words = [*over.elts]
    elif isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and over.func.attr in ("items", "keys"):
        whose = over.func.value
        passed = given.get(whose.id) if given and isinstance(whose, ast.Name) else None
        made = made_dict(passed if isinstance(passed, ast.expr) else whose, scopes)
        words = [*made.keys] if made is not None else []
        target = target.elts[0] if over.func.attr == "items" and isinstance(target, ast.Tuple) else target
    if not isinstance(target, ast.Name):
        return []
    return [{target.id: word} for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]


def _of_loop(node: ast.AST | None, name: str, scopes: Scopes) -> ast.expr | None:
    """Return the word for held-out data, or the last one, of a loop such as `for split in ("train", "val")`."""
    if not isinstance(node, ast.For):
        return None
    words = [given[name] for given in _rounds(node.target, node.iter, scopes) if name in given]
    is_held_out = (word for word in words if isinstance(word, ast.Constant) and split_of(str(word.value)) == "val")
    return next(is_held_out, words[-1] if words else None)


def by_percent(text: str) -> str:
    """Return a text to which `%` is applied, with `VALUE` for each value."""
    return _BY_PERCENT.sub(lambda found: "%" if found[0] == "%%" else VALUE, text)


def by_format(text: str) -> str:
    """Return a text whose `format` is called, with `VALUE` for each value."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return text
    return "".join(literal + ("" if name is None else VALUE) for literal, name, _, _ in parts)
