"""The kept changes between baseline and result, the result's script without some of them, and what that shows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Params, Value
from agent.edits.line_diff import merged, n_changed_lines
from agent.errors import EditError, UsageError
from agent.search.constraints.constraint import Constraint
from agent.store.stored_run import StoredRun
from agent.text import one_line
from agent.trials.trial import Trial

N_LINES_OF_A_NAME = 2  # one out, one in


@dataclass(frozen=True)
class AblationChange:
    """A change that can be removed by itself: the edit of one trial or, if trials set parameters, one name."""

    key: str  # "7" for the edit of trial 7, or the name
    trials: tuple[int, ...]  # the trials that made it
    title: str
    recorded_gain: float  # by how much these trials lowered the loss when kept, shared equally by the names they set
    n_lines: int  # lines removed plus lines added


class ChangeVerdict(StrEnum):
    """What the removal of a change has shown."""

    CARRIES = "carries"  # without it, the loss is clearly worse or missing
    NO_EFFECT = "no effect found"
    NULL = "null"  # without it, the code is the same, or the loss is the same to the last digit
    HARMFUL = "harmful"  # the loss is clearly better without it
    NOT_TESTED = "not tested"

    @property
    def taken_out(self) -> bool:
        return self in (ChangeVerdict.NO_EFFECT, ChangeVerdict.NULL, ChangeVerdict.HARMFUL)


@dataclass(frozen=True)
class ChangeFinding:
    """The verdict on one change, with its effect."""

    change: AblationChange
    verdict: ChangeVerdict = ChangeVerdict.NOT_TESTED
    effect: float | None = None  # loss without the change minus loss with it: if positive, the change lowers the loss
    error: float | None = None  # standard error of the effect
    seeds: tuple[int, ...] = ()  # training seeds of the comparison
    along: tuple[str, ...] = ()  # changes that depend on it, and were removed with it
    reason: str = ""


@dataclass(frozen=True)
class Variant:
    """The result's script without some of its changes."""

    source: str
    without: frozenset[str]  # keys of changes


@dataclass(frozen=True)
class Step:
    """One kept trial: its parent's script and its own."""

    trial: int
    before: str
    after: str
    values: Params | None  # names whose values it changed; None: it edited the text


@dataclass(frozen=True)
class ChangeChain:
    """The trials from the baseline to the result of a run, as changes that can be removed."""

    result: int  # number of the trial at its end
    baseline: str
    source: str  # of the result
    changes: tuple[AblationChange, ...]  # in the order in which they were made
    steps: tuple[Step, ...]
    on_slices: bool = False  # whether the run confirmed its gains on slices; an ablation opens none
    constraints: tuple[Constraint, ...] = ()  # of the space, as far as the result meets them

    @classmethod
    def of(cls, stored: StoredRun) -> "ChangeChain":
        """Return the chain of a run: to its champion or, if its rule confirms nothing, to its incumbent.

        Raises:
            UsageError: the run has no result, or its result is the baseline, so that it has no change.
        """
        number = stored.keeper.result
        if number is None:
            raise UsageError(f"{stored.run_id} has no trial with a loss yet; wait for it, or `agent resume` it")
        if number == 0:
            raise UsageError(f"the result of {stored.run_id} is its baseline: {_why_nothing(stored)}")
        trials = stored.lineage(number)
        chain = cls.made_of(trials, [stored.task(trial.number).source for trial in trials])
        space = stored.task(number).space
        constraints = () if space is None else space.constraints
        return replace(chain, on_slices=stored.keeper.on_slices, constraints=constraints)

    @classmethod
    def made_of(cls, trials: Sequence[Trial], sources: Sequence[str]) -> "ChangeChain":
        """Return the chain of kept trials with their scripts: the baseline first, each an edit of the one before."""
        steps = [
            Step(trial.number, before, after, _values(trial, before, after))
            for trial, (before, after) in zip(trials[1:], pairwise(sources), strict=True)
        ]
        return cls(trials[-1].number, sources[0], sources[-1], tuple(_changes(trials, steps)), tuple(steps))

    def without(self, keys: frozenset[str]) -> Variant:
        """Return the script without some changes, and without the later changes that depend on them."""
        if not keys:
            return Variant(self.source, keys)
        source, left_out = self.baseline, set(keys)
        for step in self.steps:
            if step.values is not None:
                source, impossible = _with_values(source, {n: v for n, v in step.values.items() if n not in keys})
                left_out |= impossible
            elif str(step.trial) not in keys:
                carried_over = merged(step.before, source, step.after)
                if carried_over is None:
                    left_out.add(str(step.trial))
                else:
                    source = carried_over
        return Variant(source, frozenset(left_out & {change.key for change in self.changes}))

    def fault(self, variant: Variant) -> str | None:
        """Return which constraint the values of a variant break, in one line; None if they break none.

        Constraints with a name that the variant's script lacks do not count.
        """
        for constraint in self.constraints:
            with suppress(EditError):
                if (fault := constraint.fault(read_constants(variant.source, constraint.names))) is not None:
                    return fault
        return None


def _why_nothing(stored: StoredRun) -> str:
    incumbent = stored.history.incumbent
    if incumbent is None or incumbent.number == 0:
        return "no trial was kept, so there is no gain to attribute"
    return (
        f"trial {incumbent.number} is provisional, and only a confirmed gain can be attributed; continue the run with "
        f"`agent resume {stored.run_id}`"
    )


def _values(trial: Trial, before: str, after: str) -> dict[str, Value] | None:
    """Return the names whose values a trial changed, with the new values; None if it edited the text."""
    if not isinstance(trial.proposal.edit, Assignments):
        return None
    old = read_constants(before, trial.proposal.edit.values)
    new = read_constants(after, trial.proposal.edit.values)
    return {name: new[name] for name in new if new[name] != old[name]}


def _changes(trials: Sequence[Trial], steps: Sequence[Step]) -> Iterator[AblationChange]:
    """Yield the changes that can be removed by themselves, without names that returned to their first value."""
    gains = dict(zip((step.trial for step in steps), _gains(trials), strict=True))
    names: list[str] = []
    for trial, step in zip(trials[1:], steps, strict=True):
        if step.values is None:
            title, n_lines = one_line(trial.proposal.title), n_changed_lines(step.before, step.after)
            yield AblationChange(str(trial.number), (trial.number,), title, gains[trial.number], n_lines)
        else:
            names += [name for name in step.values if name not in names]
    for name in names:
        made_by = [(step, step.values) for step in steps if step.values is not None and name in step.values]
        began, ended = read_constants(made_by[0][0].before, [name])[name], made_by[-1][1][name]
        if began != ended:
            gain = sum(gains[step.trial] / len(values) for step, values in made_by)
            title = f"{name} {began!r} → {ended!r}"
            yield AblationChange(name, tuple(step.trial for step, _ in made_by), title, gain, N_LINES_OF_A_NAME)


def _gains(trials: Sequence[Trial]) -> Iterator[float]:
    """Yield by how much each trial after the first lowered its parent's loss, both in their first runs."""
    for parent, trial in pairwise(trials):
        assert trial.val_loss is not None
        assert parent.val_loss is not None
        yield parent.val_loss - trial.val_loss


def _with_values(source: str, values: Mapping[str, Value]) -> tuple[str, set[str]]:
    """Return a script with the given values, and the names that the script lacks."""
    impossible = set()
    for name, value in values.items():
        try:
            source = Assignments({name: value}).apply(source)
        except EditError:
            impossible.add(name)
    return source, impossible
