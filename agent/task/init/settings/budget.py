"""The training budget that a script's settings state."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.task.init.settings.setting import UNREAD, Setting

_MANY = r"^(MAX_|NUM_|N_|TOTAL_|TRAIN_|TRAINING_)*"
_ROWS = (
    (
        r"^(MAX_|TRAIN_|TRAINING_|TOTAL_|WALL_|TIME_|BUDGET_|LIMIT_)+(S|SEC|SECS|SECONDS)$"
        r"|^(MAX_|TRAIN_|TRAINING_|TOTAL_)*(TIME_BUDGET|TIME_LIMIT|MAX_TIME|BUDGET_TIME)$",
        *("seconds", 1, "seconds"),
    ),
    (r"^(MAX_|TRAIN_|TRAINING_|TIME_)*(BUDGET_|LIMIT_)?MINUTES$", "seconds", 60, "seconds"),
    (r"^(MAX_|TRAIN_|TRAINING_|TIME_)*(BUDGET_|LIMIT_)?HOURS$", "seconds", 3600, "seconds"),
    (rf"{_MANY}(TIMESTEPS|TIME_STEPS|ENV_STEPS|FRAMES)$", "steps", 1, "timesteps"),
    (rf"{_MANY}EPISODES?$", "work", 1, "episodes"),
    (rf"{_MANY}GENERATIONS?$", "work", 1, "generations"),
    (rf"{_MANY}(STEPS|ITERS?|ITERATIONS|STEP|UPDATES)$", "steps", 1, "steps"),
    (rf"{_MANY}EPOCHS?$", "work", 1, "epochs"),
    (rf"{_MANY}(BOOST_ROUNDS?|BOOSTING_ROUNDS?|ROUNDS?|ESTIMATORS|TREES)$", "work", 1, "rounds"),
)
"""Names, unit of task.toml, amount of the unit, what is counted; the first row that fits decides."""
_NAMES = tuple((re.compile(pattern), unit, times, counts) for pattern, unit, times, counts in _ROWS)
TIMESTEPS = _NAMES[3][0]
"""Names of the length of a training in steps of an environment. A script that has one counts rollouts in NUM_STEPS."""


@dataclass(frozen=True)
class BudgetGuess:
    """The training budget of one run, in the terms of task.toml."""

    unit: str
    amount: float
    as_written: str  # as in the script, `TIME_BUDGET = 300`; empty if it has none
    where: str
    counts: str = ""  # what it counts, in the script's words
    endless: Setting | None = None  # a length that is not positive, so that the script may never end

    @property
    def is_known(self) -> bool:
        return bool(self.as_written)


UNKNOWN = BudgetGuess("work", 1, "", "")
"""One run of the unchanged script, whose duration is unknown."""


def is_length(name: str) -> bool:
    """Return whether a name, in capitals, is that of a budget."""
    return any(pattern.search(name) for pattern, *_ in _NAMES)


def find_budget(settings: Iterable[Setting]) -> BudgetGuess:
    """Return the budget that one of `settings` states: seconds before steps before epochs; UNKNOWN if none does.

    What the user passes to the script comes first; a setting without effect does not count.
    """
    lengths = [setting for setting in settings if isinstance(setting.value, int | float)]
    in_effect = [setting for setting in lengths if setting.is_given or not setting.unused]
    given = [setting for setting in in_effect if setting.is_given]
    unread = [setting for setting in lengths if setting.unused == UNREAD]
    found = _stated(given) or _stated(in_effect) or _stated(unread)
    if found is not None:
        return found
    named = [setting for setting in in_effect if is_length(setting.key or setting.name)]
    endless = next((each for each in named if isinstance(each.value, int | float) and each.value <= 0), None)
    return BudgetGuess("work", 1, "", "", endless=endless)


def _stated(settings: Sequence[Setting]) -> BudgetGuess | None:
    for name, unit, times, counts in _NAMES:
        for setting in settings:
            value = setting.value
            if name.search(setting.key or setting.name) and isinstance(value, int | float) and value > 0:
                written = f"{setting.display_name} = {value}"
                return BudgetGuess(unit, float(value) * times, written, setting.where, counts)
    return None
