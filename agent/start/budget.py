"""How long a script trains, read from the names of its numbers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.start.values import Setting

_MANY = r"^(MAX_|NUM_|N_|TOTAL_|TRAIN_|TRAINING_)*"
_SECONDS = re.compile(
    r"^(MAX_|TRAIN_|TRAINING_|TOTAL_|WALL_|TIME_|BUDGET_|LIMIT_)+(S|SEC|SECS|SECONDS)$"
    r"|^(MAX_|TRAIN_|TRAINING_|TOTAL_)*(TIME_BUDGET|TIME_LIMIT|MAX_TIME|BUDGET_TIME)$"
)
_MINUTES = re.compile(r"^(MAX_|TRAIN_|TRAINING_|TIME_)*(BUDGET_|LIMIT_)?MINUTES$")
_STEPS = re.compile(rf"{_MANY}(STEPS|ITERS|ITERATIONS|STEP)$")
_EPOCHS = re.compile(rf"{_MANY}EPOCHS?$")


@dataclass(frozen=True)
class BudgetGuess:
    """What one training run may use, in the words of task.toml."""

    unit: str
    amount: float
    said: str  # how the script says it, `TIME_BUDGET = 300`; empty if it does not
    where: str
    counts: str = ""  # what, in the script's words

    @property
    def is_known(self) -> bool:
        return bool(self.said)


UNKNOWN = BudgetGuess("work", 1, "", "")
"""The script as it is: it trains as long as it does."""


def find_budget(settings: Iterable[Setting]) -> BudgetGuess:
    """Return the budget that one of `settings` states: seconds before steps before epochs; UNKNOWN if none does."""
    numbers = [setting for setting in settings if isinstance(setting.value, int | float) and setting.value > 0]
    for pattern, unit, times, counts in (
        (_SECONDS, "seconds", 1, "seconds"),
        (_MINUTES, "seconds", 60, "seconds"),
        (_STEPS, "steps", 1, "steps"),
        (_EPOCHS, "work", 1, "epochs"),
    ):
        for setting in numbers:
            if pattern.search(setting.name):
                said = f"{setting.shown} = {setting.value}"
                return BudgetGuess(unit, float(setting.value) * times, said, setting.where, counts)
    return UNKNOWN
