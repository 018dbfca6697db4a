"""What a model is told of the task and of a result; and how text from logs and models is made inert."""

from dataclasses import dataclass

from agent.trial import Standing, Status, Trial

LINE_CHARACTERS = 160
LOG_LINES = 20
NOTHING = "(none)"
STANDINGS = {
    Standing.REVERTED: "reverted",
    Standing.PROVISIONAL: "kept, not confirmed",
    Standing.CONFIRMED: "confirmed",
    Standing.ROLLED_BACK: "rolled back: a fresh run did not hold the gain",
}


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
        """Return what a trial came to, e.g. "reverted, val_bpb 2.4512" or "crashed: no such name"."""
        if trial.outcome is None:
            return "running now"
        if trial.outcome.status is Status.OK:
            return f"{self._standing(trial)}, {self.metric} {self.shown(trial.val_loss)}"
        reason = one_line(trial.outcome.reason)
        return f"{trial.outcome.status}: {reason}" if reason else str(trial.outcome.status)

    def _standing(self, trial: Trial) -> str:
        if trial.number == 0:
            return "the baseline"
        return STANDINGS[trial.standing or Standing.REVERTED]


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
