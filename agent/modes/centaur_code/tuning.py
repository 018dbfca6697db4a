"""Tunes one structure: local-gp over its numbers, replayed from the trials that tuned it.

The searcher sees one structure as a run of its own: the base is its trial 0, the tuning trials are 1, 2, ... in the
order of their numbers. It starts at the base's values.

Trials of the scripts that the base was made from are evidence too. Of each, the searcher learns the point with the
values of the names that survived, all other names as in the base, and the loss

    loss of the base + RHO ** k * max(0, loss of the trial - loss of the script that was edited)

where k is 1 for the script that the base edited, 2 for the one before it, and so on. If the effects of the numbers
under one script and under the next have the same variance and the correlation RHO, then RHO times the gap under the one
is the best linear prediction of the gap under the other. A gap below zero counts as zero: a point that has not run
under this script never replaces its own best point.
"""

from collections.abc import Sequence
from dataclasses import replace

from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.edits.guard import fingerprint
from agent.modes.centaur_code.lineage import Lineage, TunedStructure, counted_loss
from agent.modes.centaur_code.scripts import Scripts
from agent.modes.centaur_code.tunable_space import own_point
from agent.modes.numeric import CheckedPoint, SearcherReplay
from agent.modes.proposer import Context
from agent.search.local_gp import LocalGPSearcher
from agent.search.local_search import key_of
from agent.search.searcher import Searcher
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Trial

RHO = 0.5
"""The correlation that is assumed between the effects of the numbers under a script and under an edit of it.

Half way between no information and the same script; nobody has measured it. A wrong value costs little, since a few
trials of the script itself outweigh the ancestors in the Gaussian process near the best point.
"""
N_GENERATIONS = 3  # RHO ** 4 would leave 6 % of a gap


class Tuner:
    """Proposes points for the numbers of one structure."""

    def __init__(
        self, structure: TunedStructure, space: SearchSpace, context: Context, scripts: Scripts, seed: int
    ) -> None:
        """Prepare.

        Args:
            structure: its base is what is tuned.
            space: the numbers of the base's script.
            context: one in which the base has finished.
            scripts: of the run.
            seed: of the run.
        """
        self._space = space
        self._scripts = scripts
        self.source = scripts.source(structure.base)
        self._start = own_point(self.source, space)
        known = _of_ancestors(structure.base, space, self._start, context, scripts)
        searcher = LocalGPSearcher(space, self._start, seed * 100_003 + structure.number)
        self._replay = SearcherReplay(_Informed(searcher, known), is_repeated=self._is_repeated)
        self._others: list[tuple[int, str]] = []  # trials of other structures: number, fingerprint
        self._numbers: list[int] = []  # of the base, of the tuning trials and of the next one

    @property
    def start(self) -> Params:
        """The base's own values."""
        return self._start

    def find(self, structure: TunedStructure, context: Context) -> CheckedPoint:
        """Return the point of the context's trial; one that must not run has the reason."""
        own = [structure.number, *(trial.number for trial in structure.tuning)]
        self._numbers = [*own, context.number]
        self._others = [
            (trial.number, trial.proposal.fingerprint or fingerprint(context.baseline_source))
            for trial in (*context.trials, *context.pending)
            if trial.number not in own and trial.proposal.refused is None
        ]
        return self._replay.find(self._as_own_run(structure, context))

    def _is_repeated(self, nth: int, point: Params) -> bool:
        """Return whether an earlier trial of another structure has the script that tuning trial `nth` would run."""
        made = fingerprint(Assignments(point).apply(self.source))
        return any(made == known for number, known in self._others if number < self._numbers[nth])

    def _as_own_run(self, structure: TunedStructure, context: Context) -> Context:
        """Return the context of the structure's own run, in which the base is trial 0."""
        members = {structure.number: _as_member(structure.base, 0, 0, self._start)}
        for nth, trial in enumerate(structure.tuning, start=1):
            seen = context.trials[: trial.number if trial.n_seen is None else trial.n_seen]
            n_seen = sum(each.number in self._numbers for each in seen)
            point = own_point(self._scripts.source(trial), self._space)
            members[trial.number] = _as_member(trial, nth, n_seen, point)
        return replace(
            context,
            number=len(members),
            source=self.source,
            baseline_source=self.source,
            incumbent=members[structure.number],
            trials=tuple(members[trial.number] for trial in context.trials if trial.number in members),
            space=self._space,
            pending=tuple(members[trial.number] for trial in context.pending if trial.number in members),
        )


class _Informed:
    """A searcher that learns `known` right after the base's loss."""

    def __init__(self, searcher: Searcher, known: Sequence[tuple[Params, float]]) -> None:
        """`known`: points with their assumed losses."""
        self._searcher = searcher
        self._known = known

    def ask(self, number: int) -> Params:
        return self._searcher.ask(number)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._searcher.tell(number, params, loss)
        if number == 0:
            for nth, (point, assumed) in enumerate(self._known, start=1):
                self._searcher.tell(-nth, point, assumed)

    def discard(self, number: int) -> None:
        self._searcher.discard(number)

    def release(self, number: int) -> None:
        self._searcher.release(number)


def _as_member(trial: Trial, nth: int, n_seen: int, point: Params) -> Trial:
    """Return a trial as the structure's own run has it."""
    origin = Origin.SEARCHER if nth else Origin.BASELINE
    return replace(trial, number=nth, n_seen=n_seen, proposal=replace(trial.proposal, origin=origin, params=point))


def _of_ancestors(
    base: Trial, space: SearchSpace, start: Params, context: Context, scripts: Scripts
) -> list[tuple[Params, float]]:
    """Return points with assumed losses for the numbers of `base`, from the trials that finished before it.

    They are those of the scripts that it was made from. Trials that finish later are left out, so that the searcher
    always learns the same.
    """
    numbers = [trial.number for trial in context.trials]
    before = context.trials[: numbers.index(base.number)]
    lineage, trials = Lineage(before), {trial.number: trial for trial in before}
    own_loss, known, keys = counted_loss(base), list[tuple[Params, float]](), {key_of(start)}
    edited, weight = base.parent, RHO
    for _ in range(N_GENERATIONS):
        if edited is None or own_loss is None:
            break
        structure, level = lineage.structure_of(trials[edited]), counted_loss(trials[edited])
        for trial in (structure.base, *structure.tuning):
            point, loss = _carried_over(scripts.constants(trial), space, start), counted_loss(trial)
            if loss is not None and level is not None and key_of(point) not in keys and not space.validate(point):
                keys.add(key_of(point))
                known.append((point, own_loss + weight * max(0.0, loss - level)))
        edited, weight = structure.base.parent, weight * RHO
    return known


def _carried_over(values: Params, space: SearchSpace, start: Params) -> Params:
    """Return `start` with the values of another script for the names that survived, where they are in range."""
    point = dict(start)
    for parameter in space.parameters:
        try:
            point[parameter.name] = parameter.read(values[parameter.name])
        except (KeyError, ValueError):
            continue
    return point
