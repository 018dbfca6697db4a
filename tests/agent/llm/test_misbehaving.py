"""Every behaviour of the misbehaving endpoint against the probe and each mode: it ends, goes on or stops in time."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.edits.guard import Guard
from agent.errors import AgentError, MissingRequirementError, ModelError
from agent.llm.model import Model
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from agent.llm.prompt_templates import PromptSet
from agent.modes.code_edit import CodeEditProposer
from agent.modes.fixed import FixedProposer
from tests.agent.llm.behaviours import BEHAVIOURS
from tests.agent.llm.fake_server import Answer, FakeServer, fake_server, says
from tests.agent.llm.simulated_clock import SimulatedClock
from tests.agent.modes.run_so_far import BRIEFING, baseline, context
from tests.agent.modes.test_centaur import SOURCE, SPACE, answer, centaur, history
from tests.agent.modes.test_code_edit import DEEPER
from tests.agent.modes.test_code_edit import SOURCE as SCRIPT

KEY = "sk-do-not-tell"
MOST_SECONDS = 960.0  # 15 minutes for a reply; a server may move the clock by a minute at a time
MOST_REQUESTS = 100
FIXED, CODE_EDIT = PromptSet.load("fixed"), PromptSet.load("code_edit", answer_format="search-replace")


def _code_edit(model: Model) -> None:
    proposer = CodeEditProposer(lambda _: model, CODE_EDIT, BRIEFING, Guard(required=("load",)))
    assert proposer.propose(context(SCRIPT, [baseline()])).refused is None


def _fixed(model: Model) -> None:
    seen = context(SOURCE, history(4), space=SPACE)
    assert FixedProposer(lambda _: model, FIXED, BRIEFING).propose(seen).refused is None


def _centaur(model: Model) -> None:
    assert centaur(model).propose(context(SOURCE, history(4), space=SPACE)).refused is None


def _probe(model: Model) -> None:
    assert isinstance(model, OpenAIModel)
    model.probe()


ASKS: dict[str, tuple[Callable[[Model], None], str]] = {
    "probe": (_probe, '{"word": "heron"}'),
    "code-edit": (_code_edit, DEEPER),
    "fixed": (_fixed, answer()),
    "centaur": (_centaur, answer()),
}
"""What asks a model, and a reply that serves it."""


def pairs(names: Iterable[str]) -> list[Any]:
    """Return each behaviour with all that asks; the probe and one mode now, the other modes in the long tests."""
    modes = [asks for asks in ASKS if asks != "probe"]
    return [
        pytest.param(name, asks, marks=[] if asks in ("probe", modes[place % 3]) else pytest.mark.long)
        for place, name in enumerate(names)
        for asks in ASKS
    ]


@dataclass
class Played:
    """A model of an endpoint, and what came of it."""

    model: OpenAIModel
    server: FakeServer
    clock: SimulatedClock
    lines: list[str] = field(default_factory=list)


@contextmanager
def played(script: Callable[[SimulatedClock, int], Answer], **settings: Any) -> Iterator[Played]:
    """Serve what a function makes of the clock and of the number of each request, from 0."""
    clock, lines = SimulatedClock(), list[str]()
    numbers = iter(range(10_000))
    with fake_server(lambda _request: script(clock, next(numbers))) as server:
        policy = RetryPolicy(timing=clock.timing, report=lines.append)
        model = OpenAIModel(
            "fake-1", base_url=server.base_url, api_key=KEY, patience=policy, on_tokens=lambda _: None, **settings
        )
        yield Played(model, server, clock, lines)
        model.close()


def check(it: Played, error: AgentError | None = None) -> None:
    """Check the bounds, and that what a user sees is one printable line without the key."""
    assert it.clock.now <= MOST_SECONDS
    assert len(it.server.requests) <= MOST_REQUESTS
    for line in [*it.lines, str(error or "")]:
        assert line.isprintable(), line
        assert len(line) < 700
        assert KEY not in line


def test_there_are_enough_behaviours() -> None:
    assert len(BEHAVIOURS) >= 40


@pytest.mark.parametrize(("name", "asks"), pairs(BEHAVIOURS))
def test_an_endpoint_that_always_misbehaves(name: str, asks: str) -> None:
    behaviour, (ask, text) = BEHAVIOURS[name], ASKS[asks]
    with played(lambda clock, _: behaviour.answer(clock, text)) as it:
        if behaviour.kind == "unusual":
            ask(it.model)
            check(it)
            assert len(it.server.requests) == 1
            return
        with pytest.raises((ModelError, MissingRequirementError), match=behaviour.said) as stopped:
            ask(it.model)
        check(it, stopped.value)
        n_requests = len(it.server.requests)
    if asks != "probe":
        if behaviour.kind == "transient":
            assert it.clock.now > 300  # it is asked for as long as there is time
        if behaviour.kind == "doubtful":
            assert 3 <= n_requests <= 4  # a schema may be left out once
        if behaviour.kind == "lasting":
            assert n_requests <= 4
            assert it.clock.slept == []


@pytest.mark.parametrize(("name", "asks"), pairs([name for name, row in BEHAVIOURS.items() if row.kind != "unusual"]))
def test_an_endpoint_that_misbehaves_once(name: str, asks: str) -> None:
    behaviour, (ask, text) = BEHAVIOURS[name], ASKS[asks]
    with played(lambda clock, n: behaviour.answer(clock, text) if n == 0 else says(text)) as it:
        try:
            ask(it.model)
            error = None
        except (ModelError, MissingRequirementError) as stopped:
            error = stopped
        check(it, error)
        assert len(it.server.requests) <= 2 + 3 * (error is None)
    if behaviour.kind == "transient" or (behaviour.kind == "doubtful" and asks != "probe"):
        assert error is None
        assert len(it.lines) >= 1
