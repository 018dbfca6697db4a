"""The four real programs with a made-up log-in: each calls its provider, through the proxy, and no one else.

The provider is a server on loopback without a certificate, so that no call succeeds.
"""

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.agents.headless import HeadlessRequest
from agent.agents.kinds import AGENTS
from agent.agents.program import find_program
from agent.execution.coding_agent.agent_job import BASE_URL, FOLDER, AgentLimits, run_agent, socket_folder
from agent.llm.login_proxy.proxy import LoginProxy
from sandbox.job import Sandbox
from tests.agent.llm.login_proxy.hosts import tls_host
from tests.clients.install import Client

pytestmark = pytest.mark.long

IN_A_DAY = int(time.time()) + 86_400


def _token(claims: object) -> str:
    """Return a JSON Web Token without a signature."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims, "no signature"))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


OPENAI = _token(
    {
        "exp": IN_A_DAY,
        "email": "me@example.org",
        "https://api.openai.com/auth": {"chatgpt_plan_type": "pro", "chatgpt_account_id": "account-12345"},
    }
)
REFRESH = "refresh-0123456789abcdef"
CASES = {
    "codex": (
        "gpt-5-codex",
        {
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": None,
            "tokens": {
                **{"id_token": OPENAI, "access_token": OPENAI},
                **{"refresh_token": REFRESH, "account_id": "account-12345"},
            },
            "last_refresh": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        "chatgpt.com",
    ),
    "claude": (
        "sonnet",
        {
            "claudeAiOauth": {
                "accessToken": "sk-ant-oat01-0123456789abcdef",
                "refreshToken": REFRESH,
                "expiresAt": IN_A_DAY * 1000,
                "scopes": ["user:inference", "user:profile"],
                "subscriptionType": "max",
            }
        },
        "api.anthropic.com",
    ),
    "gemini": (
        "gemini-2.5-pro",
        {
            "access_token": "ya29.0123456789abcdef",
            "refresh_token": REFRESH,
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "token_type": "Bearer",
            "expiry_date": IN_A_DAY * 1000,
        },
        "oauth2.googleapis.com",
    ),
    "opencode": (
        "openai/gpt-5.6-sol",
        {
            "openai": {
                **{"type": "oauth", "refresh": REFRESH, "access": OPENAI},
                **{"expires": IN_A_DAY * 1000, "accountId": "account-12345"},
            }
        },
        "chatgpt.com",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_calls_its_provider_through_the_proxy(
    name: str, installed: Callable[[str], Client], sandbox: Sandbox, tmp_path: Path
) -> None:
    (model, login, wanted), row, client = CASES[name], AGENTS[name], installed(name)
    program = find_program(str(client.program), os.pathsep.join((client.path, os.environ["PATH"])), "")
    request = HeadlessRequest("Set DEPTH to 6.", FOLDER, BASE_URL, model, program.inside, proxy=BASE_URL)
    with tls_host() as host, socket_folder() as folder:
        with LoginProxy(folder / "s", row.login.hosts, login_file=json.dumps(login), connect=host.connect) as proxy:
            work = run_agent(
                sandbox,
                row.headless(request),
                program,
                {"train.py": b"DEPTH = 4\n"},
                editable=("train.py",),
                gateway_socket=folder / "s",
                folder=tmp_path / "agent",
                label="r/0001/agent",
                limits=AgentLimits(seconds=120),
                login_file=row.login.file,
            )
        assert wanted in proxy.connections, (proxy.refusals, work.stderr, work.stdout)
        assert host.received == []
        assert set(host.names) <= set(row.login.hosts)
        refused = {"the proxy does not connect to registry.npmjs.org:443"} if name == "opencode" else set()
        assert set(proxy.refusals) <= refused
        assert work.files.get("train.py", "DEPTH = 4\n") == "DEPTH = 4\n"
