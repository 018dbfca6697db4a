"""Lines that an edit adds again although an earlier, rejected trial had added them: counted, never refused.

A search that tries a rejected idea once more, under another title, adds the same lines. It is all derived from the
journal: the edits, applied to the baseline's script.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from agent.edits.edit import Edit
from agent.errors import EditError
from agent.trials.history import stands
from agent.trials.trial import Origin, Trial

_FEWEST_WORDS = 2  # names and numbers, without keywords, in a line that counts: `else:`, `)` or `return x` are no idea
_WORD = re.compile(r"\w+(?:\.\w+)*")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_AUTHORS = (Origin.LLM, Origin.AGENT, Origin.SUBMITTED)  # a mended change repeats its lines by design


@dataclass(frozen=True)
class AddedLines:
    """The lines that the edit of one trial adds to its parent's script; trivial ones and moved ones do not count."""

    n_lines: int
    again: tuple[str, ...]  # those that an earlier trial had added, which was rejected before this one was proposed
    had_by: tuple[int, ...]  # numbers of these earlier trials


@dataclass(frozen=True)
class ReintroducedShare:
    """How many of all lines that the edits of a run add had been in a rejected trial before."""

    n_lines: int
    n_again: int

    @property
    def share(self) -> float:
        return self.n_again / self.n_lines if self.n_lines else 0.0

    @classmethod
    def of(cls, added: Mapping[int, AddedLines]) -> "ReintroducedShare":
        return cls(sum(each.n_lines for each in added.values()), sum(len(each.again) for each in added.values()))


def added_lines(
    finished: Sequence[Trial], baseline_source: str, pending: Iterable[Trial] = ()
) -> dict[int, AddedLines]:
    """Return the added lines of each trial whose edit a model, a coding agent or a client wrote as code.

    Edits that only set values of a search space are left out, since such lines always come again. Rejected are trials
    that ran and do not stand: reverted, rolled back and failed ones.

    Args:
        finished: trials with their present standing, in the order in which they finished.
        baseline_source: the script of trial 0.
        pending: trials in flight.
    """
    from agent.edits.line_diff import changes  # takes 5 ms, which commands that only read a searcher's run avoid

    trials = {trial.number: trial for trial in (*finished, *pending)}
    written = [trial for trial in trials.values() if is_written(trial)]
    if not written:
        return {}
    scripts = _Scripts(trials, baseline_source)
    places = {trial.number: place for place, trial in enumerate(finished)}
    added: dict[int, dict[str, None]] = {}  # by trial: its lines, each once, in their order
    for trial in written:
        before, after = scripts.of(trial.parent), scripts.of(trial.number)
        if before is None or after is None or trial.parent is None:
            continue
        old, new = before.splitlines(), after.splitlines()
        known = scripts.lines_of(trial.parent)
        inserted = [line for _, _, start, end in changes(old, new) for line in new[start:end]]
        added[trial.number] = dict.fromkeys(
            line for each in inserted if (line := normalised(each)) and line not in known
        )
    rejected: dict[str, list[int]] = {}
    for number in sorted(added.keys() & places.keys(), key=places.__getitem__):
        if not stands(trials[number]):
            for line in added[number]:
                rejected.setdefault(line, []).append(number)
    result = {}
    for number, lines in added.items():
        if trials[number].proposal.origin not in _AUTHORS:
            continue
        n_seen = trials[number].n_seen
        n_known = number if n_seen is None else n_seen
        earlier = {line: [n for n in rejected.get(line, ()) if places[n] < n_known] for line in lines}
        again = tuple(line for line, numbers in earlier.items() if numbers)
        result[number] = AddedLines(len(lines), again, tuple(sorted({n for line in again for n in earlier[line]})))
    return result


def is_written(trial: Trial) -> bool:
    """Whether a trial ran, or will, with an edit that was written as code."""
    will_run = trial.proposal.refused is None if trial.status is None else trial.status.ran
    return will_run and trial.parent is not None and _is_code(trial.proposal.edit)


def normalised(line: str) -> str | None:
    """Return a line of Python without comment and indentation, with single blanks; None if it is trivial.

    Trivial are lines with fewer than two names or numbers apart from keywords, and imports.
    """
    text = " ".join(_COMMENT.sub("", line).split())
    if text.startswith(("import ", "from ")):
        return None
    words = [word for word in _WORD.findall(text) if not iskeyword(word)]
    return text if len(words) >= _FEWEST_WORDS else None


def _is_code(edit: Edit) -> bool:
    from agent.edits.assignments import Assignments
    from agent.edits.edit import Unchanged

    return not isinstance(edit, Assignments | Unchanged)


class _Scripts:
    """The scripts of trials: each edit applied to the script of its parent."""

    def __init__(self, trials: Mapping[int, Trial], baseline_source: str) -> None:
        self._trials = trials
        self._texts: dict[int, str | None] = {0: baseline_source}
        self._lines: dict[int, frozenset[str]] = {}

    def of(self, number: int | None) -> str | None:
        """Return a trial's script; None if it cannot be rebuilt, as of an edit that does not apply."""
        missing = []  # the trial and those of its ancestors whose scripts are not known, youngest first
        while number is not None and number not in self._texts:
            missing.append(number)
            number = self._trials[number].parent if number in self._trials else None
        text = None if number is None else self._texts[number]
        for each in reversed(missing):
            text = self._texts[each] = None if text is None else _applied(self._trials[each].proposal.edit, text)
        return text

    def lines_of(self, number: int) -> frozenset[str]:
        """Return the normalised lines of a trial's script."""
        if number not in self._lines:
            lines = (self.of(number) or "").splitlines()
            self._lines[number] = frozenset(line for each in lines if (line := normalised(each)) is not None)
        return self._lines[number]


def _applied(edit: Edit, source: str) -> str | None:
    try:
        return edit.apply(source)
    except EditError:
        return None
