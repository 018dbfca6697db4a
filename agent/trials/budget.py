"""The budget of a run, and the ledger of what it has spent."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.errors import UsageError
from agent.llm.model import ModelUsage
from agent.llm.spending_cap import Caps
from agent.text import plural
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str, option: str = "") -> float:
    """Return a duration such as `90s`, `30m`, `24h` or `1.5d` in seconds.

    Args:
        option: the option that gave it, for messages.

    Raises:
        UsageError: it is not a duration, or has no unit: who forgets the unit of `8h` must not get eight seconds.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?", text.strip())
    given = f"{option} {text!r}".strip()
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{given} is not a duration; write for example 90s, 30m, 24h or 2d")
    if match[2] is None:
        meant = f"{match[1]}h, {match[1]}m or {match[1]}s"
        raise UsageError(f"{given} is not a duration, because it has no unit; did you mean {meant}?")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class Budget:
    """Caps of a whole run; None: no cap. A trial that has started always finishes."""

    trials: int | None = None  # in total, including the baseline
    train_seconds: float | None = None
    wall_seconds: float | None = None
    caps: Caps = field(default_factory=Caps)  # of model calls

    def less(self, train_seconds: float, wall_seconds: float) -> "Budget":
        """Return the same budget with less time."""
        return replace(
            self,
            train_seconds=None if self.train_seconds is None else max(0.0, self.train_seconds - train_seconds),
            wall_seconds=None if self.wall_seconds is None else max(0.0, self.wall_seconds - wall_seconds),
        )

    @property
    def of_time(self) -> "Budget":
        """The caps on time only, which also apply to repeats."""
        return replace(self, trials=None, caps=Caps())


@dataclass(frozen=True)
class Ledger:
    """What a run has spent so far."""

    trials: int
    train_seconds: float  # charged: nominal for a success, measured for a failure and for smoke tests
    wall_seconds: float  # of the run: proposing, training, scoring and judging together, including repeats
    usage: ModelUsage | None  # all model calls; None if there were none
    device_seconds: float = 0.0  # that slots were held, all slots together, including lost attempts
    lost_seconds: float = 0.0  # of these, by attempts whose end is unknown

    @classmethod
    def of(cls, results: Iterable[Trial | Repeat]) -> "Ledger":
        """Return the sum over finished trials and repeats."""
        total = cls(0, 0.0, 0.0, None)
        for result in results:
            total = total.plus(result)
        return total

    def plus(self, result: Trial | Repeat) -> "Ledger":
        """Return the ledger after one more finished trial or repeat; a repeat adds time but no trial."""
        assert result.outcome is not None
        outcome = result.outcome
        after = replace(
            self,
            train_seconds=self.train_seconds + outcome.train_seconds,
            wall_seconds=self.wall_seconds + outcome.elapsed_seconds,
            device_seconds=self.device_seconds + outcome.slot_seconds,
            lost_seconds=self.lost_seconds + sum(lost.seconds for lost in result.lost),
        )
        if isinstance(result, Repeat):
            return after
        used = result.proposal.usage
        return replace(
            after,
            trials=self.trials + 1,
            train_seconds=after.train_seconds + result.proposal.smoke_seconds,
            usage=used if self.usage is None else self.usage.plus(used) if used is not None else self.usage,
        )

    def reserved(self, n_trials: int, n_repeats: int, train_seconds: float, wall_seconds: float) -> "Ledger":
        """Return the ledger with the expected cost of what is in flight.

        Args:
            train_seconds: expected charge of each trial and repeat.
            wall_seconds: expected wall time until all of them have ended.
        """
        return replace(
            self,
            trials=self.trials + n_trials,
            train_seconds=self.train_seconds + (n_trials + n_repeats) * train_seconds,
            wall_seconds=self.wall_seconds + wall_seconds,
        )

    def spent(self, budget: Budget) -> str | None:
        """Return a phrase that names the cap that is reached; None if none is."""
        if budget.trials is not None and self.trials >= budget.trials:
            return f"all {plural(budget.trials, 'trial')} {'is' if budget.trials == 1 else 'are'} done"
        if budget.train_seconds is not None and self.train_seconds >= budget.train_seconds:
            return f"the training budget of {duration(budget.train_seconds)} is spent"
        if budget.wall_seconds is not None and self.wall_seconds >= budget.wall_seconds:
            return f"the wall time budget of {duration(budget.wall_seconds)} is spent"
        return budget.caps.spent(self.model_tokens, self.usage.dollars if self.usage else 0.0)

    @property
    def model_tokens(self) -> int:
        """Tokens of all prompts and replies."""
        return self.usage.prompt_tokens + self.usage.completion_tokens if self.usage else 0

    def left(self, budget: Budget) -> str:
        """Return what remains of `budget`, as one line for people and models."""
        parts = []
        if budget.trials is not None:
            parts.append(plural(budget.trials - self.trials, "trial"))
        if budget.train_seconds is not None:
            parts.append(f"{duration(budget.train_seconds - self.train_seconds)} of training")
        if budget.wall_seconds is not None:
            parts.append(f"{duration(budget.wall_seconds - self.wall_seconds)} of wall time")
        if budget.caps.tokens is not None:
            parts.append(f"{max(0, budget.caps.tokens - self.model_tokens)} model tokens")
        return ", ".join(parts) or "no cap"


def seconds_left(spent: Ledger, budget: Budget, closing_seconds: float = 0.0) -> float | None:
    """Return the expected wall time until the first cap of a budget is reached, in seconds.

    Trials to come are assumed to take and to spend as much as those so far, repeats included.

    Args:
        spent: what the run has spent.
        closing_seconds: expected wall time of the runs that follow the last trial. They are a part of the caps on time.

    Returns:
        None if nothing is known: no trial has ended or nothing is capped, and there is no cap on wall time.
    """
    at_most = None if budget.wall_seconds is None else max(0.0, budget.wall_seconds - spent.wall_seconds)
    dollars = spent.usage.dollars if spent.usage is not None else None
    uses = (
        (spent.trials, budget.trials, closing_seconds),
        (spent.train_seconds, budget.train_seconds, 0.0),
        (spent.model_tokens, budget.caps.tokens, closing_seconds),
        (dollars, budget.caps.dollars, closing_seconds),
    )
    expected = [
        spent.wall_seconds * max(0.0, cap - used) / used + after
        for used, cap, after in uses
        if cap is not None and used
    ]
    return min((*expected, *([at_most] if at_most is not None else [])), default=None)


def duration(value: float) -> str:
    """Return seconds in a readable unit: 42 s, 12.5 min, 3.2 h."""
    value = max(value, 0.0)
    if value < 120:
        return f"{value:.0f} s"
    if value < 7200:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"
