"""The metric that a script reports: its name, its direction, and where the number stands."""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from agent.errors import UsageError
from agent.task.init.metric.dead_code import DeadCode
from agent.task.init.metric.direction import Goal, is_clear, known_goal, words_of
from agent.task.init.metric.frameworks import framework_reports
from agent.task.init.metric.labels import Label, label_of, split_of
from agent.task.init.metric.meters import meter_reports
from agent.task.init.metric.printed_text import VALUE
from agent.task.init.metric.printing_calls import PrintedLine, printed_lines, printed_values
from agent.task.init.metric.scopes import Scopes, last_name
from agent.task.init.metric.written_files import written_values
from agent.task.init.python_file import Source
from agent.task.printed_number import ANY_TEXT, NUMBER, values_in
from agent.task.score_kinds import METRIC_FILES

_SUMMARY = re.compile(r"([A-Za-z][\w./-]*):[ \t]*\0[ \t%]*")
_BY_USER = "--metric"
Ask = Callable[["PrintedMetric"], Goal]
"""Asks the user for the direction of a metric."""


@dataclass(frozen=True)
class PrintedMetric:
    """A metric as the script prints or writes it."""

    name: str
    goal: Goal | None  # None: no word of its name is known
    line: str | None  # text with {} for the number; None: `name: number` after the last `---`, or in a file
    where: str
    of_training: bool = False  # nothing indicates held-out data
    is_test: bool = False  # of the test split, which a search should not see
    file: str | None = None  # the file that it is written to
    key: str | None = None  # its name in the file
    is_certain: bool = True  # whether the call is known to print
    node: ast.AST | None = field(default=None, compare=False)  # the call that prints or writes it

    @property
    def rank(self) -> tuple[bool, ...]:
        """The sort key of a guess, greater is better: held-out numbers, then those of a known direction."""
        known = self.goal is not None
        return not self.of_training, known, not self.is_test, self.is_certain, self.file is None, self.line is None

    @property
    def rank_beside(self) -> tuple[bool, ...]:
        """The sort key among numbers of one line or one summary: losses first."""
        return (self.goal == "minimise",)

    @property
    def option(self) -> str:
        """The value of --metric that names it."""
        return f"{self.file}:{self.key}" if self.file is not None else self.line or self.name

    @property
    def is_named_by_user(self) -> bool:
        """Whether it is the one of --metric."""
        return self.where == _BY_USER

    @property
    def place(self) -> str:
        """Where the number stands, for a person."""
        if self.file is not None:
            return f"writes {self.key} into {self.file}"
        return f"prints `{self.line}`" if self.line else f"prints `{self.name}: …` after `---`"


@dataclass(frozen=True)
class _Found:
    metric: PrintedMetric
    at: int  # numbers of one line or one summary have the same
    line: PrintedLine | None = None
    label: Label | None = None


def named_by_user(text: str) -> PrintedMetric:
    """Return the metric that the user names: `NAME` after `---`, the printed text with {} in it, or `FILE:KEY`.

    Raises:
        UsageError: it has several {}, or no key.
    """
    if text.count(NUMBER) > 1:
        raise UsageError(f"--metric {text!r}: write one {{}}, for the number that counts, and end the text after it")
    file, _, key = text.partition(":")
    if file.lower().endswith(METRIC_FILES):
        if not key:
            raise UsageError(f"--metric {text!r}: name the value in the file too, such as {file}:val_loss")
        return PrintedMetric(_name(key), known_goal(key), None, _BY_USER, file=file, key=key)
    if NUMBER not in text:
        return PrintedMetric(text, known_goal(text), None, _BY_USER)
    before = text.partition(NUMBER)[0].rpartition(ANY_TEXT)[2]
    label = label_of(before, "")
    if label is not None:
        return PrintedMetric(label.name, label.goal, text, _BY_USER)
    return PrintedMetric("metric", known_goal(before), text, _BY_USER)


def with_goal(metric: PrintedMetric, goal: Goal | None, ask: Ask | None) -> PrintedMetric:
    """Return a metric with its direction: the user's, else that of its name, else the answer to a question.

    Raises:
        UsageError: there is none of these.
    """
    if goal is not None or metric.goal is not None:
        return replace(metric, goal=goal or metric.goal)
    if ask is not None:
        return replace(metric, goal=ask(metric))
    shown = metric.line or metric.name
    raise UsageError(
        f"is a higher or a lower `{shown}` better ({metric.where})? Its name does not say: "
        "add --goal maximise or --goal minimise"
    )


def find_metrics(script: Source, modules: Sequence[Source] = (), arguments: Sequence[str] = ()) -> list[PrintedMetric]:
    """Return the metrics that a script reports, most likely first; of equals, the last printed one first.

    Args:
        modules: the script's own modules, which are asked where it prints nothing of held-out data.
        arguments: those that the script is run with; they decide which branches it enters.
    """
    found = find_metric(script, arguments, [module.tree for module in modules])
    if not any(not metric.of_training for metric in found):
        for module in modules:
            others = [other.tree for other in modules if other is not module]
            found += find_metric(module, arguments, others, is_script=False)
        found.sort(key=lambda metric: metric.rank, reverse=True)
    return found


