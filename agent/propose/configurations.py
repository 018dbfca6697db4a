"""Configurations as a model reads them: short rows at few digits, and which of them are the same at those digits."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from agent.edits.assignments import read_constants
from agent.edits.edit import Params, Value
from agent.propose.briefing import NOTHING, Briefing, one_line
from agent.propose.proposer import Context
from agent.search.cmaes import CMAState
from agent.search.space import Row, SearchSpace
from agent.trial import Trial

DIGITS = 3  # significant ones of a float, in all that can be copied; also what "the same" means
DIGITS_OF_STATE = 2  # of means and spreads: nobody needs more of them
STRONG = 0.5  # correlations from here on are told
REASON_CHARACTERS = 60


def shown(value: Value, digits: int = DIGITS) -> str:
    """Return a value in few digits and without an exponent where that is short: 61000, 0.0371, SSSL."""
    return f"{float(f'{value:.{digits}g}'):g}" if isinstance(value, float) else str(value)


def shown_bound(bound: float | None) -> str:
    """Return an end of a range in full: "low and high are allowed" must be true as written."""
    return "" if bound is None else repr(bound)


def same(first: Params, second: Params) -> bool:
    """Whether two configurations cannot be told apart at the digits that a model sees."""
    return {name: shown(value) for name, value in first.items()} == {n: shown(value) for n, value in second.items()}


def changes(before: Params, after: Params, n_names: int = 4) -> str:
    """Return what differs as a title, e.g. "DEPTH 3→4, MATRIX_LR 0.04→0.031 and 2 more"."""
    changed = [name for name, value in after.items() if before.get(name) != value]
    if not changed:
        return "no value changes"
    first = ", ".join(f"{name} {shown(before[name])}→{shown(after[name])}" for name in changed[:n_names])
    return first if len(changed) <= n_names else f"{first} and {len(changed) - n_names} more"


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
    for row in space.table():
        kind, low, high = row.kind, shown_bound(row.low), shown_bound(row.high)
        if row.kind == "categorical":
            kind = "choice " + "|".join(map(str, row.choices))
        elif row.log and row.kind != "power_of_two":
            kind = f"log {row.kind}"
        columns = [row.name, kind, low, high]
        if state is not None:
            columns.append(shown(state.mean[row.name], DIGITS_OF_STATE))
            columns.append(_std(space, row, float(state.std[row.name])))
        lines.append(",".join([*columns, shown(best[row.name])]))
    return "\n".join(lines)


def _std(space: SearchSpace, row: Row, std: float) -> str:
    """Return a standard deviation as the table shows it: "3", "x1.4", or "x1.4 of width" for a derived coordinate."""
    product = space.coordinate(row.name)
    if product != row.name:
        return f"x{shown(std, DIGITS_OF_STATE)} of {product}"
    return ("x" if row.log else "") + shown(std, DIGITS_OF_STATE)


def derived(space: SearchSpace) -> str:
    """Return what is searched in place of a name, e.g. "width = DEPTH * ASPECT_RATIO in place of ASPECT_RATIO"."""
    told = [f"{each.name} = {each.formula} in place of {each.parameter.name}" for each in space.derived]
    return "; ".join(told) or "every name itself"


def described(space: SearchSpace, defaults: Params) -> str:
    """Return the space as the paper's prompt wrote it, e.g. "  DEPTH: Type: Int, Range: [4, 24], Default: 8"."""
    lines = []
    for row in space.table():
        if row.kind == "categorical":
            extent = f"Choices: {{{', '.join(map(str, row.choices))}}}"
        else:
            extent = f"Range: [{row.low}, {row.high}]"
        scale = ", on log-scale" if row.log else ""
        kind = row.kind.replace("_", " ").title().replace(" ", "")
        lines.append(f"  {row.name}: Type: {kind}, {extent}, Default: {defaults[row.name]}{scale}")
    return "\n".join(lines)


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
    tried = list(ran(context))
    scored = [(trial.val_loss, trial, params) for trial, params in tried if trial.val_loss is not None]
    distinct: dict[str, tuple[float, Trial]] = {}
    for loss, trial, params in sorted(scored, key=lambda entry: entry[:1]):
        distinct.setdefault(_row(params), (loss, trial))
    best = list(distinct.items())[:n_top]
    top_numbers = {trial.number for _, (_, trial) in best}
    others = [(loss, params) for loss, trial, params in scored if trial.number not in top_numbers]
    failed = [(trial, params) for trial, params in tried if trial.val_loss is None]
    counts = Counter(str(trial.status) for trial, _ in failed)
    return {
        "top": "\n".join(f"{briefing.shown(loss)}: {row}" for row, (loss, _) in best) or NOTHING,
        "recent": "\n".join(f"{briefing.shown(loss)}: {_row(p)}" for loss, p in others[-n_recent:]) or NOTHING,
        "failures": ", ".join(f"{n} {status}" for status, n in counts.most_common()) or "none so far",
        "failed": "\n".join(f"{_row(p)}: {_what_happened(trial)}" for trial, p in failed[-n_failed:]) or NOTHING,
    }


def as_json(params: Params) -> str:
    """Return a configuration as a model should answer it: JSON on one line, at the digits shown."""
    values = {name: float(shown(value)) if isinstance(value, float) else value for name, value in params.items()}
    return json.dumps(values, separators=(",", ":"))


def _row(params: Params) -> str:
    return ",".join(shown(value) for value in params.values())


def _what_happened(trial: Trial) -> str:
    assert trial.outcome is not None
    reason = one_line(trial.outcome.reason)[:REASON_CHARACTERS]
    return f"{trial.outcome.status} {reason}".strip()
