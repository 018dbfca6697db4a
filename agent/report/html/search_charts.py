"""Charts of a search: all configurations in parallel coordinates, and the state of CMA-ES replayed from the journal."""

import math
from collections.abc import Mapping, Sequence

from agent.edits.edit import Params, Value
from agent.modes.mode import searched
from agent.modes.numeric import cma_host
from agent.modes.proposer import Context, seen_by
from agent.modes.registry import find_mode
from agent.modes.reported_trials import followed
from agent.report.html.charts import Chart, blank
from agent.report.html.svg import BLUE, GREEN, GREY, INK
from agent.search.cmaes import CMAState
from agent.search.parameters import Categorical, Parameter
from agent.search.space import SearchSpace
from agent.store.run_config import rule_of
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from agent.text import plural
from agent.trials.trial import Origin

MAX_LINES = 400
BEST_SHARE = 0.1
_LABEL_CHARACTERS = 14


def parallel(space: SearchSpace, scored: Sequence[tuple[str, Params, float]], *, name: str) -> Chart:
    """Return all configurations in parallel coordinates, each value at its place in the range; the best tenth on top.

    Args:
        scored: mark, parameters and loss (minimised) of trials with a loss and a value for every name of the space.
    """
    figure, (ax,) = blank(3.6)
    ranked = sorted(scored, key=lambda entry: entry[2])
    n_best = max(1, round(BEST_SHARE * len(ranked)))
    others = ranked[n_best:]
    n_others = max(0, MAX_LINES - n_best)
    thinned = others if len(others) <= n_others else [others[i * len(others) // n_others] for i in range(n_others)]
    marks: dict[str, list[str]] = {}
    columns = range(len(space.parameters))

    def line(rank: int, entry: tuple[str, Params, float], **style: object) -> None:
        mark, params, _ = entry
        gid = f"line-{rank}"
        ax.plot(columns, [place(p, params[p.name]) for p in space.parameters], gid=gid, **style)  # type: ignore[arg-type]
        marks[gid] = [mark]

    for rank, entry in enumerate(thinned, start=n_best):
        line(rank, entry, color=GREY, linewidth=0.8, alpha=0.45)
    for rank in reversed(range(min(n_best, MAX_LINES))):
        line(rank, ranked[rank], color=GREEN, linewidth=2.2 if rank == 0 else 1.0, alpha=1.0 if rank == 0 else 0.75)
    ax.set_xticks(columns, [_short(p.name) for p in space.parameters], rotation=20, ha="right")
    ax.set_xlim(-0.25, len(columns) - 0.75)
    ax.set_ylim(-0.09, 1.09)
    ax.grid(visible=False, axis="y")
    ax.yaxis.set_visible(False)
    ax.spines["left"].set_visible(False)
    for column, parameter in enumerate(space.parameters):
        for y, text, side in _ends(parameter):
            ax.annotate(text, (column, y), ha="center", va=side, color=INK, fontsize=8)
    names = plural(len(space.names), "name")
    told = f"{plural(len(ranked), 'configuration')} over {names}; the best {n_best} are highlighted"
    return Chart(name, "Configurations", told, figure, marks)


def step_size(states: Mapping[int, CMAState], *, name: str) -> Chart:
    """Return the overall step size of the search distribution before each trial."""
    figure, (ax,) = blank(2.4)
    ax.step(list(states), [state.sigma for state in states.values()], where="post", color=BLUE, linewidth=1.6)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("trial", color=INK)
    ax.set_ylabel("sigma, in the unit cube", color=INK)
    last = list(states.values())[-1]
    told = f"sigma over {last.generation} generations; {last.sigma:.3g} at the end"
    return Chart(name, "Step size", told, figure)


def means(space: SearchSpace, states: Mapping[int, CMAState], *, name: str) -> Chart:
    """Return the mean of the search distribution before each trial, ± one standard deviation, one panel per name."""
    shown = [p for p in space.parameters if not isinstance(p, Categorical)]
    n_columns = min(4, len(shown))
    n_rows = math.ceil(len(shown) / n_columns)
    figure, axes = blank(1.55 * n_rows + 0.3, n_columns=n_columns, n_rows=n_rows)
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    x = list(states)
    for ax, parameter in zip(axes, shown, strict=False):
        mean = [float(state.mean[parameter.name]) for state in states.values()]
        std = [float(state.std[parameter.name]) for state in states.values()]
        low = [max(m / s if parameter.log else m - s, parameter.low) for m, s in zip(mean, std, strict=True)]
        high = [min(m * s if parameter.log else m + s, parameter.high) for m, s in zip(mean, std, strict=True)]
        ax.fill_between(x, low, high, step="post", color=BLUE, alpha=0.18, linewidth=0)
        ax.step(x, mean, where="post", color=BLUE, linewidth=1.4)
        if parameter.log:
            ax.set_yscale("log")
            ax.minorticks_off()
            ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_title(_short(parameter.name, 24), fontsize=8.5, color=INK, loc="left")
        ax.tick_params(labelsize=7.5)
    told = f"mean of {plural(len(shown), 'name')} over the trials, ± one standard deviation"
    return Chart(name, "Mean of the search distribution", told, figure)


def place(parameter: Parameter, value: Value) -> float:
    """Return a value's place in its range, 0 to 1; choices are spaced evenly, in their order."""
    if isinstance(parameter, Categorical):
        return parameter.choices.index(value) / max(1, len(parameter.choices) - 1)
    return min(max(float(parameter.encode(value)[0]), 0.0), 1.0)


def _ends(parameter: Parameter) -> list[tuple[float, str, str]]:
    """Return the labels of an axis: height, text and vertical alignment of each."""
    if isinstance(parameter, Categorical):
        inner = [(place(parameter, c), _short(str(c)), "center") for c in parameter.choices[1:-1]]
        ends = [(-0.02, _short(str(parameter.choices[0])), "top"), (1.02, _short(str(parameter.choices[-1])), "bottom")]
        return inner + (ends if len(parameter.choices) > 1 else ends[:1])
    return [(-0.02, f"{parameter.low:g}", "top"), (1.02, f"{parameter.high:g}", "bottom")]


def _short(text: str, n_characters: int = _LABEL_CHARACTERS) -> str:
    return text if len(text) <= n_characters else text[: n_characters - 1] + "…"


def standing(stored: StoredRun, task: Task) -> Mapping[int, CMAState]:
    """Return CMA-ES's state before the first trial of each generation and before the last trial, by trial number.

    Args:
        stored: a run; the result is empty if its mode does not use CMA-ES.
        task: the run's task, with the baseline's script.
    """
    mode = find_mode(stored.config.mode)
    history = stored.history
    if mode is None or not mode.has_cma_state or len(history.trials) < 2:
        return {}
    _, told = followed(rule_of(stored.config), history.results, is_rounded=stored.config.rounded)
    host, state_now = cma_host(stored.config, task)
    states: dict[int, CMAState] = {}
    space = searched(stored.config, task)
    last_number = history.trials[-1].number
    for trial in history.trials[1:]:
        number, proposal = trial.number, trial.proposal
        finished, pending = seen_by(history, number, trial.n_seen)
        trials = [told.trial(each) for each in finished]
        # The baseline's script serves for all trials, since CMA-ES writes every name of the space.
        again = host.propose(Context(number, task.source, task.source, trials[0], trials, space, "", pending))
        if proposal.origin is Origin.SEARCHER and again.params != proposal.params:
            return {}  # an earlier version skipped points by estimates of memory that this version does not make
        state = state_now()
        last = list(states.values())[-1] if states else None
        if last is None or state.generation != last.generation or number == last_number:
            states[number] = state
    return states
