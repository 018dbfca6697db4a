"""Which key and address of the environment belong to which dialect."""

import pytest

from agent.errors import MissingRequirementError
from agent.llm.gateway.dialects import DIALECTS
from agent.llm.gateway.sources import Upstream, upstream_of

KEYS = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GEMINI_API_KEY": "c"}


def test_each_dialect_has_the_key_and_address_of_its_provider() -> None:
    assert {name: upstream_of(name, KEYS) for name in DIALECTS} == {
        "chat": Upstream("https://api.openai.com/v1", "a"),
        "responses": Upstream("https://api.openai.com/v1", "a"),
        "messages": Upstream("https://api.anthropic.com", "b"),
        "gemini": Upstream("https://generativelanguage.googleapis.com", "c"),
    }
    addresses = {
        "OPENAI_BASE_URL": "http://one/v1/", "ANTHROPIC_BASE_URL": " https://two:8443 ", "GOOGLE_GEMINI_BASE_URL": "",
    }  # fmt: skip
    found = [upstream_of(name, KEYS | addresses).address for name in DIALECTS]
    assert found == ["http://one/v1", "http://one/v1", "https://two:8443", "https://generativelanguage.googleapis.com"]


@pytest.mark.parametrize(
    ("name", "variable"),
    [("chat", "OPENAI_API_KEY"), ("responses", "OPENAI_API_KEY"), ("messages", "ANTHROPIC_API_KEY"),
     ("gemini", "GEMINI_API_KEY")],
)  # fmt: skip
def test_a_missing_key_is_named(name: str, variable: str) -> None:
    for variables in ({}, {**KEYS, variable: " "}):
        with pytest.raises(MissingRequirementError, match=f"^{variable} is not set"):
            upstream_of(name, variables)


def test_a_server_on_this_machine_needs_no_key() -> None:
    assert upstream_of("chat", {"OPENAI_BASE_URL": "http://127.0.0.1:8080/v1"}).key == ""
    with pytest.raises(MissingRequirementError):
        upstream_of("chat", {"OPENAI_BASE_URL": "http://10.0.0.1:8080/v1"})


@pytest.mark.parametrize(
    "address",
    ["api.openai.com", "ftp://a", "http://", "http://a:b", "http://a?b", "http://[", "http://a\nb", "http://ä"],
)
def test_an_invalid_address_names_its_variable(address: str) -> None:
    with pytest.raises(MissingRequirementError, match=r"^OPENAI_BASE_URL"):
        upstream_of("chat", {**KEYS, "OPENAI_BASE_URL": address})


def test_an_invalid_key_is_not_repeated() -> None:
    for key in ("sk-\n1", "sk-\u2013", "'sk-1'", "Bearer sk-1"):
        with pytest.raises(MissingRequirementError, match=r"^GEMINI_API_KEY (contains|begins with)") as refused:
            upstream_of("gemini", {"GEMINI_API_KEY": key})
        assert "sk-" not in str(refused.value)
    assert "sk-1" not in repr(Upstream("http://a", "sk-1"))
