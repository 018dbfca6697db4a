"""The task and the trials so far as a model reads them, in bounded space."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent.modes.prompting.trial_facts import trial_facts
from agent.trials.added_lines import AddedLines
from agent.trials.history import stands
from agent.trials.hybrid.turn_shares import tuned_by
from agent.trials.trial import KeepState, Status, Trial

N_LATEST = 5  # trials shown with their whole result, kept or not
N_REFUSALS = 3  # reasons why nothing ran
N_KINDS = 12  # groups of like ideas since the last gain
FACT_CHARACTERS = 500  # of what was observed of one trial
AGAIN_LINES, AGAIN_CHARACTERS, AGAIN_TRIALS = 2, 60, 5  # of lines that a rejected trial had before
LINE_CHARACTERS = 160
LOG_LINES = 20
NOTHING = "(none)"
STANDINGS = {
    KeepState.REVERTED: "reverted",
    KeepState.PROVISIONAL: "kept, not confirmed",
    KeepState.CONFIRMED: "confirmed",
    KeepState.REPEATED: "kept, and the gain held in a fresh run",
    KeepState.ROLLED_BACK: "rolled back: the gain did not hold in a fresh run",
}


@dataclass(frozen=True)
class Briefing:
    """The facts of a task, taken from the configuration that is enforced."""

    script: str  # the file that is edited
    metric: str  # as the user named it
    maximise: bool
    frozen: tuple[str, ...]  # files beside the script that are never edited
    limits: str  # one line: what a trial may use, e.g. "6 s of work, 2 GiB, 600 s wall"
    is_self_reported: bool = False  # the script prints its score
    memory_gb: float | None = None  # limit of a trial's memory; None: not known

    @property
    def goal(self) -> str:
        return f"{'maximise' if self.maximise else 'minimise'} {self.metric}"

    @property
    def scoring(self) -> str:
        """How the score comes about, in words."""
        if self.is_self_reported:
            return (
                f"The score is the {self.metric} that the script itself reports. Leave the code that computes and "
                "prints it as it is: a better number from a change of that code is no gain."
            )
        return "The harness scores on data that the script never sees; what the script prints does not count."

    def format_loss(self, val_loss: float | None) -> str:
        """Return a loss as the user's metric; "-" if there is none."""
        return "-" if val_loss is None else f"{-val_loss if self.maximise else val_loss:.5g}"

    def result(self, trial: Trial) -> str:
        """Return the result of a trial, e.g. "reverted, val_bpb 2.4512" or "crashed: no such name"."""
        if trial.outcome is None:
            return "waits for approval" if trial.waits_for_approval else "running now"
        if trial.outcome.status is Status.OK:
            return f"{self._standing(trial)}, {self.metric} {self.format_loss(trial.val_loss)}"
        reason = quoted_line(trial.outcome.reason)
        return f"{trial.outcome.status}: {reason}" if reason else str(trial.outcome.status)

    def _standing(self, trial: Trial) -> str:
        if trial.number == 0:
            return "the baseline"
        return STANDINGS[trial.standing or KeepState.REVERTED]


