"""What a model is told of the trials so far: all of the run, in bounded space, like ideas on one line."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.history import stands
from agent.propose.briefing import NOTHING, Briefing, one_line
from agent.trial import Trial

N_LATEST = 5  # trials told with their whole result, whatever became of them
N_REFUSALS = 3  # reasons why nothing ran


@dataclass(frozen=True)
class Memory:
    """The finished trials of a run, and the one that runs meanwhile, as lines."""

    briefing: Briefing
    trials: Sequence[Trial]
    pending: Trial | None = None

    def kept(self, n_lines: int) -> str:
        """Return what the incumbent was built of, as far as is known, the latest `n_lines`, oldest first."""
        return _bounded([self._line(trial) for trial in self.trials if stands(trial)], n_lines)

    def tried(self, n_lines: int) -> str:
        """Return what ran and was not kept, like ideas on one line with their numbers, the latest `n_lines`."""
        ran = [trial for trial in self.trials if trial.status and trial.status.ran and not stands(trial)]
        lines = [self._group(group) for group in _grouped(ran)]
        if self.pending is not None:
            lines.append(f"{self.pending.number}: {one_line(self.pending.proposal.title)} -> running now")
        return _bounded(lines, n_lines)

    def refused(self, n_lines: int) -> str:
        """Return why proposals never ran and how often: one line a reason, the latest, at most N_REFUSALS."""
        refused = [trial for trial in self.trials if trial.status and not trial.status.ran]
        reasons: dict[str, list[Trial]] = {}
        for trial in refused:
            shape = re.sub(r"\d+", "", _shape(f"{trial.status} {self._reason(trial)}"))
            reasons[shape] = [*reasons.pop(shape, []), trial]
        lines = [
            f"{len(group)}x {last.status}, the last ({one_line(last.proposal.title)}): {self._reason(last)}"
            for group in reasons.values()
            for last in group[-1:]
        ]
        return _bounded(lines, min(n_lines, N_REFUSALS))

    def latest(self, n_lines: int) -> str:
        """Return the last trials with their results, oldest first."""
        return "\n".join(self._line(trial) for trial in self.trials[-min(n_lines, N_LATEST) :]) if n_lines else NOTHING

    def last_ran(self) -> Trial | None:
        """Return the last trial that was executed."""
        return next((trial for trial in reversed(self.trials) if trial.status and trial.status.ran), None)

    def _line(self, trial: Trial) -> str:
        return f"{trial.number}: {one_line(trial.proposal.title)} -> {self.briefing.result(trial)}"

    def _group(self, group: Sequence[Trial]) -> str:
        """Return like ideas as one line, with the best of their results, or else the last."""
        if len(group) == 1:
            return self._line(group[0])
        numbers = ", ".join(str(trial.number) for trial in group)
        scored = [trial for trial in group if trial.val_loss is not None]
        told = min(scored, key=lambda trial: trial.val_loss or 0.0) if scored else group[-1]
        which = "best of them" if scored else "the last"
        return f"{numbers}: {one_line(group[-1].proposal.title)} -> {which}: {self.briefing.result(told)}"

    def _reason(self, trial: Trial) -> str:
        return one_line(trial.outcome.reason) if trial.outcome else ""


def _grouped(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return trials by the words of their titles; groups in the order of their last trial."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        shape = _shape(trial.proposal.title)
        groups[shape] = [*groups.pop(shape, []), trial]
    return list(groups.values())


def _shape(text: str) -> str:
    """Return the words and numbers of a text: case and punctuation do not tell ideas apart."""
    return " ".join(re.findall(r"\w+(?:\.\d+)?", text.casefold()))


def _bounded(lines: Sequence[str], n_lines: int) -> str:
    shown = list(lines[-n_lines:]) if n_lines else []
    if left_out := len(lines) - len(shown):
        shown.insert(0, f"({left_out} earlier ones are left out)")
    return "\n".join(shown) or NOTHING
