"""The metric that a script prints, inferred from its print calls: name, direction and place."""

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from agent.errors import UsageError
from agent.task.init.python_file import Source

_SPLIT = r"(?:val|valid|validation|dev|eval|heldout|held[_ -]out|test)"
_LOSSES = r"loss|bpb|bpc|ppl|perplexity|nll|mse|rmse|mae|error|err|wer|cer|cross[_ -]?entropy"
_GAINS = r"accuracy|acc|f1|auc|auroc|r2|bleu|iou|dice|precision|recall|reward|score"
_METRIC = re.compile(
    rf"(?<![a-zA-Z0-9])((?:{_SPLIT}[\w ./-]{{0,12}}?)?(?:{_LOSSES}|{_GAINS}))\b\s*(?:[:=|]|is|of)?\s*$", re.IGNORECASE
)
_TRAINING = re.compile(r"\b(train\w*|running|batch)[ _./-]*$", re.IGNORECASE)
_SUMMARY = re.compile(r"([A-Za-z][\w./-]*):[ \t]*\0[ \t]*")
_BY_PERCENT = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]")
_PRINTERS = re.compile(
    r"print|(\w+\.)*(log|logger|logging)\.(info|warning)|(sys\.std(out|err)|tqdm)\.write|(click\.)?echo"
)
_VALUE = "\0"
_MOST_CHARACTERS = 200  # before a number, searched for its name


@dataclass(frozen=True)
class PrintedMetric:
    """A metric as the script prints it."""

    name: str
    goal: Literal["minimise", "maximise"]
    line: str | None  # text with {} for the number; None: `name: number` after the last `---`
    where: str
    of_training: bool = False  # nothing indicates held-out data

    @property
    def rank(self) -> tuple[bool, bool]:
        """The sort key of a guess, greater is better: held-out numbers, then those of a summary after `---`."""
        return not self.of_training, self.line is None

    @property
    def rank_beside(self) -> tuple[bool, bool]:
        """The sort key among numbers of one line or one summary: losses first, the test split last."""
        return self.goal == "minimise", re.match("test", self.name, re.IGNORECASE) is None


def told_by_user(text: str) -> PrintedMetric:
    """Return the metric that the user names: `NAME`, printed after `---`, or the printed text with {} in it.

    Raises:
        UsageError: it has several {}.
    """
    if text.count("{}") > 1:
        raise UsageError(f"--metric {text!r}: write one {{}}, for the number that counts, and end the text after it")
    if "{}" not in text:
        return PrintedMetric(text, goal_of(text), None, "--metric")
    found = _METRIC.search(text.partition("{}")[0])
    name = _name(found[1]) if found else "metric"
    return PrintedMetric(name, goal_of(name), text, "--metric")


def goal_of(name: str) -> Literal["minimise", "maximise"]:
    """Return the direction of the metric with this name."""
    last = re.split(r"[^a-z0-9]+", name.lower())
    return "maximise" if any(re.fullmatch(_GAINS, word) for word in last) else "minimise"


def find_metric(source: Source) -> list[PrintedMetric]:
    """Return the metrics that a script prints, most likely first; of equals, the last printed line first."""
    found: list[tuple[int, PrintedMetric]] = []  # each with its line number; all lines of a summary count as one
    in_summary = False
    for node in sorted(_prints(source.tree), key=lambda call: (call.lineno, call.col_offset)):
        for line in _text(node).split("\n"):
            in_summary = in_summary or line.strip() == "---"
            n_before = len(found)
            for told in _metrics(line, source.at(node), in_summary=in_summary):
                found.append((0 if told.line is None else n_before, told))
    names = [told.name for _, told in found if told.line is None]
    twice = {name for name in names if names.count(name) > 1}  # a printed score needs exactly one such line
    single = [(at, told) for at, told in found if told.line is not None or told.name not in twice]
    single.sort(key=lambda one: (one[1].rank, one[0], one[1].rank_beside))
    return [told for _, told in reversed(single)]


def _metrics(line: str, where: str, *, in_summary: bool) -> Iterator[PrintedMetric]:
    before = line.split(_VALUE)[:-1]
    for index, whole in enumerate(before):
        literal = whole[-_MOST_CHARACTERS:]
        found = _METRIC.search(literal)
        if found is None or _TRAINING.search(literal[: found.start()]):
            continue
        name = _name(found[1])
        of_training = re.match(_SPLIT, found[1], re.IGNORECASE) is None
        alone = _SUMMARY.fullmatch(line)
        if in_summary and alone:
            yield PrintedMetric(alone[1], goal_of(alone[1]), None, where, of_training)
            continue
        text = literal[found.start() :] if not of_training else literal.lstrip(" ,;|") if index else literal
        yield PrintedMetric(name, goal_of(name), f"{text.strip()} {{}}", where, of_training)


def _name(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _prints(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _PRINTERS.fullmatch(ast.unparse(node.func)):
            yield node


def _text(call: ast.Call) -> str:
    """Return the text that a call prints, with `_VALUE` for each value."""
    return " ".join(_pieces(argument) for argument in call.args).replace("\r", "")


def _pieces(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_pieces(value) for value in values)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return _formatted(text)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()):
            return _BY_PERCENT.sub(_VALUE, text)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _pieces(left) + _pieces(right)
    return _VALUE


def _formatted(text: str) -> str:
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return text
    return "".join(literal + ("" if name is None else _VALUE) for literal, name, _, _ in parts)
