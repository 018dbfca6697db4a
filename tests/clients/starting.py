"""How the tests start each coding agent: once, with the scripted endpoint as its vendor's.

The settings here are those that a person has before `agent connect`: which model to ask, at which address.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.dialects import dialect_of
from tests.clients.endpoint import ScriptedEndpoint
from tests.clients.install import Client
from tests.clients.namespace import Ended, Namespace
from tests.clients.plans import Plan

MODEL = "scripted"
KEY = "sk-not-a-key"


@dataclass(frozen=True)
class Start:
    """A command, its environment, and the files that lie there before it starts.

    Attributes:
        argv: without the program: for a run without a terminal, which ends with the model's turn.
        at_terminal: for a session at a terminal.
        files: texts by path, within the home or the project.
        answered: more of these at a terminal: what a person has answered before, about other things than our tools.
    """

    argv: list[str]
    at_terminal: list[str]
    environment: dict[str, str]
    files: dict[Path, str]
    answered: dict[Path, str] = field(default_factory=dict)


def _claude(prompt: str, url: str, home: Path, project: Path) -> Start:
    environment = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
    }
    settings = {home / ".claude" / "settings.json": json.dumps({"permissions": {"allow": ["Read"]}})}
    answers = {
        "hasCompletedOnboarding": True,
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(project): {"hasTrustDialogAccepted": True}},
    }
    return Start(
        ["-p", prompt, "--model", MODEL, "--output-format", "json"],
        ["--model", MODEL, prompt],
        environment,
        settings,
        {home / ".claude.json": json.dumps(answers)},
    )


def _codex(prompt: str, url: str, home: Path, project: Path) -> Start:
    settings = f"""\
# the user's own
model = "{MODEL}"
model_provider = "scripted"

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"

[features]
plugins = false
apps = false
remote_plugin = false
"""
    files = {home / ".codex" / "config.toml": settings}
    return Start(["exec", "--json", "--skip-git-repo-check", prompt], [prompt], {"SCRIPTED_KEY": KEY}, files)


def _opencode(prompt: str, url: str, home: Path, project: Path) -> Start:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
        "models": {MODEL: {"limit": {"context": 128_000, "output": 8192}}},
    }
    settings = {"model": f"scripted/{MODEL}", "small_model": f"scripted/{MODEL}", "provider": {"scripted": provider}}
    environment = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    files = {home / ".config" / "opencode" / "opencode.json": json.dumps({"autoupdate": False}),
             project / "opencode.json": json.dumps(settings)}  # fmt: skip
    return Start(["run", "--format", "json", prompt], ["--prompt", prompt], environment, files)


def _gemini(prompt: str, url: str, home: Path, project: Path) -> Start:
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
    environment = {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": url}
    files = {home / ".gemini" / "settings.json": json.dumps(settings)}
    return Start(["-p", prompt, "-m", MODEL, "-o", "json"], ["-m", MODEL, "-i", prompt], environment, files)


STARTS: dict[str, Callable[[str, str, Path, Path], Start]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "gemini": _gemini,
}
"""Arguments: the prompt, the endpoint's address, the user's home, the project."""


def _environment(start: Start, home: Path, path: str) -> dict[str, str]:
    """Return the whole environment of an agent: nothing of the test's own but PATH."""
    system = os.environ.get("PATH", os.defpath)
    return {
        "AUTOCENTAUR_CACHE": str(home / "cache"),
        "HOME": str(home),
        "PATH": f"{path}{os.pathsep}{system}",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    } | start.environment


@dataclass(frozen=True)
class Person:
    """A user of one machine: where the settings and the project are.

    Attributes:
        home: the home folder.
        project: the folder in which the agent is started.
    """

    home: Path
    project: Path


@dataclass(frozen=True)
class Finished:
    """What came of an agent that was started once.

    Attributes:
        ended: exit code and output.
        seen: (path, body) of each request to the model.
        faults: what the endpoint could not answer; none in a run that went well.
    """

    ended: Ended
    seen: list[tuple[str, dict[str, Any]]]
    faults: list[str]

    @property
    def results(self) -> list[str]:
        """The texts of all tool results that the model saw, oldest first."""
        path, body = self.seen[-1]
        dialect = dialect_of(path.partition("?")[0])
        assert dialect is not None
        return dialect.results(body)


def ask(
    name: str,
    client: Client,
    person: Person,
    plan: Plan,
    connect: Callable[[], object],
    *,
    until_shown: str | None = None,
    most_seconds: float = 300,
) -> Finished:
    """Start a coding agent once, with a plan in place of its model, in a network namespace of its own.

    Args:
        connect: called when the person's own settings are there; adds those of a server.
        until_shown: the agent is started at a terminal, where nobody types, and ended when it shows this text; its exit
            code is 0 then. None: it is started without a terminal.

    Raises:
        subprocess.TimeoutExpired: it ran longer than `most_seconds`, as one that waits for an answer does.
        OSError: this machine has no namespace for us.
    """
    with Namespace() as inside, ScriptedEndpoint(plan, inside.listening) as model:
        start = STARTS[name]("Lower the loss with the tools of autocentaur.", model.url, person.home, person.project)
        answered = {} if until_shown is None else start.answered
        for path, text in {**start.files, **answered}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        connect()
        argv = [str(client.program), *(start.argv if until_shown is None else start.at_terminal)]
        if until_shown is not None:
            argv = [sys.executable, str(Path(__file__).with_name("terminal.py")), until_shown, *argv]
        environment = _environment(start, person.home, client.path)
        ended = inside.run(argv, person.project, environment, most_seconds)
        return Finished(ended, model.seen, model.faults)
