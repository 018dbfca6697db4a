"""How a script prints its training loss, and the linear-time regular expressions that read it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.trials.learning_curve import Point

_UNSUPPORTED = ("++", "*+", "?+", "(?=", "(?!", "(?<=", "(?<!", "(?>")
PATTERN = (
    r"\bprogress[ =:]+(?P<progress>\d+(?:\.\d+)*|(?:\.\d+)+)\.?[^\w.]"
    r".*?\bloss[ =:]+(?P<loss>[-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?))"
)
"""What the bundled script prints: `step 00120 progress 0.512 loss 4.1234 ...`."""
EXEMPT = (
    "warm",
    "schedul",
    "anneal",
    "lr_factor",
    "batch",
    "seed",
    "budget",
    "progress",
    "epoch",
    "n_steps",
    "max_steps",
)
"""Parts of names whose edits change what a curve looks like half-way, where a task does not say which."""
_LARGEST = 1e100  # of a loss: sums of squares of larger ones are no floats any more


class Match(Protocol):
    """Where a pattern was found."""

    def groupdict(self) -> dict[str, Any]: ...  # text; None: the group is not in it


class Pattern(Protocol):
    """What `compiled` returns."""

    @property
    def groupindex(self) -> Mapping[str, int]: ...

    def search(self, text: str) -> Match | None: ...


def compiled(pattern: str) -> Pattern:
    """Return a pattern, whose classes are those of ASCII. Raises ValueError, saying what is wrong with it."""
    import re2  # 30 ms, which a task without a curve does without

    options: Any = re2.Options()
    options.log_errors = False  # it would print them
    try:
        found: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        hint = ""
        if any(part in pattern for part in _UNSUPPORTED):
            hint = "; look-around and possessive repetitions are not known, and nothing is tried twice without them"
        raise ValueError(f"no regular expression (RE2): {said}{hint}") from None
    return found


@dataclass(frozen=True)
class CurveFormat:
    """How a script prints its curve."""

    pattern: Pattern  # has the group `loss`, and `progress` (a share) or `used` (of the budget, in its unit)
    amount: float  # the budget, in its unit

    def point(self, line: str) -> Point | None:
        """Return the point that a line tells; None if it tells none. Whatever it claims, we can go on counting with."""
        found = self.pattern.search(line)
        if found is None:
            return None
        groups = found.groupdict()
        try:
            used = groups.get("used")
            share = float(groups["progress"]) if used is None else float(used) / self.amount
            loss = float(groups["loss"])
        except (TypeError, ValueError):  # an optional group is missing, or is no number
            return None
        if not math.isfinite(share):
            return None
        return Point(min(max(share, 0.0), 1.0), math.copysign(math.inf, loss) if abs(loss) > _LARGEST else loss)
