"""The lines that a script prints: by print and its relatives, loggers, progress bars, and the file's own helpers."""

import ast
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from agent.task.init.metric.printed_text import VALUE, Given, by_format, by_percent, text_of
from agent.task.init.metric.scopes import Function, Scopes, last_name

_PRINT = re.compile(r"(\w*_)?p?print(_?\w{0,12})?|s?echo", re.IGNORECASE)
_LOG_METHODS = frozenset({"info", "warning", "warn", "error", "critical", "success", "log"})
_STREAM = re.compile(r"stdout|stderr|tqdm|\w*bar|progress|console|t|it|loop", re.IGNORECASE)
_BAR_TEXT = frozenset({"set_description", "set_description_str", "set_postfix_str"})
_NOT_SHOWN = re.compile(
    r"add_\w+|log_\w+|save\w*|dump\w*|open|write\w*|(set_)?(sup)?title|[xy]label|legend|text|annotate|append|extend|join"
    r"|remove|unlink|(make|mk)dirs?|rename|replace|exit|debug|format|send|post|put|update|add|set|step|setattr|system|run"
    r"|\w*exec\w*|eval|input|\w*Error|\w*Exception|\w*Warning|Path|load\w*|watch|register\w*|copy\w*|notify|assert\w*"
)
_DEEPEST = 3  # helpers within helpers


@dataclass(frozen=True)
class PrintedLine:
    """One line of output."""

    text: str  # with VALUE in the place of each value
    before: str  # earlier lines of the same call
    n_earlier: int  # values at its beginning that an earlier call prints
    call: ast.Call
    is_certain: bool  # whether the call is known to print; else it is any call with such a text


def printed_lines(scopes: Scopes, dead: Container[ast.AST]) -> Iterator[PrintedLine]:
    """Yield what a file prints, in the order of its text; what a plain run never reaches is left out."""
    calls = [node for node in ast.walk(scopes.tree) if isinstance(node, ast.Call) and node not in dead]
    unfinished: dict[int, str] = {}  # by function: what a call with end="" has printed
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        for text, is_certain in _texts(call, scopes):
            where = id(scopes.function(call))
            earlier = unfinished.pop(where, "") if is_certain else ""
            ends = _end(call) if is_certain else "\n"
            whole = earlier + text
            if not ends.endswith("\n") and not text.endswith("\n"):
                unfinished[where] = whole.rpartition("\n")[2] + ends
            yield from _lines(whole, earlier.count(VALUE), call, is_certain=is_certain)


def _lines(text: str, n_earlier: int, call: ast.Call, *, is_certain: bool) -> Iterator[PrintedLine]:
    before = ""
    for line in text.split("\n"):
        yield PrintedLine(line, before, n_earlier, call, is_certain)
        before, n_earlier = f"{before}{line}\n", 0


def _texts(call: ast.Call, scopes: Scopes) -> Iterator[tuple[str, bool]]:
    """Yield what a call prints, with whether that is certain."""
    if is_printer(call):
        yield call_text(call, scopes), True
        return
    helper = scopes.called(call)
    if helper is not None and (call.args or call.keywords):
        texts = list(_by_helper(call, helper, scopes, 0))
        if texts:
            yield from ((text, True) for text in texts)
            return
    statement = scopes.statement(call)
    is_alone = isinstance(statement, ast.Expr) and statement.value is call
    if is_alone and helper is None and not _NOT_SHOWN.fullmatch(last_name(call.func)):
        if last_name(call.func) == "log" and call.keywords and not call.args:  # as of PyTorch Geometric
            yield ", ".join(f"{word.arg}: {VALUE}" for word in call.keywords), False
        for argument in call.args:
            if VALUE in (text := text_of(argument, scopes)).strip(VALUE):
                yield text, False


def is_printer(call: ast.Call) -> bool:
    """Return whether a call prints: print and its relatives, a logger above debug, or a progress bar."""
    name = last_name(call.func)
    base = call.func.value if isinstance(call.func, ast.Attribute) else None
    on = last_name(base.func if isinstance(base, ast.Call) else base) if base is not None else ""
    if _PRINT.fullmatch(name) or name in _BAR_TEXT or name == "set_postfix":
        file = next((word.value for word in call.keywords if word.arg == "file"), None)
        return file is None or last_name(file) in ("stdout", "stderr", "")
    if name in _LOG_METHODS and "log" in on.lower():
        return name != "log" or bool(re.search("console", on, re.IGNORECASE))
    return (name == "write" and bool(_STREAM.fullmatch(on))) or (name == "log" and on.lower() == "console")


