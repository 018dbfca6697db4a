"""Checks of a coding agent on this machine, each made by doing it: `agent doctor --agent NAME`."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.agents.kinds import AGENTS
from agent.cli.checks.machine import DoctorFinding
from agent.errors import AgentError
from sandbox.errors import SandboxError

_CONNECT_SECONDS = 10.0

if TYPE_CHECKING:
    from agent.modes.coding_agents.proposer import Agent
    from agent.modes.mode import AgentHost


def examine_agent(named: str, variables: Mapping[str, str], *, login: bool = False) -> Iterator[DoctorFinding]:
    """Yield what works of a run with this agent, in the order in which such a run needs it.

    Args:
        named: as in `agent run --agent`.
        variables: of the environment.
        login: whether the agent uses its own log-in, as with --agent-login.
    """
    from agent.execution.coding_agent.agent_job import open_agent_sandbox
    from agent.modes.coding_agents.build import find_agent
    from agent.modes.mode import AgentHost

    try:
        with closing(open_agent_sandbox(frozenset())) as sandbox:
            host = AgentHost(sandbox, variables)
            agent = find_agent(named, "scripted", host)
            yield _version(named, agent)
            if not login:
                yield from _work(named, agent, host)
    except (AgentError, SandboxError) as error:
        what, _, remedy = str(error).rpartition("; ")
        yield DoctorFinding("agent", "missing", what or remedy, remedy if what else "")
    yield from _login(named, variables) if login else [_key(named, variables)]


def _version(named: str, agent: "Agent") -> DoctorFinding:
    row = AGENTS.get(named)
    started = f"{row.title if row is not None else agent.name} {agent.version} starts in its sandbox"
    if row is None or agent.version == row.tested:
        return DoctorFinding("agent", "ok", started)
    remedy = f"if it misbehaves, install the one that was tested: npm install -g {row.package}@{row.tested}"
    return DoctorFinding("agent", "note", f"{started}; tested is {row.tested}", remedy)


def _work(named: str, agent: "Agent", host: "AgentHost") -> Iterator[DoctorFinding]:
    from agent.modes.coding_agents.self_test import try_agent

    row, found = AGENTS.get(named), try_agent(agent, host)
    if not found.calls:
        remedy = "let it call {base_url}, or OPENAI_BASE_URL, ANTHROPIC_BASE_URL or GOOGLE_GEMINI_BASE_URL"
        if row is not None:
            remedy = f"install the version that was tested: npm install -g {row.package}@{row.tested}"
        yield DoctorFinding(
            "agent's model", "missing", f"it called no model through the gateway: {found.message}", remedy
        )
        return
    yield DoctorFinding("agent's model", "ok", "its calls reach the gateway, which answered them by itself")
    if row is None:
        remedy = "a run of two trials shows it: agent run --mode code-edit --agent … --trials 2"
        yield DoctorFinding("agent's edit", "note", "not tried: its tools are not known", remedy)
    elif found.has_edited:
        yield DoctorFinding("agent's edit", "ok", "it made the edit that its model asked for")
    else:
        remedy = f"install the version that was tested: npm install -g {row.package}@{row.tested}"
        yield DoctorFinding("agent's edit", "missing", f"it changed nothing: {found.message}", remedy)


def _login(named: str, variables: Mapping[str, str]) -> Iterator[DoctorFinding]:
    """Yield whether there is a log-in, and whether its hosts can be reached. No request is sent to them."""
    from agent.llm.login_proxy.proxy import connect_to

    row = AGENTS.get(named)
    if row is None:
        remedy = f"use one of {', '.join(AGENTS)}, or set a key"
        yield DoctorFinding("agent's log-in", "missing", "the log-in of a command of your own is not known", remedy)
        return
    try:
        row.login.read(variables)
        yield DoctorFinding(
            "agent's log-in", "ok", f"found at {row.login.path_in(variables)}; whether it is valid was not tried"
        )
    except AgentError as error:
        what, _, remedy = str(error).rpartition("; ")
        yield DoctorFinding("agent's log-in", "missing", what, remedy)
    faults = []
    for host in row.login.hosts:
        try:
            connect_to(host, _CONNECT_SECONDS).close()
        except OSError as error:
            faults.append(f"{host} ({error.strerror or error})")
    if faults:
        remedy = "a run needs direct connections to these hosts: no other proxy is used"
        yield DoctorFinding("agent's hosts", "missing", f"cannot be reached: {', '.join(faults)}", remedy)
    else:
        yield DoctorFinding("agent's hosts", "ok", f"{', '.join(row.login.hosts)} can be reached")
    remedy = "a run of two trials shows it: agent run --mode code-edit --agent … --agent-login --trials 2"
    yield DoctorFinding("agent's edit", "note", "not tried: it would use your subscription", remedy)


def _key(named: str, variables: Mapping[str, str]) -> DoctorFinding:
    """Return whether a key is set; no endpoint is asked."""
    from agent.llm.gateway.dialects import DIALECTS
    from agent.llm.gateway.sources import upstream_of

    row, name = AGENTS.get(named), "agent's key"
    kinds = [DIALECTS[row.dialect]] if row is not None else list(DIALECTS.values())
    faults = []
    for kind in kinds:
        try:
            upstream = upstream_of(kind.name, variables)
        except AgentError as error:
            faults.append(str(error))
            continue
        which = f"{kind.provider.key_variable} is set" if upstream.key else "none is needed"
        return DoctorFinding(name, "ok", f"{which}; calls will go to {urlsplit(upstream.address).hostname}")
    what, _, remedy = faults[0].rpartition("; ")
    return DoctorFinding(name, "missing", what, remedy)
