"""Whole runs against every behaviour of a misbehaving endpoint: they go on or stop in order, and can be resumed."""

import json
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path

import pytest

from agent.edits.assignments import read_constants
from agent.edits.guard import Guard
from agent.errors import ModelError
from agent.llm.model import Model
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from agent.llm.prompt_templates import PromptSet
from agent.llm.recording import Transcript
from agent.modes.centaur.proposer import CentaurProposer
from agent.modes.centaur.share import LLMTurns
from agent.modes.code_edit import CodeEditProposer
from agent.modes.fixed import FixedProposer
from agent.modes.numeric import NumericProposer, host_of
from agent.modes.proposer import Proposer
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.search.cmaes import CMAESearcher
from agent.task.task import Task
from agent.trials.trial import Origin, Status
from tests.agent.cli.test_endpoint import BRIEFING, edit
from tests.agent.llm.behaviours import BEHAVIOURS
from tests.agent.llm.fake_server import Answer, FakeServer, fake_server, says
from tests.agent.llm.simulated_clock import SimulatedClock
from tests.agent.run.hybrids import centaur_code

KEY = "sk-do-not-tell"
Proposes = Callable[[Task, Callable[[int], Model]], Proposer]


def _centaur(task: Task, model_for: Callable[[int], Model]) -> Proposer:
    assert task.space is not None
    searcher = CMAESearcher(task.space, read_constants(task.source, task.space.names), seed=0)
    host = host_of("CMA-ES", searcher, NumericProposer(searcher))
    turns = LLMTurns(seed=0, warmup=0, every=1)
    return CentaurProposer(host, model_for, PromptSet.load("centaur"), BRIEFING, turns=turns)


def _code_edit(_task: Task, model_for: Callable[[int], Model]) -> Proposer:
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    return CodeEditProposer(model_for, prompts, BRIEFING, Guard(("load",)))


def _centaur_code(task: Task, model_for: Callable[[int], Model]) -> Proposer:
    return centaur_code(0, _code_edit(task, model_for))


MODES: Mapping[str, Proposes] = {
    "code-edit": _code_edit,
    "fixed": lambda _task, model_for: FixedProposer(model_for, PromptSet.load("fixed"), BRIEFING),
    "centaur": _centaur,
    "centaur-code": _centaur_code,
}
FIRST = {"centaur-code": 0}
"""Good replies before the endpoint misbehaves, by mode; else 1. In centaur-code, tuning follows the first structure."""


def reply(mode: str, number: int) -> str:
    """Return a good reply for a trial, different from those for all others."""
    if mode in ("code-edit", "centaur-code"):
        return edit(100.0 - number)
    return json.dumps({"SMOOTHING": 50.0 - number, "MIX": 0.5, "STRIDE": 2, "CHUNK": 64, "ORDER": "forward"})


def proposer(mode: str, task: Task, server: FakeServer, clock: SimulatedClock, folder: Path) -> Proposer:
    model = OpenAIModel(
        "fake-1",
        base_url=server.base_url,
        api_key=KEY,
        patience=RetryPolicy(timing=clock.timing),
        on_tokens=lambda _: None,
    )
    return MODES[mode](task, lambda number: Transcript(model, folder / f"{number}.jsonl", [KEY]))


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "mode"), [*zip(BEHAVIOURS, cycle(MODES), strict=False)]
)  # tests/agent/llm has all pairs
def test_a_run_goes_on_or_stops_in_order(
    name: str, mode: str, open_run: Callable[..., Run], bigram: Task, tmp_path: Path
) -> None:
    behaviour, clock, n_good = BEHAVIOURS[name], SimulatedClock(), FIRST.get(mode, 1)

    def script(request: Mapping[str, object]) -> Answer:
        n_asked = len(server.requests)
        return says(reply(mode, n_asked)) if n_asked <= n_good else behaviour.answer(clock, reply(mode, n_good + 1))

    with fake_server(script) as server:
        run = open_run(proposer(mode, bigram, server, clock, tmp_path), trials=n_good + 2)
        if behaviour.kind == "unusual":
            assert run_trials(run).ending is EndReason.DONE
        else:
            with pytest.raises(ModelError, match=behaviour.said):
                run_trials(run)
        assert len(server.requests) <= 100
    assert clock.now <= 960
    assert len(run.history.trials) == 1 + n_good + (behaviour.kind == "unusual")
    run.records.journal.close()

    with fake_server([says(reply(mode, 3))]) as server:
        n_trials = len(run.history.trials) + 1
        resumed = open_run(proposer(mode, bigram, server, clock, tmp_path), trials=n_trials)
        assert run_trials(resumed).ending is EndReason.DONE
    assert [trial.status for trial in resumed.history.trials] == [Status.OK] * n_trials
    origins = [trial.proposal.origin for trial in resumed.history.trials[1:]]
    assert origins[0] is Origin.LLM
    assert set(origins) <= ({Origin.LLM, Origin.SEARCHER} if mode == "centaur-code" else {Origin.LLM})
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("*.jsonl"))
