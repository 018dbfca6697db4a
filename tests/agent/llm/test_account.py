"""OPENAI_ORG_ID and OPENAI_PROJECT_ID: sent where OpenAI's dialect is spoken, and checked as keys are."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.cli.checks.models import Endpoint, model_finding
from agent.errors import MissingRequirementError
from agent.execution.host import Host
from agent.llm.gateway.sources import Endpoints, upstream_of
from agent.modes.model_choice import build_model
from agent.store.run_config import RunConfig
from tests.agent.llm.fake_server import FakeServer, fake_server
from tests.agent.llm.fake_server import says as completion
from tests.agent.llm.gateway.agents import opened
from tests.agent.llm.gateway.replies import ALL, says

ACCOUNT = {"OPENAI_ORG_ID": " org-1\n", "OPENAI_PROJECT_ID": "proj-1"}
KEYS = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "GEMINI_API_KEY": "sk-3"}


def account_in(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("openai-organization", "openai-project") if name in headers}


def probe(server: FakeServer, variables: Mapping[str, str]) -> None:
    names = {"run_id": "r", "task_folder": ".", "task_name": "t", "task_digest": "d"}
    config = RunConfig(**names, mode="fixed", base_url=server.base_url, model="fake-1")
    build_model(config, Host(variables, Path(), say=lambda _line: None, api_key="sk-1"), 0).close()


@pytest.mark.parametrize(
    ("variables", "sent"),
    [
        (ACCOUNT, {"openai-organization": "org-1", "openai-project": "proj-1"}),
        ({"OPENAI_ORG_ID": "", "OPENAI_PROJECT_ID": "proj-1"}, {"openai-project": "proj-1"}),
        ({}, {}),
    ],
)
def test_a_chat_model_sends_what_is_set(variables: Mapping[str, str], sent: Mapping[str, str], tmp_path: Path) -> None:
    with fake_server([completion('{"word": "heron"}')] * 2) as server:
        probe(server, variables)
        endpoint = Endpoint(server.base_url, "fake-1", "sk-1", variables)
        model_finding(endpoint, None)
    assert [account_in(headers) for headers in server.headers] == [sent, sent]


def test_of_the_gateways_dialects_only_those_of_openai_send_it(tmp_path: Path) -> None:
    with fake_server([says(name) for name in ALL]) as server:
        addresses = {
            "OPENAI_BASE_URL": server.base_url, "ANTHROPIC_BASE_URL": server.root, "GOOGLE_GEMINI_BASE_URL": server.root
        }  # fmt: skip
        upstreams = {name: upstream_of(name, {**KEYS, **ACCOUNT, **addresses}) for name in ALL}
        with opened(Endpoints(upstreams), tmp_path) as it:
            for spoken in ALL.values():
                own = {spoken.key_header: spoken.key, "OpenAI-Organization": "org-of-the-agent"}
                assert it.ask("POST", spoken.path, spoken.request, own).status == 200
    sent = dict(zip(ALL, map(account_in, server.headers), strict=True))
    both = {"openai-organization": "org-1", "openai-project": "proj-1"}
    assert sent == {"chat": both, "responses": both, "messages": {}, "gemini": {}}


@pytest.mark.parametrize("name", ACCOUNT)
@pytest.mark.parametrize("value", ["org 1", "'org-1'", "org\u20131", "org-1\r\nX-Evil: 1", "org\x001"])
def test_what_no_header_holds_is_refused_by_name(name: str, value: str) -> None:
    with fake_server([]) as server:
        with pytest.raises(MissingRequirementError, match=f"^{name} contains"):
            probe(server, {name: value})
        with pytest.raises(MissingRequirementError, match=f"^{name} contains"):
            upstream_of("responses", {**KEYS, name: value})
    assert upstream_of("messages", {**KEYS, name: value}).account == {}
    assert server.requests == []
