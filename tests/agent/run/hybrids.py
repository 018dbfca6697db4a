"""Proposers of the hybrid modes for runs of the task `bigram` on a simulated machine, with stand-ins for the model."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace

from agent.edits.edit import Params, WholeFile
from agent.edits.guard import fingerprint
from agent.llm.model import Completion, Message, Schema
from agent.llm.prompt_templates import PromptSet
from agent.modes.centaur.proposer import CentaurProposer
from agent.modes.centaur.share import LLMTurns
from agent.modes.centaur_code.proposer import CentaurCodeProposer
from agent.modes.numeric import NumericProposer, host_of
from agent.modes.proposer import Context, Proposer
from agent.modes.searchers import build_searcher, host_named
from agent.search.space import SearchSpace
from agent.task.task import Task
from agent.trials.trial import Origin, Proposal, Status
from tests.agent.modes.run_so_far import BRIEFING


class PointsModel:
    """A model that offers points which its seed decides; some of its replies cannot be used."""

    name = "points"
    context_tokens = 100_000

    def __init__(self, space: SearchSpace, seed: str) -> None:
        self._space, self._chance = space, random.Random(seed)

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        if self._chance.random() < 0.2:
            return Completion("I would rather not.", self.name)
        return Completion(json.dumps({"configurations": [self._point() for _ in range(3)]}), self.name)

    def close(self) -> None: ...

    def _point(self) -> Params:
        import numpy as np

        return self._space.decode(np.array([self._chance.random() for _ in range(self._space.n_dims)]))


def centaur_on(host: str, task: Task, seed: int) -> CentaurProposer:
    """Return a Centaur whose model has about half of the turns."""
    assert task.space is not None
    space = task.space
    searcher = build_searcher(host, space, task.defaults, seed)
    return CentaurProposer(
        host_of(host_named(host).host_title or "", searcher, NumericProposer(searcher)),
        lambda number: PointsModel(space, f"{seed} {number}"),
        PromptSet.load("centaur"),
        BRIEFING,
        turns=LLMTurns(seed, share=0.9, warmup=1),
    )


class Structures:
    """Adds a constant with a range for each trial, as a model would; some proposals are refused."""

    def __init__(self, seed: int, refused: float = 0.2) -> None:
        """`refused`: the share of the proposals that repeat an earlier script."""
        self._seed, self._refused = seed, refused

    def propose(self, context: Context) -> Proposal:
        chance = random.Random(f"structure {self._seed} {context.number}")
        if chance.random() < self._refused:
            edit = WholeFile(context.source)
            return Proposal(Origin.LLM, "again", edit, refused=Status.DUPLICATE, reason="trial 0 again")
        script = f"{context.source}EXTRA_{context.number} = 0.5  # tune: 0..1\n"
        return Proposal(Origin.LLM, f"structure {context.number}", WholeFile(script), fingerprint=fingerprint(script))


def centaur_code(seed: int, structures: Proposer | None = None) -> CentaurCodeProposer:
    """Return a proposer of mode centaur-code; `structures` in place of the model, by default Structures.

    It does not tune the baseline, so that short runs reach structures.
    """
    made = CentaurCodeProposer(structures or Structures(seed), seed)
    tunables = made._rule.tunables
    made._rule = replace(made._rule, tunables=lambda base: tunables(base) if base.number else frozenset())
    return made
