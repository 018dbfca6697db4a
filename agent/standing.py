"""Where the optimizer of a run stood, trial by trial: re-driven from the journal, as resuming does."""

from collections.abc import Mapping

from agent.modes import host_of, searched
from agent.propose.proposer import Context
from agent.report.stored_run import StoredRun
from agent.search.cmaes import CMAState
from agent.task import Task
from agent.trial import Origin

OF_CMA_ES = ("cma-es", "centaur", "echo")


def standing(stored: StoredRun, task: Task) -> Mapping[int, CMAState]:
    """Return the state from which each trial was proposed, by number: the first of every generation, and the last.

    Args:
        stored: a run; if its mode has no CMA-ES, nothing is returned.
        task: the run's, with the baseline's script.
    """
    trials = stored.history.trials
    if stored.config.mode not in OF_CMA_ES or len(trials) < 2:
        return {}
    host, state_now = host_of(stored.config, task)
    states: dict[int, CMAState] = {}
    space = searched(stored.config, task)
    for number in range(1, len(trials)):
        # The baseline's script serves for all: the host writes every name of the space, whatever stood there.
        again = host.propose(Context(number, task.source, task.source, trials[0], trials[:number], space, ""))
        proposal = trials[number].proposal
        if proposal.origin is Origin.SEARCHER and again.params != proposal.params:
            return {}  # an earlier version left points out by estimates of memory that this one has not
        state = state_now()
        last = list(states.values())[-1] if states else None
        if last is None or state.generation != last.generation or number == len(trials) - 1:
            states[number] = state
    return states
