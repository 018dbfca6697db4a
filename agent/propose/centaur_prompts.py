"""What a model is shown on its turn in a Centaur: our few lines, or the prompt that the paper published."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.edits.assignments import read_constants
from agent.edits.edit import Params
from agent.llm.model import Message
from agent.prompts import PromptSet
from agent.propose.briefing import Briefing
from agent.propose.configurations import correlations, derived, described, ran, shortlist, table
from agent.propose.notation import as_json
from agent.propose.proposer import Context
from agent.search.cmaes import CMAState
from agent.search.feasible import Estimate
from agent.search.space import SearchSpace
from agent.trial import Trial

HISTORY_ROWS = ((5, 3, 2), (2, 1, 1))  # best, latest and failed configurations; fewer where the prompt does not fit
PAPER_TOP, PAPER_RECENT = 5, 20
PAPER_WINDOW = 16_384  # tokens: 11,000 for 14 names, counted on prompts of the paper's own runs, and the reply


@dataclass(frozen=True)
class Turn:
    """What there is to say on a turn of the model."""

    context: Context
    state: CMAState
    point: Params  # the searcher's own
    estimate: Estimate | None  # of the memory that it needs; None: not known

    @property
    def space(self) -> SearchSpace:
        assert self.context.space is not None, "a mode with a searcher needs a search space"
        return self.context.space

    @property
    def best(self) -> Params:
        """The incumbent's values."""
        return read_constants(self.context.source, self.space.names)


Openings = Callable[[Turn, PromptSet, Briefing], Iterator[Sequence[Message]]]


def compact(turn: Turn, prompts: PromptSet, briefing: Briefing) -> Iterator[Sequence[Message]]:
    """Yield the prompt with ever fewer rows of history: at most 2,500 tokens for 14 names."""
    context, state = turn.context, turn.state
    for n_top, n_recent, n_failed in HISTORY_ROWS:
        values = {
            "metric": briefing.metric,
            "incumbent": str(context.incumbent.number),
            "result": f"{briefing.metric} {briefing.shown(context.best_loss)}",
            "table": table(turn.space, turn.best, state),
            "generation": str(state.generation),
            "sigma": f"{state.sigma:.3g}",
            "correlations": correlations(turn.space, state),
            "derived": derived(turn.space),
            "budget_left": context.budget_left,
            "point": as_json(turn.space, turn.point),
            "memory": _fits(turn.estimate),
            **shortlist(context, briefing, n_top=n_top, n_recent=n_recent, n_failed=n_failed),
        }
        system = prompts.fill("system", {"goal": briefing.goal, "limits": briefing.limits})
        yield [Message("system", system), Message("user", prompts.fill("user", values))]


def as_published(turn: Turn, prompts: PromptSet, briefing: Briefing) -> Iterator[Sequence[Message]]:
    """Yield the paper's prompt: every digit, the whole covariance matrix, no mean, and no system message."""
    context, state = turn.context, turn.state
    tried = list(ran(context))
    scored = [(trial.val_loss, trial, params) for trial, params in tried if trial.val_loss is not None]
    top = sorted(scored, key=lambda entry: entry[0])[:PAPER_TOP]
    covariance = np.array(state.covariance) / state.sigma**2
    result = f"{briefing.metric}={briefing.shown(context.best_loss)}"
    values = {
        "script": briefing.script,
        "goal": briefing.goal,
        "limits": briefing.limits,
        "space": described(turn.space, read_constants(context.baseline_source, turn.space.names)),
        "n_trials": str(len(context.trials)),
        "sigma": f"{state.sigma:.4f}",
        "point": json.dumps(turn.point, indent=2),
        "top": "\n".join(
            f"  {i}. {_result(trial, briefing)}: {json.dumps(params)}"
            for i, (_, trial, params) in enumerate(top, start=1)
        ),
        "size": "x".join(map(str, covariance.shape)),
        "order": ", ".join(f"{i}={turn.space.coordinate(name)}" for i, name in enumerate(state.axes)),
        "covariance": np.array2string(covariance, precision=4, suppress_small=True, threshold=sys.maxsize),
        "recent": "\n".join(f"  {json.dumps(p)} → {_result(trial, briefing)}" for trial, p in tried[-PAPER_RECENT:]),
        "result": result,
        "best": json.dumps(turn.best, indent=2),
    }
    yield [Message("user", prompts.fill("user", values))]


def _result(trial: Trial, briefing: Briefing) -> str:
    if trial.val_loss is None:
        return f"CRASHED ({trial.status})"
    return f"{briefing.metric}={briefing.shown(trial.val_loss)}"


def _fits(estimate: Estimate | None) -> str:
    """Return whether a point will fit, in words."""
    return "not known" if estimate is None else f"{estimate.told}, fits with a chance of {estimate.chance:.0%}"
