"""The format in which a script prints its learning curve, read by regular expressions in linear time."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.trials.learning_curve import Point

_UNSUPPORTED = ("++", "*+", "?+", "(?=", "(?!", "(?<=", "(?<!", "(?>")
PATTERN = (
    r"\bprogress[ =:]+(?P<progress>\d+(?:\.\d+)*|(?:\.\d+)+)\.?[^\w.]"
    r".*?\bloss[ =:]+(?P<loss>[-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?))"
)
"""The format of the bundled script: `step 00120 progress 0.512 loss 4.1234 ...`."""
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
"""Default parts of names: edits of such names change the shape of the curve, so they are never stopped half-way."""
_NUMBERS = ("progress", "used", "loss")
_CONTINUES = re.compile(r"[,:_]\d")  # behind a number that is only a part of what was printed
_LARGEST = 1e100  # losses above are clipped: sums of their squares would overflow


class PatternMatch(Protocol):
    """A match of a Pattern."""

    def groupdict(self) -> dict[str, Any]: ...  # text by group; None: the group did not match

    def end(self, group: int) -> int: ...


class Pattern(Protocol):
    """A compiled regular expression, as `compiled` returns it."""

    @property
    def groupindex(self) -> Mapping[str, int]: ...

    def search(self, text: str) -> PatternMatch | None: ...


def compiled(pattern: str) -> Pattern:
    """Return a compiled pattern with ASCII character classes. Raises ValueError with the reason if it is invalid."""
    import re2  # takes 30 ms, which a task without a curve avoids

    options: Any = re2.Options()
    options.log_errors = False  # do not print them
    try:
        found: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        hint = ""
        if any(part in pattern for part in _UNSUPPORTED):
            hint = "; look-around and possessive quantifiers are not supported"
        raise ValueError(f"not a valid regular expression (RE2): {reason}{hint}") from None
    return found


@dataclass(frozen=True)
class CurveFormat:
    """The format in which a script prints its learning curve."""

    pattern: Pattern  # has a group `loss`, and `progress` (a share) or `used` (of the budget, in its unit)
    amount: float  # the budget, in its unit

    def point(self, line: str) -> Point | None:
        """Return the point in a line, clipped to values that are safe to calculate with; None if there is none."""
        found = self.pattern.search(line)
        if found is None:
            return None
        groups = found.groupdict()
        try:
            used = groups.get("used")
            share = float(groups["progress"]) if used is None else float(used) / self.amount
            loss = float(groups["loss"])
            numbers = (place for name, place in self.pattern.groupindex.items() if name in _NUMBERS and groups[name])
            if any(_CONTINUES.match(line, found.end(place)) for place in numbers):
                return None
        except (TypeError, ValueError):  # an optional group is missing or not a number
            return None
        if not math.isfinite(share):
            return None
        return Point(min(max(share, 0.0), 1.0), math.copysign(math.inf, loss) if abs(loss) > _LARGEST else loss)
