"""Stand-ins for a language model, of known skill: they read the prompt and answer as a model does, from the surrogate.

Each reads the incumbent's values from the table of the prompt, in the digits shown there, and draws candidates: points
of the whole space, or local moves, which change about three tenths of the incumbent's values by .12 of their range. It
rates candidates by the surrogate's loss without its noise, plus noise of the stand-in's own (`rating_noise`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params, Value
from agent.llm.model import Completion, Message, Schema
from agent.modes.prompting.configuration_reply import OFFERED
from agent.search.local_search import MUTATED, STEP, mutant
from agent.search.parameters import Categorical
from benchmarks.autoresearch.experiment import LIMIT_GB, SPACE
from benchmarks.autoresearch.surrogate import Surrogate

PLAIN = SPACE.plain()
N_OFFERED = 4


@dataclass(frozen=True)
class Skill:
    """How a stand-in finds the points that it offers."""

    help: str
    n_candidates: int = N_OFFERED
    is_local: bool = True  # candidates are local moves, not draws from the whole space
    step: float = STEP  # of a local move, as a share of each range
    mutated: float = MUTATED  # share of the values that a local move changes
    rating_noise: float = math.inf  # standard deviation, in val_bpb; infinite: it sees nothing
    prefers_worst: bool = False
    sees_memory: bool = False  # it leaves out what does not fit in memory


SKILLS = {
    "adversary": Skill(
        "the worst 4 of 40 draws that fit in memory",
        n_candidates=40,
        is_local=False,
        rating_noise=0.0,
        prefers_worst=True,
        sees_memory=True,
    ),
    "saboteur": Skill(
        "the worst 4 of 40 local moves that fit in memory",
        n_candidates=40,
        rating_noise=0.0,
        prefers_worst=True,
        sees_memory=True,
    ),
    "copyist": Skill("the incumbent with one value changed by a thousandth of its range", step=0.001, mutated=0.0),
    "random": Skill("4 draws from the space", is_local=False),
    "weak": Skill("the best 4 of 8 local moves, by that loss with noise .003", n_candidates=8, rating_noise=0.003),
    "strong": Skill(
        "the best 4 of 40 local moves that fit in memory, by that loss with noise .001",
        n_candidates=40,
        rating_noise=0.001,
        sees_memory=True,
    ),
}


class StandIn:
    """A model of a known skill."""

    context_tokens = 1_000_000

    def __init__(self, name: str, surrogate: Surrogate, seed: int) -> None:
        """`name`: of SKILLS."""
        self.name = name
        self._skill = SKILLS[name]
        self._surrogate = surrogate
        self._rng = np.random.default_rng([seed, list(SKILLS).index(name), 27])

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        ranked = self._ranked(incumbent_of(messages[1].content))
        is_list = schema is not None and schema.name == OFFERED
        answer = {OFFERED: ranked[:N_OFFERED]} if is_list else ranked[0]
        return Completion(json.dumps(answer), self.name)

    def close(self) -> None:
        pass

    def _ranked(self, incumbent: Params) -> list[Params]:
        """Return the candidates, the one that it likes best first."""
        skill = self._skill
        candidates: list[Params] = []
        while len(candidates) < skill.n_candidates:
            params = self._drawn(incumbent)
            if not (skill.sees_memory and self._surrogate.memory_gb(params) > LIMIT_GB):
                candidates.append(params)
        if math.isinf(skill.rating_noise):
            return candidates
        noise = skill.rating_noise * self._rng.standard_normal(len(candidates))
        seen = np.array([self._surrogate.mean(params) for params in candidates]) + noise
        return [candidates[index] for index in np.argsort(-seen if skill.prefers_worst else seen, kind="stable")]

    def _drawn(self, incumbent: Params) -> Params:
        if not self._skill.is_local:
            return PLAIN.decode(self._rng.random(PLAIN.n_dims))
        for _ in range(100):
            u = mutant(PLAIN, PLAIN.encode(incumbent), self._rng, self._skill.mutated, self._moved)
            if (params := PLAIN.decode(u)) != incumbent:
                return params
        return params

    def _moved(self, u: NDArray[np.float64], _axes: slice) -> NDArray[np.float64]:
        return u + self._skill.step * self._rng.standard_normal()


def incumbent_of(prompt: str) -> Params:
    """Return the incumbent's values in a prompt: the last column of its table."""
    lines = {line.partition(",")[0]: line.rpartition(",")[2] for line in prompt.splitlines() if "," in line}
    values: dict[str, Value] = {}
    for parameter in PLAIN.parameters:
        text = lines[parameter.name]
        values[parameter.name] = text if isinstance(parameter, Categorical) else float(text)
    return PLAIN.canonical(values)