def quoted_line(text: str, most: int = LINE_CHARACTERS) -> str:
    """Return text from a model or a log as one printable line that cannot close its fence, of at most `most` signs."""
    line = " ".join(_unfenced(text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def quoted_log(log: str, n_lines: int = LOG_LINES) -> str:
    """Return the end of a log as a few short printable lines for a fence: data, never an instruction."""
    lines = [_unfenced(line.expandtabs(4).rstrip()) for line in log.splitlines() if line.strip()]
    return "\n".join(f"  {line[:LINE_CHARACTERS]}" for line in lines[-n_lines:])


def _unfenced(text: str) -> str:
    """Return text without unprintable characters and without the end of a fence."""
    return "".join(sign if sign.isprintable() else " " for sign in text.replace("```", "'''"))


@dataclass(frozen=True)
class TrialDigest:
    """The finished trials of a run, and those in flight, as lines."""

    briefing: Briefing
    trials: Sequence[Trial]
    pending: Sequence[Trial] = ()
    added: Mapping[int, AddedLines] = field(default_factory=dict)  # by trial, of edits that were written as code

    def kept(self, n_lines: int) -> str:
        """Return the trials that the incumbent is built on, the latest `n_lines`, oldest first."""
        return _bounded([self._line(trial) for trial in self.trials if stands(trial)], n_lines)

    def tried(self, n_lines: int) -> str:
        """Return the trials that ran and were not kept, similar ideas on one line, then those in flight.

        Of all these, the latest `n_lines`.
        """
        ran = [trial for trial in self.trials if trial.status and trial.status.ran and not stands(trial)]
        lines = [self._group(group) for group in _grouped(ran)]
        return _bounded([*lines, *(self._line(trial) for trial in self.pending)], n_lines)

    def refused(self, n_lines: int) -> str:
        """Return why proposals never ran, and how often: one line per reason, the latest N_REFUSALS at most."""
        refused = [trial for trial in self.trials if trial.status and not trial.status.ran]
        reasons: dict[str, list[Trial]] = {}
        for trial in refused:
            shape = re.sub(r"\d+", "", _shape(f"{trial.status} {self._reason(trial)}"))
            reasons[shape] = [*reasons.pop(shape, []), trial]
        lines = [
            f"{len(group)}x {last.status}, the last ({quoted_line(last.proposal.title)}): {self._reason(last)}"
            for group in reasons.values()
            for last in group[-1:]
        ]
        return _bounded(lines, min(n_lines, N_REFUSALS))

    def latest(self, n_lines: int) -> str:
        """Return the last trials with their results and measurements, oldest first."""
        latest = self.trials[-min(n_lines, N_LATEST) :] if n_lines else ()
        return "\n".join(line for trial in latest for line in self.described(trial)) or NOTHING

    def described(self, trial: Trial) -> Iterator[str]:
        """Yield the line of a trial, one with its measurements and one with re-introduced lines, if it has them."""
        yield self._line(trial)
        parent = next((each for each in self.trials if each.number == trial.parent), None)
        facts = quoted_line(trial_facts(trial, parent, self.briefing.memory_gb), FACT_CHARACTERS)
        again = _again(self.added[trial.number]) if trial.number in self.added else ""
        yield from (f"   {line}" for line in (facts, again) if line)

    def kinds_since(self, number: int, n_lines: int = N_KINDS) -> list[str]:
        """Return the kinds of ideas that ran after trial `number`, one a line, the latest N_KINDS at most."""
        last = next((place for place, trial in enumerate(self.trials) if trial.number == number), -1)
        ran = [trial for trial in self.trials[last + 1 :] if trial.status and trial.status.ran]
        groups = _grouped(ran)
        titles = [
            (f"{len(group)}x " if len(group) > 1 else "") + quoted_line(group[-1].proposal.title) for group in groups
        ]
        return _latest(titles, min(n_lines, N_KINDS))

    def last_ran(self) -> Trial | None:
        """Return the last trial that was executed."""
        return next((trial for trial in reversed(self.trials) if trial.status and trial.status.ran), None)

    def _line(self, trial: Trial) -> str:
        return f"{trial.number}: {quoted_line(trial.proposal.title)} -> {self.briefing.result(trial)}"

    def _group(self, group: Sequence[Trial]) -> str:
        """Return similar ideas as one line, with the best of their results, or else the last."""
        if len(group) == 1:
            return self._line(group[0])
        numbers = ", ".join(str(trial.number) for trial in group)
        scored = [trial for trial in group if trial.val_loss is not None]
        shown = min(scored, key=lambda trial: trial.val_loss or 0.0) if scored else group[-1]
        which = "best of them" if scored else "the last"
        idea = next((trial for trial in reversed(group) if tuned_by(trial) is None), group[-1])
        return f"{numbers}: {quoted_line(idea.proposal.title)} -> {which}: {self.briefing.result(shown)}"

    def _reason(self, trial: Trial) -> str:
        return quoted_line(trial.outcome.reason) if trial.outcome else ""


def _again(added: AddedLines) -> str:
    """Return which lines of a trial had been in rejected trials before, as one line; empty if none had."""
    if not added.again:
        return ""
    numbers = ", ".join(map(str, added.had_by[:AGAIN_TRIALS])) + (
        " and others" if len(added.had_by) > AGAIN_TRIALS else ""
    )
    trials = f"rejected trial{'s' if len(added.had_by) > 1 else ''} {numbers}"
    lines = " and ".join(quoted_line(line, AGAIN_CHARACTERS) for line in added.again[:AGAIN_LINES])
    more = " ..." if len(added.again) > AGAIN_LINES else ""
    return f"{len(added.again)} of its {added.n_lines} new lines had been in {trials}: {lines}{more}"


def _grouped(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return trials grouped by the words of their titles; groups are in the order of their last trial.

    A trial that only tunes the numbers of another one is part of that one's idea.
    """
    groups: dict[str, list[Trial]] = {}
    shapes: dict[int, str] = {}
    for trial in trials:
        base = tuned_by(trial)
        shape = _shape(trial.proposal.title) if base is None else shapes.get(base, f"tunes {base}")
        shapes[trial.number] = shape
        groups[shape] = [*groups.pop(shape, []), trial]
    return list(groups.values())


def _shape(text: str) -> str:
    """Return the words and numbers of a text: case and punctuation do not distinguish ideas."""
    return " ".join(re.findall(r"\w+(?:\.\d+)?", text.casefold()))


def _bounded(lines: Sequence[str], n_lines: int) -> str:
    return "\n".join(_latest(lines, n_lines)) or NOTHING


def _latest(lines: Sequence[str], n_lines: int) -> list[str]:
    """Return the last `n_lines`, and first how many are left out."""
    shown = list(lines[-n_lines:]) if n_lines else []
    if left_out := len(lines) - len(shown):
        shown.insert(0, f"({left_out} earlier ones are left out)")
    return shown
