"""Formats for a model: the space, the state of the search, configurations of the history, numbers."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

from agent.edits.assignments import read_constants
from agent.edits.edit import Params, Value
from agent.modes.prompting.trial_digest import NOTHING, Briefing, quoted_line
from agent.modes.prompting.trial_facts import short_facts
from agent.modes.proposer import Context
from agent.search.cmaes import CMAState
from agent.search.parameters import Categorical, Parameter
from agent.search.space import SearchSpace, SpaceRow
from agent.text import one_line
from agent.trials.trial import Status, Trial

STRONG = 0.5  # the least correlation that is shown
REASON_CHARACTERS = 60
DIGITS, SHARE = 3, 1 / 1000
"""Of a float that can be copied: this many significant digits, and more until rounding moves it by at most this share
of its range (of the range's logarithm on a log scale). `same` compares configurations in these digits."""
DIGITS_OF_STATE, SHARE_OF_STATE = 2, 1 / 100  # of means, which need fewer


def params_of(trial: Trial, context: Context) -> Params | None:
    """Return the values that a trial ran with; None if it has none for the space."""
    if trial.proposal.params is not None:
        return trial.proposal.params
    assert context.space is not None
    return read_constants(context.baseline_source, context.space.names) if trial.number == 0 else None


def ran(context: Context) -> Iterator[tuple[Trial, Params]]:
    """Yield each trial that was executed, with its configuration, in the order in which they finished."""
    for trial in context.trials:
        params = params_of(trial, context)
        if trial.status is not None and trial.status.ran and params is not None:
            yield trial, params


def unapproved(context: Context) -> Iterator[tuple[Trial, Params]]:
    """Yield each trial that was not approved, with its configuration, in the order in which they finished."""
    for trial in context.trials:
        params = params_of(trial, context)
        if trial.status is Status.REFUSED and params is not None:
            yield trial, params


def running(context: Context) -> Iterator[tuple[Trial, Params]]:
    """Yield each trial in flight, with its configuration, by number."""
    for trial in context.pending:
        params = params_of(trial, context)
        if params is not None:
            yield trial, params


def table(space: SearchSpace, best: Params, state: CMAState | None = None) -> str:
    """Return the space as CSV, one line per name; `state` adds the mean and standard deviation of the search."""
    lines = ["name,type,low,high,mean,std,best" if state else "name,type,low,high,best"]
    for entry, parameter in zip(space.table(), space.parameters, strict=True):
        kind = entry.kind
        if entry.kind == "categorical":
            kind = "choice " + "|".join(map(str, entry.choices))
        elif entry.log and entry.kind != "power_of_two":
            kind = f"log {entry.kind}"
        columns = [entry.name, kind, *written_range(entry.low, entry.high)]
        if state is not None:
            columns.append(written_mean(parameter, state.mean[entry.name]))
            columns.append(_std(space, entry, float(state.std[entry.name])))
        lines.append(",".join([*columns, written(parameter, best[entry.name])]))
    return "\n".join(lines)


def _std(space: SearchSpace, entry: SpaceRow, std: float) -> str:
    """Return a standard deviation as the table shows it: "3", "x1.4", or "x1.4 of width" for a derived coordinate."""
    searched = space.coordinate(entry.name)
    if searched != entry.name:
        return f"{written_spread(std, is_factor=True)} of {searched}"
    return written_spread(std, is_factor=entry.log)


def derived(space: SearchSpace) -> str:
    """Return the coordinates that replace names, "width = DEPTH * RATIO (16 to 768) in place of RATIO"."""
    texts = [f"{each.description} in place of {each.parameter.name}" for each in space.derived]
    return "; ".join(texts) or "every name itself"


def products(space: SearchSpace) -> str:
    """Return the products of names with their own range, "width = DEPTH * ASPECT_RATIO (16 to 768)"; or "none"."""
    return "; ".join(each.description for each in space.derived) or "none"


def conditions(space: SearchSpace | None) -> str:
    """Return the part of a prompt that shows the constraints, with an empty line at its end; empty without any."""
    if space is None or not space.constraints:
        return ""
    texts = "\n".join(one_line(constraint.text) for constraint in space.constraints)
    return f"Conditions that the values of these constants must meet, or the script fails:\n\n```text\n{texts}\n```\n\n"


def correlations(space: SearchSpace, state: CMAState, n_pairs: int = 4) -> str:
    """Return the strongest correlations of the search distribution, e.g. "more DEPTH with less MATRIX_LR (-0.71)"."""
    names = [name for name, n in Counter(state.axes).items() if n == 1]  # not categorical ones: they have no order
    pairs = [(state.correlation(a, b), space.coordinate(a), space.coordinate(b)) for a, b in combinations(names, 2)]
    strong = sorted((p for p in pairs if abs(p[0]) >= STRONG), key=lambda pair: -abs(pair[0]))[:n_pairs]
    texts = [f"more {a} with {'more' if r > 0 else 'less'} {b} ({r:.2f})" for r, a, b in strong]
    return "; ".join(texts) or "nothing strongly."


def shortlist(
    context: Context, briefing: Briefing, *, n_top: int = 5, n_recent: int = 3, n_failed: int = 2
) -> dict[str, str]:
    """Return rows for a prompt: the `top` distinct configurations, the `recent` others, the `failed` ones.

    All trials in flight are among the recent ones, as "running now".
    `failures` counts the failures by status, e.g. "12 out_of_memory, 1 diverged".
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
    others = [(trial, params) for _, trial, params in scored if trial.number not in top_numbers]
    recent = [f"{_result(trial, briefing)}: {row(space, params)}" for trial, params in others[-n_recent:]]
    failed = [*((trial, params) for trial, params in tried if trial.val_loss is None), *unapproved(context)]
    counts = Counter(str(trial.status) for trial, _ in failed)
    return {
        "top": "\n".join(f"{briefing.format_loss(loss)}: {values}" for values, (loss, _) in best) or NOTHING,
        "recent": "\n".join([*recent, *(f"running now: {row(space, p)}" for _, p in running(context))]) or NOTHING,
        "failures": ", ".join(f"{n} {status}" for status, n in counts.most_common()) or "none so far",
        "failed": "\n".join(f"{row(space, p)}: {_what_happened(trial)}" for trial, p in failed[-n_failed:]) or NOTHING,
    }


def _result(trial: Trial, briefing: Briefing) -> str:
    """Return the loss of a trial with its measurements: "2.503 (train 2.41, 12 steps/s, memory 1.2 GiB)"."""
    facts = short_facts(trial)
    return briefing.format_loss(trial.val_loss) + (f" ({facts})" if facts else "")


def _what_happened(trial: Trial) -> str:
    assert trial.outcome is not None
    reason = quoted_line(trial.outcome.reason)[:REASON_CHARACTERS]
    return f"{trial.outcome.status} {reason}".strip()


def written(parameter: Parameter, value: Value) -> str:
    """Return a value in few digits, within its range as written: 61000, 0.0371, 0.99987, SSSL."""
    if isinstance(parameter, Categorical) or not isinstance(value, float):
        return str(value)
    return _text(_rounded(parameter, value, DIGITS, SHARE))


def written_mean(parameter: Parameter, value: Value) -> str:
    """Return the mean of a search distribution in even fewer digits; it may be "4.1" layers."""
    if isinstance(parameter, Categorical):
        return str(value)
    return _text(_rounded(parameter, float(value), DIGITS_OF_STATE, SHARE_OF_STATE))


def written_spread(std: float, *, is_factor: bool) -> str:
    """Return a standard deviation, "0.083", or a factor, "x1.31", in two digits of its effect on a value."""
    moved = std - 1 if is_factor else std
    decimals = DIGITS_OF_STATE - 1 - math.floor(math.log10(moved)) if moved > 0 else 0
    return f"{'x' if is_factor else ''}{_text(round(std, decimals))}"


def written_range(low: float | None, high: float | None) -> tuple[str, str]:
    """Return the ends of a range in full digits, since the prompt says that both ends are allowed."""
    return ("" if low is None else repr(low), "" if high is None else repr(high))


def row(space: SearchSpace, params: Params) -> str:
    """Return a configuration as one line, its values in the order of the space."""
    return ",".join(written(parameter, params[parameter.name]) for parameter in space.parameters)


def as_json(space: SearchSpace, params: Params) -> str:
    """Return a configuration in the form of an answer: JSON on one line, in the digits of `written`.

    Where so few digits would break a constraint, in all digits.
    """
    values = {name: _copied(parameter, params[name]) for name, parameter in _by_name(space).items()}
    if not space.meets_constraints(values):
        values = {name: params[name] for name in space.names}
    return json.dumps(values, separators=(",", ":"))


def same(space: SearchSpace, first: Params, second: Params) -> bool:
    """Whether two configurations are equal in the digits of `written`."""
    return row(space, first) == row(space, second)


def changes(space: SearchSpace, before: Params, after: Params, n_names: int = 4) -> str:
    """Return the differences as a title, e.g. "DEPTH 3→4, MATRIX_LR 0.04→0.031 and 2 more"."""
    changed = [(name, each) for name, each in _by_name(space).items() if before.get(name) != after[name]]
    if not changed:
        return "no value changes"
    texts = [f"{name} {written(each, before[name])}→{written(each, after[name])}" for name, each in changed[:n_names]]
    return ", ".join(texts) + (f" and {len(changed) - n_names} more" if len(changed) > n_names else "")


def _copied(parameter: Parameter, value: Value) -> Value:
    return float(written(parameter, value)) if parameter.kind == "float" else value


def _rounded(parameter: Parameter, number: float, digits: int, share: float) -> float:
    assert not isinstance(parameter, Categorical), "choices are written as they are"
    low, high = float(parameter.low), float(parameter.high)
    if number != 0:
        reach = number * math.log(high / low) if parameter.log else high - low  # the whole range in units of this value
        decimals = max(digits - 1 - math.floor(math.log10(abs(number))), math.ceil(-math.log10(2 * share * reach)))
        number = round(number, decimals)
    return min(max(number, low), high)


def _text(number: float) -> str:
    return repr(number + 0.0).removesuffix(".0")  # never -0


def _by_name(space: SearchSpace) -> Mapping[str, Parameter]:
    return dict(zip(space.names, space.parameters, strict=True))
