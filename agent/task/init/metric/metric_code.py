"""The code of a script that reports its metric, and whether an edit changes it.

It is the calls that print or write the number, what they show of it, the helpers that print for them, and the last
assignment of each name shown, with the functions called there. A function that trains counts by what it returns.
Changed text that reaches the log in a disguise is not seen: a script that wants to cheat can.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from agent.edits.syntax import parse_script
from agent.task.init.find_script import trains
from agent.task.init.metric.frameworks import framework_reports, logged_names
from agent.task.init.metric.meters import meter_code
from agent.task.init.metric.printed_text import VALUE, text_of
from agent.task.init.metric.printing_calls import is_printer, printed_lines
from agent.task.init.metric.scopes import Function, Scopes, last_name
from agent.task.init.metric.written_files import written_values
from agent.task.printed_number import ANY_TEXT, NUMBER, values_in
from agent.task.spec import ScoreSpec

_DEEPEST = 3  # assignments behind assignments
_FORMATTING = frozenset(
    {
        *("round", "float", "int", "str", "abs", "min", "max", "sum", "len", "format", "item", "mean", "median", "cpu"),
        *("detach", "numpy", "tolist", "compute", "result", "average", "sqrt", "exp", "log", "get", "append", "dict"),
    }
)
"""Functions and methods whose value is that of what they get, in another form."""
_STREAMS = frozenset({"print", "stdout", "stderr"})


def changed_metric_code(before: str, after: str, score: ScoreSpec, name: str) -> str | None:
    """Return the first place, `line 58: print(…)`, where two scripts differ in how they report the metric.

    Args:
        before: the script that is known to report it as it should.
        after: the edited script.
        score: the table [score] of a self-reported task.
        name: the metric's name.

    Returns:
        None if they report it in the same way.

    Raises:
        SyntaxError: a script does not parse.
    """
    known, edited = (list(_code(source, score, name)) for source in (before, after))
    expected, found = (Counter(text for text, _ in code) for code in (known, edited))
    for text, node in edited:
        if found[text] > expected[text]:
            return _described(node)
    return next((f"{_described(node)} is gone" for text, node in known if expected[text] > found[text]), None)


def _described(node: ast.AST) -> str:
    text = ast.unparse(node).split("\n")[0]
    return f"line {getattr(node, 'lineno', 1)}: {text if len(text) <= 60 else text[:59] + '…'}"


def _code(source: str, score: ScoreSpec, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield each part of the code that reports the metric, as text without formatting and with its node."""
    scopes = Scopes(parse_script(source))
    seen: set[int] = set()
    for node in _parts(scopes, score, name):
        if id(node) not in seen:
            seen.add(id(node))
            yield _dumped(node), node


def _parts(scopes: Scopes, score: ScoreSpec, name: str) -> Iterator[ast.AST]:
    for call in _reporting(scopes, score, name):
        yield call
        helper = scopes.called(call)
        if helper is not None and not is_printer(call):
            yield helper
        for use in _shown(call, scopes, score, name):
            yield from _feeding(use, scopes)
    yield from _of_trainers(scopes)
    yield from meter_code(scopes, score.line)
    for label in _labels(score, name):
        yield from _labelled(scopes, label)
    yield from _streams(scopes)


