"""A self-reported score, for scripts that only print their metric. It is not checked, and every output says so."""

import math
import re

from agent.execution.scoring.scorer import Artifact, ScorerInputs
from agent.task.score_kinds import PRINTED
from agent.text import summary
from agent.trials.metric import Metric
from agent.trials.trial import Score, Status

KIND = PRINTED.recorded_as
LARGEST = 1e100  # the squares of larger numbers, needed for the noise, would overflow
# Possessive quantifiers, so that matching takes linear time on a long row of digits that a script prints.
_NUMBER = r"([-+]?(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?\d++)?+|[-+]?nan|[-+]?inf)(?![\w])"


class PrintedScorer:
    """Reads the metric from the script's log: `name: value` after the last line `---`, or the number within `line`.

    `line` is the text around the number, with {} in its place: `val loss {}`. The last such number counts.
    """

    def __init__(
        self, metric: Metric, line: str | None = None, between: tuple[float, float] = (-LARGEST, LARGEST)
    ) -> None:
        """`between`: the lowest and the highest value that the metric can have."""
        self._metric = metric
        self._line = line
        self._between = max(between[0], -LARGEST), min(between[1], LARGEST)

    def score(self, left_behind: Artifact) -> Score:
        """Return the printed value as a loss; rejected_score if there is no valid one."""
        if self._line is not None:
            values = numbers_in(left_behind.log, self._line)[-1:]
            if not values:
                return _rejected(f"the end of the log has no `{self._line}` with a number")
        else:
            values = printed_values(left_behind.log, self._metric.name)
        if len(values) != 1:
            how = "no line" if not values else f"{len(values)} lines"
            return _rejected(f"the log has {how} `{self._metric.name}: value` after its last `---`; there must be one")
        value, (low, high) = _number(values[0]), self._between
        if value is None:
            return _rejected(f"`{self._metric.name}: {values[0][:20]}` is not a finite number")
        if not low <= value <= high:
            return _rejected(f"`{self._metric.name}: {value:g}` is not between {low:g} and {high:g}")
        return Score(self._metric.to_loss(value), KIND, evidence={"printed": value})


def printed_values(log: str, name: str) -> list[str]:
    """Return the values of all lines `name: value` after the last `---`."""
    return re.findall(rf"^{re.escape(name)}:[ \t]*(\S+)[ \t]*$", summary(log), re.MULTILINE)


def numbers_in(log: str, line: str) -> list[str]:
    """Return every number in the place of {} in `line`; a blank in it matches any number of blanks."""
    before, after = (r"[ \t]+".join(map(re.escape, part.split())) for part in line.split("{}"))
    word = r"(?<!\w)" if before[:1].isalnum() else ""
    if not before:  # only the first of a row of blanks or digits starts a match, for linear time
        word = r"(?<![ \t])(?!(?<=\d)\d)"
    behind = rf"[ \t]*+{after}" if after else ""
    return re.findall(rf"{word}{before}[ \t]*+{_NUMBER}{behind}", log)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rejected(reason: str) -> Score:
    return Score(None, KIND, Status.REJECTED_SCORE, reason)


def open_scorer(inputs: ScorerInputs) -> PrintedScorer:
    """Return the scorer of this kind."""
    task = inputs.task
    return PrintedScorer(task.metric, task.score.line, task.score.between)
