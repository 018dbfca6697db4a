"""The configurations of a run as a model reads them: the space, where its search stands, and rows of the history."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from agent.edits.assignments import read_constants
from agent.edits.edit import Params
from agent.propose.briefing import NOTHING, Briefing, one_line
from agent.propose.notation import row, written, written_mean, written_range, written_spread
from agent.propose.proposer import Context
from agent.search.cmaes import CMAState
from agent.search.space import Row, SearchSpace
from agent.trial import Trial

STRONG = 0.5  # correlations from here on are told
REASON_CHARACTERS = 60


def params_of(trial: Trial, context: Context) -> Params | None:
    """Return the values that a trial ran with; None if it ran with none of the space's."""
    if trial.proposal.params is not None:
        return trial.proposal.params
    assert context.space is not None
    return read_constants(context.baseline_source, context.space.names) if trial.number == 0 else None


def ran(context: Context) -> Iterator[tuple[Trial, Params]]:
    """Yield each trial that was executed, with its configuration, by number."""
    for trial in context.trials:
        params = params_of(trial, context)
        if trial.status is not None and trial.status.ran and params is not None:
            yield trial, params


def table(space: SearchSpace, best: Params, state: CMAState | None = None) -> str:
    """Return the space, one line a name, columns separated by commas; with `state` where the search stands too."""
    lines = ["name,type,low,high,mean,std,best" if state else "name,type,low,high,best"]
    for told, parameter in zip(space.table(), space.parameters, strict=True):
        kind = told.kind
        if told.kind == "categorical":
            kind = "choice " + "|".join(map(str, told.choices))
        elif told.log and told.kind != "power_of_two":
            kind = f"log {told.kind}"
        columns = [told.name, kind, *written_range(told.low, told.high)]
        if state is not None:
            columns.append(written_mean(parameter, state.mean[told.name]))
            columns.append(_std(space, told, float(state.std[told.name])))
        lines.append(",".join([*columns, written(parameter, best[told.name])]))
    return "\n".join(lines)


def _std(space: SearchSpace, told: Row, std: float) -> str:
    """Return a standard deviation as the table shows it: "3", "x1.4", or "x1.4 of width" for a derived coordinate."""
    searched = space.coordinate(told.name)
    if searched != told.name:
        return f"{written_spread(std, is_factor=True)} of {searched}"
    return written_spread(std, is_factor=told.log)


def derived(space: SearchSpace) -> str:
    """Return what is searched in place of names, "width = DEPTH * RATIO (16 to 768) in place of RATIO"."""
    told = [f"{each.told} in place of {each.parameter.name}" for each in space.derived]
    return "; ".join(told) or "every name itself"


def products(space: SearchSpace) -> str:
    """Return what has a range of its own beside the names, "width = DEPTH * ASPECT_RATIO (16 to 768)"; or "none"."""
    return "; ".join(each.told for each in space.derived) or "none"


def correlations(space: SearchSpace, state: CMAState, n_pairs: int = 4) -> str:
    """Return the strongest correlations of the search distribution, e.g. "more DEPTH with less MATRIX_LR (-0.71)"."""
    names = [name for name, n in Counter(state.axes).items() if n == 1]  # no order, neither more nor less
    pairs = [(state.correlation(a, b), space.coordinate(a), space.coordinate(b)) for a, b in combinations(names, 2)]
    strong = sorted((p for p in pairs if abs(p[0]) >= STRONG), key=lambda pair: -abs(pair[0]))[:n_pairs]
    told = [f"more {a} with {'more' if r > 0 else 'less'} {b} ({r:.2f})" for r, a, b in strong]
    return "; ".join(told) or "nothing strongly."


def shortlist(
    context: Context, briefing: Briefing, *, n_top: int = 5, n_recent: int = 3, n_failed: int = 2
) -> dict[str, str]:
    """Return the rows of a prompt: the `top` distinct configurations, the `recent` others, the `failed` ones.

    `failures` says how many failed of what, e.g. "12 out_of_memory, 1 diverged".
    """
    assert context.space is not None, "a model that chooses values needs a search space"
    space = context.space
    tried = list(ran(context))
    scored = [(trial.val_loss, trial, params) for trial, params in tried if trial.val_loss is not None]
    distinct: dict[str, tuple[float, Trial]] = {}
    for loss, trial, params in sorted(scored, key=lambda entry: entry[:1]):
        distinct.setdefault(row(space, params), (loss, trial))
    best = list(distinct.items())[:n_top]
    top_numbers = {trial.number for _, (_, trial) in best}
    others = [(loss, params) for loss, trial, params in scored if trial.number not in top_numbers]
    failed = [(trial, params) for trial, params in tried if trial.val_loss is None]
    counts = Counter(str(trial.status) for trial, _ in failed)
    return {
        "top": "\n".join(f"{briefing.shown(loss)}: {values}" for values, (loss, _) in best) or NOTHING,
        "recent": "\n".join(f"{briefing.shown(loss)}: {row(space, p)}" for loss, p in others[-n_recent:]) or NOTHING,
        "failures": ", ".join(f"{n} {status}" for status, n in counts.most_common()) or "none so far",
        "failed": "\n".join(f"{row(space, p)}: {_what_happened(trial)}" for trial, p in failed[-n_failed:]) or NOTHING,
    }


def _what_happened(trial: Trial) -> str:
    assert trial.outcome is not None
    reason = one_line(trial.outcome.reason)[:REASON_CHARACTERS]
    return f"{trial.outcome.status} {reason}".strip()