def _streams(scopes: Scopes) -> Iterator[ast.AST]:
    """Yield what binds another print, or another standard output."""
    for node in ast.walk(scopes.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            if last_name(node) in _STREAMS:
                yield scopes.statement(node)
        elif isinstance(node, Function):
            if node.name in _STREAMS:
                yield node
        elif isinstance(node, ast.Import | ast.ImportFrom) and any(one.asname in _STREAMS for one in node.names):
            yield node


def _reporting(scopes: Scopes, score: ScoreSpec, name: str) -> Iterator[ast.Call]:
    """Yield the calls that print or write the metric."""
    if score.file is not None:
        file = PurePosixPath(score.file).name  # a script that is started in a folder of the task has another path
        for one in written_values(scopes, ()):
            if one.file is not None and PurePosixPath(one.file).name == file and isinstance(one.node, ast.Call):
                yield one.node
        if file.lower().endswith((".csv", ".tsv")):  # of a table, what is found above is the header
            for node in ast.walk(scopes.tree):
                if isinstance(node, ast.Call) and last_name(node.func) in ("writerow", "writerows"):
                    yield node
        return
    for line in printed_lines(scopes, ()):
        if VALUE in line.text and _reports(line.text, score, name):
            yield line.call
    if any(report.line == score.line for report in framework_reports(scopes, ())):
        yield from (logged for _, logged in logged_names(scopes))


def _of_trainers(scopes: Scopes) -> Iterator[ast.AST]:
    """Yield what a Trainer of transformers computes its metrics of and with."""
    for node in ast.walk(scopes.tree):
        if isinstance(node, ast.Call) and last_name(node.func).endswith("Trainer"):
            for word in node.keywords:
                if word.arg in ("eval_dataset", "compute_metrics"):
                    yield word
                    yield from (one for one in [scopes.functions.get(last_name(word.value))] if one is not None)


def _reports(text: str, score: ScoreSpec, name: str) -> bool:
    if score.line is None:
        return re.search(rf"(?<!\w){re.escape(name)}:[ \t]*{VALUE}", text) is not None
    return any(True for _ in values_in(text.replace(VALUE, "1"), score.line))


def _shown(call: ast.Call, scopes: Scopes, score: ScoreSpec, name: str) -> Iterator[ast.expr]:
    """Yield the expressions in a call that may be the metric: where the text tells, the one in its place."""
    text = ""
    for argument in call.args:
        for part in argument.values if isinstance(argument, ast.JoinedStr) else [argument]:
            text += text_of(part, scopes)
            if score.file is None and isinstance(part, ast.FormattedValue) and _reports(text, score, name):
                yield part.value
                return
        text += " "
    yield from call.args
    yield from (word.value for word in call.keywords)


def _feeding(use: ast.expr, scopes: Scopes, depth: int = 0) -> Iterator[ast.AST]:
    """Yield the assignments that an expression gets its value from, and the functions called in these and in it."""
    for node in _taken(use):
        if isinstance(node, ast.Name):
            bound = scopes.binding(node.id, node)
            if isinstance(bound, ast.Assign | ast.AnnAssign | ast.AugAssign) and not _is_setting(bound, scopes):
                yield bound
                if bound.value is not None and depth < _DEEPEST:
                    yield from _feeding(bound.value, scopes, depth + 1)
        elif isinstance(node, ast.Call) and (function := scopes.called(node)) is not None:
            if trains(ast.Module(function.body, [])):
                yield from (one for one in ast.walk(function) if isinstance(one, ast.Return))
            else:
                yield function


def _taken(node: ast.AST) -> Iterator[ast.Name | ast.Call]:
    """Yield the names and calls whose value an expression takes over; not what is passed to other functions."""
    if isinstance(node, ast.Name):
        yield node
    elif isinstance(node, ast.Call):
        yield node
        if last_name(node.func) in _FORMATTING:
            inner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            for part in (*inner, *node.args):
                yield from _taken(part)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _taken(child)


def _is_setting(node: ast.Assign | ast.AnnAssign | ast.AugAssign, scopes: Scopes) -> bool:
    """Return whether a statement is a constant at the top of the script, which a search may set."""
    return scopes.function(node) is None and isinstance(node.value, ast.Constant) and _name_of(node).isupper()


def _name_of(node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> str:
    return last_name(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def _labels(score: ScoreSpec, name: str) -> list[str]:
    """Return the texts that go with the number wherever it is reported."""
    if score.file is not None:
        return [PurePosixPath(score.file).name, score.key or ""]
    return [score.line.partition(NUMBER)[0].rpartition(ANY_TEXT)[2].strip() if score.line else f"{name}:"]


def _labelled(scopes: Scopes, label: str) -> Iterator[ast.AST]:
    """Yield the calls and the assignments in which the label of the metric stands as text."""
    if not label:
        return
    whole = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)")
    for node in ast.walk(scopes.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str | bytes):
            continue
        text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        if whole.search(text):
            around = next((above for above in scopes.parents(node) if isinstance(above, ast.Call | ast.stmt)), None)
            if isinstance(around, ast.Call | ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return):
                yield around


def _dumped(node: ast.AST) -> str:
    """Return a node as text without formatting, comments and docstrings."""
    if not isinstance(node, Function):
        return ast.dump(node)
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    return f"{node.name} {ast.dump(node.args)} " + " ".join(map(ast.dump, body))