def call_text(call: ast.Call, scopes: Scopes, given: Given | None = None) -> str:
    """Return the text of a call that prints."""
    name, keywords = last_name(call.func), {word.arg: word.value for word in call.keywords}
    texts = [text_of(argument, scopes, given) for argument in call.args]
    if name == "set_postfix":
        pairs = [f"{word.arg}={VALUE}" for word in call.keywords if word.arg not in (None, "refresh")]
        return ", ".join([*(_as_pairs(argument, scopes) for argument in call.args), *pairs])
    if name in _LOG_METHODS and len(texts) > 1 and not _PRINT.fullmatch(name):
        return by_format(texts[0]) if "%" not in texts[0] else by_percent(texts[0])
    glue = keywords.get("sep")
    return (glue.value if isinstance(glue, ast.Constant) and isinstance(glue.value, str) else " ").join(texts)


def _as_pairs(node: ast.expr, scopes: Scopes) -> str:
    """Return what a bar shows of a dict: `loss=0.3`."""
    if isinstance(node, ast.Name):
        node = scopes.value(node.id, node) or node
    if isinstance(node, ast.Dict):
        keys = [str(key.value) for key in node.keys if isinstance(key, ast.Constant)]
        return ", ".join(f"{key}={VALUE}" for key in keys)
    if isinstance(node, ast.Call):  # dict(...), OrderedDict(...)
        return ", ".join(f"{word.arg}={VALUE}" for word in node.keywords if word.arg)
    return VALUE


def _by_helper(call: ast.Call, helper: Function, scopes: Scopes, depth: int) -> Iterator[str]:
    """Yield what a function of the file prints for a call, where that depends on the call's arguments."""
    given = _given(call, helper)
    for node in ast.walk(helper):
        if not isinstance(node, ast.Call) or node is call:
            continue
        if is_printer(node):
            text = call_text(node, scopes, given)
            if text != call_text(node, scopes):
                yield text
        elif depth < _DEEPEST and (inner := scopes.called(node)) is not None and inner is not helper:
            passed = ast.Call(node.func, [_passed(one, given, scopes) for one in node.args], node.keywords)
            yield from _by_helper(passed, inner, scopes, depth + 1)


def _passed(node: ast.expr, given: Given, scopes: Scopes) -> ast.expr:
    """Return the text of an argument in which parameters of the caller stand for what it was given."""
    return ast.copy_location(ast.Constant(text_of(node, scopes, given)), node)


def _given(call: ast.Call, helper: Function) -> Given:
    """Return the arguments of a call by the helper's parameters."""
    names = [argument.arg for argument in (*helper.args.posonlyargs, *helper.args.args)]
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    given: dict[str, ast.expr | list[ast.expr]] = dict(zip(names, call.args, strict=False))
    if helper.args.vararg is not None:
        given[helper.args.vararg.arg] = call.args[len(names) :]
    words = [word for word in call.keywords if word.arg is not None]
    if helper.args.kwarg is not None:
        others = [word for word in words if word.arg not in names]
        given[helper.args.kwarg.arg] = ast.Dict([ast.Constant(word.arg) for word in others], [w.value for w in others])
    return given | {str(word.arg): word.value for word in words}


def printed_values(call: ast.Call) -> list[ast.expr]:
    """Return the expressions that a call shows as numbers, in their order, as far as its own text shows them."""
    found: list[ast.expr] = []
    for node in call.args:
        match node:
            case ast.JoinedStr(values=parts):
                found += [part.value for part in parts if isinstance(part, ast.FormattedValue)]
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=ast.Tuple(elts=parts)):
                found += parts
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=part):
                found.append(part)
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="format"), args=parts):
                found += parts
            case _ if not isinstance(node, ast.Constant):
                found.append(node)
    return found


def _end(call: ast.Call) -> str:
    """Return what a call prints behind its text."""
    if last_name(call.func) in ("write", "set_description", "set_postfix"):
        return "" if last_name(call.func) == "write" else "\n"
    end = next((word.value for word in call.keywords if word.arg == "end"), None)
    return end.value if isinstance(end, ast.Constant) and isinstance(end.value, str) else "\n"
