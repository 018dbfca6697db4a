"""The scripts of earlier trials, rebuilt from their edits, and the numbers in them that can be tuned."""

from collections.abc import Mapping

from agent.edits.assignments import all_constants
from agent.edits.edit import Params
from agent.modes.centaur_code.tunable_space import tunable_space
from agent.modes.proposer import Context
from agent.search.space import SearchSpace
from agent.trials.hybrid.turn_shares import tuned_by
from agent.trials.trial import Trial


class Scripts:
    """The scripts and spaces of the trials of a run. `see` gives it the trials."""

    def __init__(self) -> None:
        self._context: Context | None = None
        self._trials: Mapping[int, Trial] = {}
        self._sources: dict[int, str] = {}
        self._spaces: dict[int, SearchSpace | None] = {}

    def see(self, context: Context) -> None:
        """Take the trials of a context of the same run."""
        self._context = context
        self._trials = {trial.number: trial for trial in (*context.trials, *context.pending)}

    def source(self, trial: Trial) -> str:
        """Return the script of a trial that has started: its edit applied to its parent's script."""
        assert self._context is not None, "`see` comes first"
        waiting = [trial]
        while waiting[-1].parent is not None and waiting[-1].parent not in self._sources:
            waiting.append(self._trials[waiting[-1].parent])
        for each in reversed(waiting):
            parent = each.parent
            source = (
                self._context.baseline_source if parent is None else each.proposal.edit.apply(self._sources[parent])
            )
            if each is not trial or tuned_by(each) is None:  # those of tuning trials are needed once
                self._sources[each.number] = source
        return source

    def constants(self, trial: Trial) -> Params:
        """Return the constants of a trial's script, numbers and texts, by name."""
        return all_constants(self.source(trial), any_case=True)

    def space(self, trial: Trial) -> SearchSpace | None:
        """Return the space of the numbers in the script of a structure; None if it has none to tune."""
        assert self._context is not None, "`see` comes first"
        if trial.number not in self._spaces:
            source = self._sources.get(trial.number) or self.source(trial)
            self._spaces[trial.number] = tunable_space(source, self._context.baseline_source, self._context.space)
        return self._spaces[trial.number]

    def tunables(self, trial: Trial) -> frozenset[str]:
        """Return the names of the numbers that can be tuned in the script of a structure."""
        space = self.space(trial)
        return frozenset(space.names if space is not None else ())
