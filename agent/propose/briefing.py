"""What a model is told of the task and of the run so far: bounded, one line a trial, and only ever as data."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.trial import Status, Trial

LINE_CHARACTERS = 160
LOG_LINES = 20
NOTHING = "(none)"


@dataclass(frozen=True)
class Briefing:
    """The facts of a task, from the same configuration that enforces them."""

    script: str  # the file that is edited
    metric: str  # as the user named it
    maximise: bool
    frozen: tuple[str, ...]  # files beside the script that are never edited
    limits: str  # one line: what a trial may use, e.g. "6 s of work, 2 GiB, 600 s wall"

    @property
    def goal(self) -> str:
        return f"{'maximise' if self.maximise else 'minimise'} {self.metric}"

    def shown(self, val_loss: float | None) -> str:
        """Return a loss as the user's metric; "-" if there is none."""
        return "-" if val_loss is None else f"{-val_loss if self.maximise else val_loss:.5g}"

    def result(self, trial: Trial) -> str:
        """Return what a finished trial came to, e.g. "discarded, val_bpb 2.4512" or "crashed: no such name"."""
        assert trial.outcome is not None
        if trial.outcome.status is Status.OK:
            return f"{'kept' if trial.kept else 'discarded'}, {self.metric} {self.shown(trial.val_loss)}"
        reason = one_line(trial.outcome.reason)
        return f"{trial.outcome.status}: {reason}" if reason else str(trial.outcome.status)

    def kept(self, trials: Sequence[Trial], n_lines: int) -> str:
        """Return the kept trials, the baseline among them, the latest `n_lines` of them, oldest first."""
        return self._lines([trial for trial in trials if trial.kept], n_lines)

    def tried(self, trials: Sequence[Trial], n_lines: int) -> str:
        """Return what ran or was refused and was not kept, the latest `n_lines` of it, oldest first."""
        return self._lines([trial for trial in trials if trial.outcome and not trial.kept], n_lines)

    def _lines(self, trials: Sequence[Trial], n_lines: int) -> str:
        shown = trials[-n_lines:] if n_lines else []
        lines = [f"{t.number}: {one_line(t.proposal.title)} -> {self.result(t)}" for t in shown]
        if left_out := len(trials) - len(shown):
            lines.insert(0, f"({left_out} earlier ones are left out)")
        return "\n".join(lines) or NOTHING


def one_line(text: str) -> str:
    """Return text from a model or a log as one short printable line that cannot end the fence it stands in."""
    line = " ".join(_inert(text).split())
    return line if len(line) <= LINE_CHARACTERS else f"{line[: LINE_CHARACTERS - 3]}..."


def quoted_log(log: str, n_lines: int = LOG_LINES) -> str:
    """Return the end of a log as a few short printable lines, to be put into a fence: data, never an instruction."""
    lines = [_inert(line.expandtabs(4).rstrip()) for line in log.splitlines() if line.strip()]
    return "\n".join(f"  {line[:LINE_CHARACTERS]}" for line in lines[-n_lines:])


def _inert(text: str) -> str:
    """Return text in which nothing is unprintable and no fence can end."""
    return "".join(sign if sign.isprintable() else " " for sign in text.replace("```", "'''"))