def find_metric(
    source: Source,
    arguments: Sequence[str] = (),
    others: Sequence[ast.Module] = (),
    *,
    is_script: bool = True,
) -> list[PrintedMetric]:
    """Return the metrics that one file reports, as `find_metrics` does."""
    scopes = Scopes(source.tree, others)
    dead = DeadCode(scopes, arguments, is_script=is_script)
    lines = list(printed_lines(scopes, dead))
    found = list(_printed(source, lines, scopes))
    names = [one.metric.name for one in found if one.metric.line is None]
    twice = {name for name in names if names.count(name) > 1}  # a printed score needs exactly one such line
    found = [one for one in found if one.metric.line is not None or one.metric.name not in twice]
    found = [replace(one, metric=_unmistakable(one, lines)) for one in found]
    for report in (*framework_reports(scopes, dead), *meter_reports(scopes, dead), *written_values(scopes, dead)):
        metric = PrintedMetric(
            report.label.name,
            report.label.goal,
            report.line,
            source.at(report.node),
            report.label.split in (None, "train"),
            report.label.split == "test",
            report.file,
            report.key,
            node=report.node,
        )
        found.append(_Found(metric, getattr(report.node, "lineno", 0)))
    found.sort(key=lambda one: (one.metric.rank, one.at, one.metric.rank_beside), reverse=True)
    return [one.metric for one in found]


def _printed(source: Source, lines: Sequence[PrintedLine], scopes: Scopes) -> Iterator[_Found]:
    in_summary = False
    for line in lines:
        function = scopes.function(line.call)
        in_summary = in_summary or line.text.strip() == "---"
        parts = line.text.split(VALUE)
        for index, literal in enumerate(parts[:-1]):
            label = label_of(literal, line.before + VALUE.join(parts[:index]), function.name if function else "")
            if index < line.n_earlier or label is None or label.split == "train":
                continue
            if label.goal is None and (_behind(parts[index + 1]) or literal[-1:].isalnum()):
                continue  # `Test: [3/100]` counts batches, and `Test{suffix}` is a word
            alone = _SUMMARY.fullmatch(line.text) if in_summary else None
            blank = " " if literal[-1:].isspace() else ""
            text = f"{label.text}{blank}{NUMBER}{_behind(parts[index + 1])}"
            if _is_before_mean(line.call, parts[index + 1 :]):
                text = f"{label.text} {ANY_TEXT} ({NUMBER}"
            metric = PrintedMetric(
                alone[1] if alone else label.name,
                (_goal_of_value(line, index, scopes) if _is_vague(label.name) else None) or label.goal,
                None if alone else text,
                source.at(line.call),
                label.split is None,
                label.split == "test",
                is_certain=line.is_certain,
                node=line.call,
            )
            yield _Found(metric, 0 if alone else line.call.lineno, line, label)


def _is_vague(name: str) -> bool:
    """Return whether a name says only what data a number is of, or that it is a score: `val`, `cv_score`."""
    return not is_clear(name) and all(split_of(word) or known_goal(word) or word.isdigit() for word in words_of(name))


def _goal_of_value(line: PrintedLine, index: int, scopes: Scopes) -> Goal | None:
    """Return the direction that the expression of a number says, where its label says none: `Val: {val_acc:.3f}`.

    The name of a variable counts, and that of the function whose value it is: `score = mean_squared_error(...)`.
    """
    values = printed_values(line.call)
    if len(values) != line.text.count(VALUE):
        return None
    value: ast.expr | None = values[index]
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        return known_goal(str(value.slice.value)) if is_clear(str(value.slice.value)) else None
    for _ in range(3):
        name = last_name(value.func) if isinstance(value, ast.Call) else last_name(value) if value is not None else ""
        if is_clear(name):
            return known_goal(name)
        value = scopes.value(value.id, value) if isinstance(value, ast.Name) else None
    return None


def _is_before_mean(call: ast.Call, behind: Sequence[str]) -> bool:
    """Return whether a number is that of one batch, with the mean behind it: `{loss.val:.3f} ({loss.avg:.3f})`.

    Args:
        call: the call that prints it.
        behind: the texts between the numbers that follow.
    """
    attributes = {node.attr for node in ast.walk(call) if isinstance(node, ast.Attribute)}
    is_bracketed = len(behind) > 1 and behind[0].strip() == "(" and behind[1].startswith(")")
    return is_bracketed and {"val", "avg"} <= attributes


def _behind(text: str) -> str:
    """Return what must follow the number in the pattern: the sign of a fraction, of which it is the first part."""
    return "/" if text.lstrip().startswith("/") else ""


def _unmistakable(found: _Found, lines: Sequence[PrintedLine]) -> PrintedMetric:
    """Return a metric whose pattern fits no other printed line, with the start of its own line if that is needed."""
    metric, own, label = found.metric, found.line, found.label
    if metric.line is None or own is None or label is None:
        return metric
    others = [line.text for line in lines if line.call is not own.call]
    if not any(_fits(metric.line, text) for text in others) or label.split is None:
        return metric
    words = own.text.partition(VALUE)[0].rstrip("[( ").lstrip()
    longer = f"{words} {ANY_TEXT} {metric.line}"
    usable = label.is_split_before and words and not any(_fits(longer, text) for text in others)
    return replace(metric, line=longer) if usable else metric


def _fits(pattern: str, text: str) -> bool:
    return any(True for _ in values_in(text.replace(VALUE, "1"), pattern))


def _name(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
