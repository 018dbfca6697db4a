"""Names of trials, as every command takes them: RUN/7, or 7 for a trial of the last run, and `best` and `champion`."""

import re
from dataclasses import dataclass

from agent.errors import UsageError
from agent.trials.history import History
from agent.trials.trial import Trial

BEST = "best"
"""Names the result so far, as `agent best` shows it: the champion, or the incumbent if no gain has been confirmed."""
CHAMPION = "champion"
"""Names the last confirmed incumbent; the baseline at first."""
NAMED = (BEST, CHAMPION)
_PATTERN = re.compile(rf"(?:([A-Za-z0-9][\w.-]*)/)?(\d{{1,6}}|{'|'.join(NAMED)})")


@dataclass(frozen=True)
class TrialName:
    """The name of a trial, not looked up yet."""

    run_id: str | None  # None: the run started last
    which: int | str  # its number, or one of NAMED

    @classmethod
    def parse(cls, text: str) -> "TrialName":
        """Return the name that a user has written. Raises UsageError if it names no trial."""
        refuse_minimal(text)
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not a trial; write RUN/7, or 7 for trial 7 of the last run; RUN/best and RUN/champion "
                "are names, too"
            )
        return cls(match[1], match[2] if match[2] in NAMED else int(match[2]))

    def number_in(self, run_id: str, history: History) -> int:
        """Return the number of the trial that the name means in a run, which may have no trial of that number.

        Raises:
            UsageError: it means the best trial or the champion, and no trial has a loss yet.
        """
        if isinstance(self.which, int):
            return self.which
        trial = best_of(history) if self.which == BEST else history.champion
        if trial is None or trial.val_loss is None:
            raise UsageError(
                f"{run_id} has no trial with a loss yet, so there is no {self.which}; `agent log {run_id}` shows what "
                "it is doing"
            )
        return trial.number


def best_of(history: History) -> Trial | None:
    """Return the result of a run so far: the champion, or the incumbent if no gain has been confirmed."""
    champion = history.champion
    return champion if champion is not None and champion.number != 0 else history.incumbent


def is_trial_name(text: str) -> bool:
    """Return whether text is the name of a trial, and not the hash of a commit, which has at least seven digits."""
    return _PATTERN.fullmatch(text) is not None


def refuse_minimal(name: str | None) -> None:
    """Raise UsageError, with the replacement, for a name RUN/minimal, which was a trial in earlier versions."""
    run_id, _, last = (name or "").rpartition("/")
    if run_id and last == "minimal":
        raise UsageError(
            f"{name} is not a trial any more: `agent attribute {run_id}` writes minimal.py and minimal.patch, and "
            f"`agent export {run_id} --minimal --to REPO --branch NAME` commits the script"
        )
