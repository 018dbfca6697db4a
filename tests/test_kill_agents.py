"""A run that is killed while its coding agent works, also while it checks its script, and resumed.

No model call of a journaled trial is made again, no process, control group or socket of an agent is left, and the run
ends as the unbroken one.
"""

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kill_anywhere.agent_at_work import (
    PROGRAM,
    AgentsModel,
    agents_model,
    left_by_dead_processes,
    paid,
    wait_for_the_end,
)
from tests.kill_anywhere.killed_runs import NEVER, Death, Zygote
from tests.test_kill_anywhere import KilledRuns
from tests.test_kill_parallel import KilledTogether

QUICK_KILLS, LONG_KILLS = 6, 60
TRIALS = 6
AT_THE_MODEL = ("edit", "mend", "done")
Served = tuple[AgentsModel, dict[str, str]]


@pytest.fixture
def served() -> Iterator[Served]:
    with agents_model() as found:
        yield found


class _WithAgents(KilledRuns):
    """Checks after each death what is left and what was paid."""

    model: AgentsModel
    mark: str

    def _go_on(self, death: Death) -> int:
        run = self._now.runs.run("r")
        self.model.run = run
        before, left = paid(run), left_by_dead_processes()
        ended = super()._go_on(death)
        self.model.kills_at = None
        wait_for_the_end(self.mark)
        after = paid(run)
        assert {number: after[number] for number in before} == before
        if ended == 0:
            assert left & left_by_dead_processes() == set()
        return ended

    def die_at_the_model(self, request: str) -> bool:
        """Let the run be killed while its agent waits for the reply to such a request."""
        self.model.kills_at = request
        return self.die(NEVER)


class KilledWithAgents(_WithAgents):
    """Runs with one worker."""

    def __init__(self, warm: Zygote, chance: random.Random, served: Served, seed: int) -> None:
        self.model, variables = served
        self.mark = uuid.uuid4().hex
        options = _options(warm.folder, self.mark)
        super().__init__(warm, "code-edit", seed, chance, [*options, "--trials", str(TRIALS)], variables=variables)
        self.once = dict(self.model.asked)  # what an unbroken run asks


class KilledWithAgentsTogether(_WithAgents, KilledTogether):
    """Runs with two workers."""

    def __init__(self, warm: Zygote, chance: random.Random, served: Served, task: Path) -> None:
        self.model, variables = served
        self.mark = uuid.uuid4().hex
        KilledTogether.__init__(
            self, warm, "code-edit", chance, task, 2, more=_options(warm.folder, self.mark), variables=variables
        )


def _options(folder: Path, mark: str) -> list[str]:
    program = folder / f"{mark}.py"
    program.write_text(PROGRAM)
    return ["--agent", f"python3 {program} {{prompt}} {{base_url}} {mark}", "--model", "fake-1"]


def kill_while_agents_work(
    runs: KilledWithAgents | KilledWithAgentsTogether, chance: random.Random, kills: int
) -> None:
    """Kill at each kind of moment in turn: model calls, checks, other work of an agent, any place, any time."""
    own = [name for name in runs.places if "/agent" in name or "llm.jsonl" in name or "SOCKETS" in name]
    checks = [name for name in runs.places if "/smoke" in name]
    assert own
    assert checks
    n = 0
    while runs.n_kills < kills:
        match n % 7:
            case 0 | 1 | 2 as kind:
                runs.die_at_the_model(AT_THE_MODEL[kind])
            case 3:
                runs.die(Death(chance.choice(checks), chance.randrange(1, 3), whole_group=chance.random() < 0.5))
            case 4:
                runs.die(Death(chance.choice(own), chance.randrange(1, 3), whole_group=chance.random() < 0.5))
            case 5:
                place = chance.choice(sorted(runs.places))
                runs.die(Death(place, chance.randrange(1, 3), whole_group=True))
            case _:
                runs.die(Death(seconds=chance.uniform(0.5, 6.0)) if chance.random() < 0.5 else runs.torn())
        n += 1
    runs.end()
    print(f"{runs.n_kills} kills in {runs.n_runs} runs, {len(runs.places)} places, {len(own) + len(checks)} of agents")


@pytest.mark.slow
def test_a_run_that_is_killed_while_its_agent_works(warm: Zygote, served: Served) -> None:
    chance = random.Random("agents")
    runs = KilledWithAgents(warm, chance, served, 21)
    assert {text.partition(";")[0] for text in runs.once} == set(AT_THE_MODEL)
    kill_while_agents_work(runs, chance, QUICK_KILLS)


@pytest.mark.long
def test_sixty_kills_with_one_worker(warm: Zygote, served: Served) -> None:
    chance = random.Random("agents, long")
    kill_while_agents_work(KilledWithAgents(warm, chance, served, 22), chance, LONG_KILLS)


@pytest.mark.long
def test_sixty_kills_with_two_workers(warm: Zygote, served: Served, sleeping: Path) -> None:
    chance = random.Random("agents together")
    kill_while_agents_work(KilledWithAgentsTogether(warm, chance, served, sleeping), chance, LONG_KILLS)
