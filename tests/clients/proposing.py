"""Starts runs whose proposer is a real coding agent, with a scripted endpoint in place of its vendor's."""

import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.agents.kinds import AGENTS
from agent.llm.gateway.dialects import DIALECTS
from agent.store.journal import read_history
from agent.store.paths import RunPaths, RunsFolder
from agent.trials.trial import Trial
from tests.clients.dialects import dialect_of
from tests.clients.endpoint import ScriptedEndpoint
from tests.clients.install import Client
from tests.clients.plans import Call, Plan, Say, Step
from tests.commands import agent

_GOING_ON = re.compile(r"running with session ID (\d+)")  # Codex: a command that takes longer than ten seconds
TASK = Path(__file__).parents[1] / "tasks" / "bigram_plain"


def shell(name: str, command: str) -> Call:
    """Return the call by which an agent's model runs a command."""
    return Call(*AGENTS[name].shell_call(command))


def one_plan_for_each(plans: Sequence[Plan]) -> Plan:
    """Return a plan that takes the next of `plans` whenever a conversation begins, and the last one for ever."""
    at = -1

    def plan(results: Sequence[str]) -> Step:
        nonlocal at
        if not results and at < len(plans) - 1:
            at += 1
        return plans[at](results)

    return plan


class RefusingEndpoint(ScriptedEndpoint):
    """Refuses the key of every request."""

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes, str]:
        self.seen.append((path, body))
        return (
            401,
            b'{"type": "error", "error": {"type": "authentication_error", "message": "no such key"}}',
            "text/json",
        )


class StallingEndpoint(ScriptedEndpoint):
    """Answers nothing before the test ends."""

    def __init__(self, plan: Plan, listening: socket.socket) -> None:
        super().__init__(plan, listening)
        self._ended = threading.Event()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes, str]:
        self.seen.append((path, body))
        self._ended.wait()
        return super().answer(path, body)

    def __exit__(self, *arguments: object) -> None:
        self._ended.set()
        super().__exit__(*arguments)


@dataclass(frozen=True)
class Host:
    """A machine of a test: a home, the cache and a folder of runs. `mark` is part of the key, and of a file in each."""

    root: Path
    cache: Path
    name: str  # of the coding agent
    client: Client
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        (self.root / "home").mkdir()
        self.runs.prepare()
        for folder in (self.root / "home", self.cache, self.runs.root):
            (folder / "private").write_text(self.mark)

    @property
    def runs(self) -> RunsFolder:
        return RunsFolder(self.root / "runs")

    @property
    def run(self) -> RunPaths:
        return self.runs.run("r")

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(read_history(self.run.journal).trials)

    @contextmanager
    def model(self, plan: Plan, kind: type[ScriptedEndpoint] = ScriptedEndpoint) -> Iterator["Proposing"]:
        """Serve a plan as the agent's model."""
        with socket.create_server(("127.0.0.1", 0)) as listening, kind(plan, listening) as endpoint:
            yield Proposing(self, endpoint)


@dataclass(frozen=True)
class Proposing:
    """Commands of a run whose proposer is a coding agent, while its model is served."""

    host: Host
    endpoint: ScriptedEndpoint

    def run(self, *options: str, task: Path = TASK) -> tuple[int, str]:
        """Start a run; return its exit code, and all that it printed."""
        host = self.host
        return self._command(
            *("run", "--mode", "code-edit", "--agent", host.name, "--model", "scripted", "--task", str(task)),
            *("--name", "r", *options),
        )

    def resume(self) -> tuple[int, str]:
        """Resume that run."""
        return self._command("resume", "r")

    @property
    def results(self) -> list[str]:
        """The texts of all tool results that the model saw in the last conversation, oldest first."""
        path, body = self.endpoint.seen[-1]
        dialect = dialect_of(path.partition("?")[0])
        assert dialect is not None
        return dialect.results(body)

    def _command(self, *argv: str) -> tuple[int, str]:
        host, provider = self.host, DIALECTS[AGENTS[self.host.name].dialect].provider
        below = "/v1" if provider.address.endswith("/v1") else ""
        env = {
            "PATH": os.pathsep.join((str(host.client.program.parent), host.client.path, os.environ["PATH"])),
            "HOME": str(host.root / "home"),
            "AUTOCENTAUR_CACHE": str(host.cache),
            provider.key_variable: f"sk-{host.mark}",
            provider.address_variable: self.endpoint.url + below,
        }
        done = agent(*argv, "--runs", str(host.runs.root), cwd=host.root, env=env)
        return done.returncode, done.stdout + done.stderr


def edit(name: str, *commands: str, title: str) -> Plan:
    """Return a plan that runs commands one after the other, and ends with a title."""
    calls = [shell(name, command) for command in commands]

    def plan(results: Sequence[str]) -> Step:
        going = [_GOING_ON.search(result) if name == "codex" else None for result in results]
        if going and (found := going[-1]) is not None:
            return Call("write_stdin", {"session_id": int(found[1]), "chars": "", "yield_time_ms": 30_000})
        n_done = going.count(None)
        return calls[n_done] if n_done < len(calls) else Say(f"Done.\nTITLE: {title}")

    return plan
