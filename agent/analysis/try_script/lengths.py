"""How long a script is tried: from a fiftieth of its budget up to all of it, until it prints its metric."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.task.init.script_report import ScriptReport
from agent.task.init.shortening import Training, find_budget_setting, reads_variable
from agent.task.task import Task

SHARES = (0.02, 0.1, 0.4, 1.0)
"""Of the budget, in the order in which they are tried."""


@dataclass(frozen=True)
class Length:
    """A training with a part of the script's budget."""

    training: Training
    share: float  # of the budget; 1: the whole training
    text: str  # for people: `6 of 300 steps`
    budget: dict[str, str] = field(default_factory=dict)  # its TRAIN_BUDGET variables, if they are not the task's

    @property
    def is_whole(self) -> bool:
        return self.share >= 1


def lengths(task: Task, reading: ScriptReport) -> Iterator[Length]:
    """Yield trainings of the task's script, the shortest first and the whole last; only that if no budget is known."""
    training = Training(task.files, task.script, task.command)
    setting = find_budget_setting(training)
    if reads_variable(training) and reading.budget.is_known:
        total, counts = task.budget.amount, str(task.budget.unit)
    elif setting is not None:
        total, counts = setting.guess.amount, setting.guess.counts
    else:
        yield Length(training, 1.0, "the whole training")
        return
    seen: set[float] = set()
    for share in SHARES:
        amount = max(1.0, round(total * share))
        if amount >= total or share == 1:
            yield Length(training, 1.0, f"all {total:g} {counts}")
            return
        if amount in seen:
            continue
        seen.add(amount)
        text = f"{amount:g} of {total:g} {counts}"
        if reads_variable(training):
            yield Length(training, amount / total, text, {"TRAIN_BUDGET": f"{amount:g}"})
        elif setting is not None:
            yield Length(setting.shortened(training, amount), amount / total, text)
