"""The state of CMA-ES, replayed from the journal, and its charts: step size and mean of the search distribution."""

from collections.abc import Mapping

from agent.modes.mode import searched
from agent.modes.numeric import cma_host
from agent.modes.proposer import Context, seen_by
from agent.modes.registry import searcher_of
from agent.modes.reported_trials import followed
from agent.report.html.charts.chart import Band, Chart, ChartAxis, Line, Panel
from agent.report.html.charts.space import log_base
from agent.search.cmaes import CMAState
from agent.search.parameters import Categorical
from agent.search.space import SearchSpace
from agent.store.run_config import rule_of
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from agent.text import plural
from agent.trials.trial import Origin


def step_size(states: Mapping[int, CMAState], *, name: str) -> Chart:
    """Return the overall step size of the search distribution before each trial."""
    line = Line(list(states), [state.sigma for state in states.values()], is_stepped=True)
    panel = Panel(ChartAxis("trial", is_whole=True), ChartAxis("sigma, in the unit cube", low=0.0), [line])
    last = list(states.values())[-1]
    description = f"sigma over {last.generation} generations; {last.sigma:.3g} at the end"
    return Chart(name, "Step size", description, [panel])


def means(space: SearchSpace, states: Mapping[int, CMAState], *, name: str) -> Chart:
    """Return the mean of the search distribution before each trial, ± one standard deviation, one panel per name."""
    numeric = [p for p in space.parameters if not isinstance(p, Categorical)]
    x = list(states)
    panels = []
    for parameter in numeric:
        mean = [float(state.mean[parameter.name]) for state in states.values()]
        std = [float(state.std[parameter.name]) for state in states.values()]
        low = [max(m / s if parameter.log else m - s, parameter.low) for m, s in zip(mean, std, strict=True)]
        high = [min(m * s if parameter.log else m + s, parameter.high) for m, s in zip(mean, std, strict=True)]
        panels.append(
            Panel(
                ChartAxis("trial", is_whole=True),
                ChartAxis(log_base=log_base(parameter)),
                [Line(x, mean, width=1.4, is_stepped=True)],
                [Band(low, high, x, "blue", is_stepped=True)],
                title=parameter.name,
            )
        )
    description = f"mean of {plural(len(numeric), 'name')} over the trials, ± one standard deviation"
    return Chart(name, "Mean of the search distribution", description, panels)


def search_states(stored: StoredRun, task: Task) -> Mapping[int, CMAState]:
    """Return CMA-ES's state before the first trial of each generation and before the last trial, by trial number.

    Args:
        stored: a run; the result is empty if its searcher is not CMA-ES.
        task: the run's task, with the baseline's script.
    """
    searcher = searcher_of(stored.config)
    history = stored.history
    if searcher is None or not searcher.has_cma_state or len(history.trials) < 2:
        return {}
    _, reported = followed(rule_of(stored.config), history.results, is_rounded=stored.config.rounded)
    host, state_now = cma_host(stored.config, task)
    states: dict[int, CMAState] = {}
    space = searched(stored.config, task)
    last_number = history.trials[-1].number
    for trial in history.trials[1:]:
        number, proposal = trial.number, trial.proposal
        finished, pending = seen_by(history, number, trial.n_seen)
        trials = [reported.trial(each) for each in finished]
        # The baseline's script serves for all trials, since CMA-ES writes every name of the space.
        again = host.propose(Context(number, task.source, task.source, trials[0], trials, space, "", pending))
        if proposal.origin is Origin.SEARCHER and again.params != proposal.params:
            return {}  # an earlier version skipped points by estimates of memory that this version does not make
        state = state_now()
        last = list(states.values())[-1] if states else None
        if last is None or state.generation != last.generation or number == last_number:
            states[number] = state
    return states
