"""A self-reported score, for scripts that only print or write their metric. Nothing checks it; every output says so."""

import math
import re

from agent.execution.scoring.metric_file import read_metric_file
from agent.execution.scoring.scorer import Artifact, ScorerInputs
from agent.task.printed_number import plain_log, values_in, whole_number
from agent.task.score_kinds import PRINTED
from agent.task.spec import ScoreSpec
from agent.text import last_line, one_line, summary
from agent.trials.metric import Metric
from agent.trials.trial import Score, Status

KIND = PRINTED.recorded_as
LARGEST = 1e100  # the squares of larger numbers, needed for the noise, would overflow
_MOST_SHOWN = 100  # characters of a line of the log


class PrintedScorer:
    """Reads the metric from the script's log or from a file that it wrote.

    In the log, it is the line `name: value` after the last line `---`, or the last number in the place of {} in `line`:
    `val loss {}`. Standard output counts if it has the metric, and otherwise the log of both streams.
    """

    def __init__(self, metric: Metric, score: ScoreSpec | None = None) -> None:
        """`score`: the table [score] of the task; None: that of a task that prints `name: value` after `---`."""
        self._metric = metric
        self._spec = score or ScoreSpec(kind=PRINTED.name)
        between = self._spec.between
        self._between = max(between[0], -LARGEST), min(between[1], LARGEST)

    def score(self, artifact: Artifact) -> Score:
        """Return the value as a loss; rejected_score if there is no valid one."""
        try:
            value = self._value(artifact)
        except ValueError as fault:
            return Score(None, KIND, Status.REJECTED_SCORE, one_line(str(fault)))
        return Score(self._metric.to_loss(value), KIND, evidence={"printed": value})

    def _value(self, artifact: Artifact) -> float:
        """Return the metric. Raises ValueError if there is no number that can be its value."""
        spec, (low, high) = self._spec, self._between
        if spec.file is not None:
            value = read_metric_file(artifact.path, spec, self._metric)
        else:
            value = self._printed(artifact)
        name = self._metric.name
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value:g}, which is not a finite number")
        if not low <= value <= high:
            raise ValueError(f"`{name}: {value:g}` is not between {low:g} and {high:g}")
        return value

    def _printed(self, artifact: Artifact) -> float:
        """Return the number on standard output or, if that has none, in the log of both streams."""
        try:
            return self._number_in(artifact.stdout)
        except ValueError:
            return self._number_in(artifact.log)

    def _number_in(self, log: str) -> float:
        plain, line = plain_log(log), self._spec.line
        return number_of_line(plain, line) if line else number_of_summary(plain, self._metric.name)


def number_of_line(log: str, line: str) -> float:
    """Return the last number in the place of {} in `line`.

    Raises:
        ValueError: there is none, or what stands there is no whole number; the message has the line of the log.
    """
    values = list(values_in(log, line))
    if not values:
        raise ValueError(f"the end of the log has no `{line}` with a number; {_nearest(log, line)}")
    last = values[-1]
    if last.value is None:
        raise ValueError(f"no whole number in the place of {{}} in `{line}`: the log has `{_shown(last.line)}`")
    return last.value


def number_of_summary(log: str, name: str) -> float:
    """Return the number of the only line `name: number` after the last line `---`.

    A progress bar on standard error may have no end of line: then `---`, and the name, stand behind it.

    Raises:
        ValueError: there is no such line, or several, or it has no whole number; the message has the line of the log.
    """
    after = summary(log)
    lines = _values(after, name) or _values(after, name, is_glued=True)
    if len(lines) != 1:
        how = "no line" if not lines else f"{len(lines)} lines"
        problem = f"the log has {how} `{name}: value` after its last `---`; there must be one"
        raise ValueError(problem if lines else f"{problem}; {_nearest(log, name)}")
    value = whole_number(lines[0])
    if value is None:
        raise ValueError(f"`{name}: {_shown(lines[0])}` is not a whole number")
    return value


def _values(text: str, name: str, *, is_glued: bool = False) -> list[str]:
    start = r"(?<=[\])%.!])" if is_glued else "^"
    found = re.findall(rf"{start}{re.escape(name)}:[ \t]*+(\S.*)$", text, re.MULTILINE)
    return [value.rstrip(" \t") for value in found]


def _nearest(log: str, wanted: str) -> str:
    """Return the line of the log that shares most words with what was looked for, the last of several, in words."""
    words = set(re.findall(r"[a-z0-9]+", wanted.lower()))
    lines = [line for line in log.splitlines() if line.strip()]
    shared = [(len(words & set(re.findall(r"[a-z0-9]+", line.lower()))), n) for n, line in enumerate(lines)]
    n_words, best = max(shared, default=(0, 0))
    if not n_words:
        return f"its last line is `{_shown(last_line(log))}`"
    return f"the nearest line is `{_shown(lines[best])}`"


def _shown(line: str) -> str:
    text = one_line(line)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def open_scorer(inputs: ScorerInputs) -> PrintedScorer:
    """Return the scorer of this kind."""
    return PrintedScorer(inputs.task.metric, inputs.task.score)
