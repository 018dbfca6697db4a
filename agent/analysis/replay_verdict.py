"""The verdict of a replay: the recorded value, a difference that the noise explains, or a different value."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.analysis.recorded_trial import RecordedTrial
from agent.execution.environment import NAMES
from agent.task.score_kinds import is_self_reported
from agent.trials.learning_curve import PruningDecision
from agent.trials.metric import Metric
from agent.trials.trial import Outcome, Status

CONFIRMS_NOTHING = "a replay confirms nothing: it opens no slice; these are losses on the split that scores every trial"
"""Printed for every replay of a run that confirms gains on slices, reproduced or not."""


class ReplayVerdict(StrEnum):
    """Whether a replay reproduced the record."""

    EXACTLY = "reproduced exactly"
    SAME_FAILURE = "reproduced: it failed in the same way"
    WITHIN_NOISE = "reproduced within the noise"
    NOT = "not reproduced"


@dataclass(frozen=True)
class Difference:
    """A condition that a result may depend on, and that differs between record and replay."""

    name: str
    recorded: str
    here: str

    def __str__(self) -> str:
        return f"{self.name} (recorded {self.recorded}; here {self.here})"


@dataclass(frozen=True)
class ReplayResult:
    """A recorded trial and the outcome of its replay."""

    recorded: RecordedTrial
    outcome: Outcome
    train_seed: int
    deterministic: bool  # the budget is not in seconds, and no GPU is used: the same source gives the same loss
    sigma: float | None  # standard deviation of single runs over seeds; None: unknown
    folder: Path  # log and evidence
    test_loss: float | None = None  # None: the test split was not scored

    @property
    def difference(self) -> float | None:
        """Replayed minus recorded loss, both as scored; None if one of the two has no loss."""
        here, then = self.outcome.raw_loss, self.recorded.outcome.raw_loss
        return None if here is None or then is None else here - then

    @property
    def allowed(self) -> float | None:
        """The difference that 19 of 20 pairs of honest runs stay below; None if the noise is unknown."""
        return None if self.sigma is None else 2 * math.sqrt(2) * self.sigma

    @property
    def differs(self) -> tuple[Difference, ...]:
        """The recorded conditions that differ here."""
        then, here = self.recorded.outcome, self.outcome
        pairs = [("sandbox", then.sandbox, here.sandbox)] if then.sandbox else []
        pairs += [(n, then.conditions[n], here.conditions.get(n, "unknown")) for n in NAMES if n in then.conditions]
        if self.train_seed != self.recorded.train_seed:
            pairs.append(("training seed", str(self.recorded.train_seed), str(self.train_seed)))
        return tuple(Difference(*pair) for pair in pairs if pair[1] != pair[2])

    @property
    def verdict(self) -> ReplayVerdict:
        """Whether the record is reproduced.

        If no condition differs and the budget is deterministic, only the same value to all digits counts.
        """
        if self.halves is not None:
            return self._verdict_on(*self.halves)
        if self.difference is None:
            both = self.outcome.status is self.recorded.outcome.status
            return ReplayVerdict.SAME_FAILURE if both else ReplayVerdict.NOT
        if self.difference == 0:
            return ReplayVerdict.EXACTLY
        exactly = self.deterministic and not self.differs
        if exactly or self.allowed is None or abs(self.difference) > self.allowed:
            return ReplayVerdict.NOT
        return ReplayVerdict.WITHIN_NOISE

    @property
    def halves(self) -> tuple[PruningDecision, float] | None:
        """Why the trial was pruned, and the replay's level at half of the budget; None if either is missing.

        A pruned trial has no loss to compare, only its curve up to the point where it was stopped.
        """
        then, here = self.recorded.outcome, self.outcome.curve
        if then.status is not Status.PRUNED or then.condemned is None or here is None or here.half is None:
            return None
        return then.condemned, here.half

    def _verdict_on(self, then: PruningDecision, half: float) -> ReplayVerdict:
        if half == then.half:
            return ReplayVerdict.EXACTLY
        exactly = self.deterministic and not self.differs
        as_far_behind = half - (then.half - then.gap) > then.limit
        return ReplayVerdict.SAME_FAILURE if as_far_behind and not exactly else ReplayVerdict.NOT

    @property
    def reproduced(self) -> bool:
        return self.verdict is not ReplayVerdict.NOT

    def describe(self, metric: Metric) -> str:
        """Return the comparison as lines for people."""
        recorded = self.recorded
        rows = [
            ("recorded", _shown(recorded.outcome, metric)),
            ("replayed", _shown(self.outcome, metric)),
            ("difference", self.difference_in_words(metric)),
            ("noise", self._noise_in_words()),
            ("what differs", "; ".join(map(str, self.differs)) or self._same_in_words()),
        ]
        if self.halves is not None:
            then, half = self.halves
            why = f"it was stopped {then.gap:.4g} behind (limit {then.limit:.4g}) and ran to its end here"
            rows.append(("at half", f"curve {then.half:g} recorded, {half:g} replayed; {why}"))
        if self.test_loss is not None:
            rows.append(("on test", f"{metric.name} {metric.display(self.test_loss)!r}"))
        rows += [("flag", flag) for flag in self.outcome.flags]
        lines = [f"  {name + ':':14}{text}" for name, text in rows]
        head = f"replay of {recorded.name}, commit {recorded.commit[:7]}, training seed {self.train_seed}"
        verdict = f"{self.verdict}{f'; {CONFIRMS_NOTHING}' if recorded.on_slices else ''}"
        return "\n".join([head, *lines, f"  {'verdict:':14}{verdict}", f"  {'evidence:':14}{self.folder}"])

    def difference_in_words(self, metric: Metric) -> str:
        """Return the difference of the metric in words."""
        if self.difference is None:
            return "unknown: at least one of the two has no loss"
        return "none, to all digits" if self.difference == 0 else f"{metric.display(self.difference):+.3g}"

    def to_json(self, metric: Metric) -> dict[str, Any]:
        recorded, here = self.recorded, self.outcome
        return {
            "trial": recorded.name,
            "commit": recorded.commit,
            "seed": self.train_seed,
            "recorded": {"status": recorded.outcome.status.value, "val_loss": recorded.outcome.raw_loss},
            "replayed": {"status": here.status.value, "val_loss": here.val_loss, "reason": here.reason},
            "metric": asdict(metric),
            "difference": self.difference,
            "deterministic": self.deterministic,
            "sigma": self.sigma,
            "allowed": self.allowed,
            "at_half": {"recorded": self.halves[0].half, "replayed": self.halves[1]} if self.halves else None,
            "differs": {found.name: {"recorded": found.recorded, "here": found.here} for found in self.differs},
            "test_loss": self.test_loss,
            "verdict": self.verdict.value,
            "reproduced": self.reproduced,
            "outcome": here.to_json(),
        }

    def _noise_in_words(self) -> str:
        known = (
            "unknown; `agent noise` measures it"
            if self.allowed is None
            else f"sigma {self.sigma:g}: in 1 of 20 cases two runs differ by more than {self.allowed:.2g}"
        )
        if not self.deterministic:
            return known
        return f"none expected if nothing differs: the budget is deterministic ({known})"

    def _same_in_words(self) -> str:
        compared = [name for name in NAMES if name in self.recorded.outcome.conditions]
        if not compared:
            return "unknown: nothing was recorded"
        return f"nothing: {', '.join(['sandbox', *compared])} are the same"


def _shown(outcome: Outcome, metric: Metric) -> str:
    if outcome.val_loss is None:
        return f"{outcome.status}" + (f": {outcome.reason}" if outcome.reason else "")
    kind = " (self-reported)" if outcome.score is not None and is_self_reported(outcome.score.kind) else ""
    loss = outcome.val_loss if outcome.raw_loss is None else outcome.raw_loss
    corrected = " (as scored, before it was corrected for the machine's speed)" if loss != outcome.val_loss else ""
    return f"{metric.name} {metric.display(loss)!r}{kind}{corrected}"


def heading() -> str:
    """Return the heading of the lines that `row` returns."""
    return f"{'trial':>5}  {'commit':7}  {'recorded':>20}  {'replayed':>20}  {'difference':>20}  verdict"


def row(replayed: ReplayResult, metric: Metric) -> str:
    """Return one replay as a line of a table."""

    def short(outcome: Outcome) -> str:
        return outcome.status.value if outcome.raw_loss is None else repr(metric.display(outcome.raw_loss))

    recorded = replayed.recorded
    difference = "" if replayed.difference is None else replayed.difference_in_words(metric)
    return (
        f"{recorded.number:>5}  {recorded.commit[:7]}  {short(recorded.outcome):>20}  {short(replayed.outcome):>20}  "
        f"{difference:>20}  {replayed.verdict}"
    )
