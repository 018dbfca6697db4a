"""Nothing is asked once a cap is reached, and what was spent before a kill counts."""

import pytest

from agent.errors import ModelBudgetSpentError
from agent.llm.model import Completion, Message
from agent.llm.scripted import ScriptedModel
from agent.llm.spending_cap import CappedModel, Caps

ASK = [Message("user", "Which bird?")]


def reply(dollars: float | None = None) -> Completion:
    return Completion("A heron.", "m", prompt_tokens=60, completion_tokens=40, dollars=dollars)


def test_the_token_cap_is_checked_before_a_call() -> None:
    inner = ScriptedModel([reply()] * 3)
    model = CappedModel(inner, Caps(tokens=150))
    model.complete(ASK)
    model.complete(ASK)  # begun below the cap
    with pytest.raises(ModelBudgetSpentError, match=r"150 model tokens is reached \(200 used\)"):
        model.complete(ASK)
    assert len(inner.requests) == 2


def test_the_cost_cap_counts_what_was_spent_before() -> None:
    model = CappedModel(ScriptedModel([reply(0.3)] * 3), Caps(dollars=1.0), dollars=0.5)
    model.complete(ASK)
    model.complete(ASK)
    with pytest.raises(ModelBudgetSpentError, match=r"cap of \$1 for model calls is reached \(\$1.10 used\)"):
        model.complete(ASK)


def test_without_caps_nothing_ends() -> None:
    model = CappedModel(ScriptedModel([reply()] * 50), Caps())
    for _ in range(50):
        model.complete(ASK)
