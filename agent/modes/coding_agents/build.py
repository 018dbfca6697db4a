"""Builds the proposer of a run with a coding agent: its program, its sandbox, and the gateway of each proposal."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.agents import custom
from agent.agents.headless import HeadlessCommand, HeadlessRequest, Program
from agent.agents.kinds import AGENTS
from agent.agents.program import find_program
from agent.edits.guard import Guard
from agent.errors import MissingRequirementError, ModelBudgetSpentError, UsageError
from agent.execution.coding_agent.agent_job import AgentLimits, printed_version
from agent.llm.endpoint.address import describe_endpoint
from agent.llm.endpoint.route import open_client
from agent.llm.gateway.check_requests import Check
from agent.llm.gateway.dialects import DIALECTS
from agent.llm.gateway.exchanges import RecordedExchanges
from agent.llm.gateway.gateway import Gateway
from agent.llm.gateway.meter import Allowance
from agent.llm.gateway.sources import Endpoints, ReplySource, upstream_of
from agent.llm.login_proxy.proxy import TunnelLimits
from agent.llm.prices import Price
from agent.modes.coding_agents.login_access import LoginAccess
from agent.modes.coding_agents.proposer import Agent, CodingAgentProposer, OpenModelAccess
from agent.modes.mode import AgentHost, briefing_of
from agent.modes.model_choice import RECORDING, agent_name, model_name
from agent.modes.proposer import Context
from agent.store.paths import RunPaths
from agent.store.run_config import RunConfig, caps_of
from agent.text import one_line, read_tail

if TYPE_CHECKING:
    from agent.modes.mode import ModeInputs

_VERSION = re.compile(r"\d+(?:\.\d+)+")


def build(inputs: "ModeInputs", host: AgentHost, guard: Guard, more: Sequence[str] = ()) -> CodingAgentProposer:
    """Return the proposer of `agent run --mode code-edit --agent NAME`.

    Args:
        inputs: of the run.
        host: of the agent.
        guard: the checks of its scripts.
        more: prompts with further rules, as MODE/PART.md.

    Raises:
        UsageError, MissingRequirementError: the agent, its program, its model or its key is missing; nothing was paid.
    """
    config, task, paths = inputs.config, inputs.task, inputs.paths
    assert config.agent is not None, "the caller checks this"
    if config.model is None:
        raise UsageError(f"--agent {config.agent}: name its model with --model")
    if config.max_cost is not None and config.price is None:
        raise UsageError(f"--max-cost needs the price of {config.model}: give --price IN,OUT in dollars per million")
    user_folders = (host.variables.get(name) for name in ("HOME", "AUTOCENTAUR_CACHE"))
    private = [paths.root.parent, task.folder, *(Path(folder) for folder in user_folders if folder)]
    login, remote, open_model_access = _model_access(config, paths, host)
    agent = find_agent(config.agent, config.model, host, private)
    where = f" at {remote}; the script, its frozen files and the results of trials are sent there" if remote else ""
    host.say(f"agent: {agent.name} {agent.version}, model {agent.model}{where}")
    if login is not None:
        for line in login.warning:
            host.say(line)
    elif config.price is not None:
        prompt, reply = config.price
        host.say(f"price: ${prompt:g} a million tokens of prompts, ${reply:g} of replies ({config.price_source})")
    return CodingAgentProposer(
        agent,
        open_model_access,
        host.sandbox,
        login=login,
        briefing=briefing_of(task),
        guard=guard,
        more_prompts=more,
        frozen={name: content for name, content in task.files.items() if name in task.frozen},
        paths=paths,
        limits=AgentLimits(seconds=config.agent_seconds),
        rehearse=inputs.rehearse,
        log_of=lambda number: read_tail(paths.trial(number).log) or read_tail(paths.trial(number).smoke.log),
    )


def _model_access(
    config: RunConfig, paths: RunPaths, host: AgentHost
) -> tuple[LoginAccess | None, str, OpenModelAccess]:
    """Return the log-in if the run uses one, the remote hosts that a run sends to as a phrase, and the model access.

    Raises UsageError or MissingRequirementError for a missing key or log-in, and for a recording that cannot be read.
    """
    assert config.agent is not None, "the caller checks this"
    if not config.agent_login:
        source_of, remote = _source_of(config, host.variables)
        source_of(0).close()  # reports a missing key or an unreadable recording before the first trial
        return None, remote, _GatewayOpener(config, paths, source_of)
    row = AGENTS.get(config.agent)
    if row is None:
        raise UsageError(f"--agent-login is for {', '.join(AGENTS)}; give a command of your own a key instead")
    if config.model is not None and config.model.startswith(RECORDING):
        raise UsageError(f"--model {config.model}: with --agent-login nothing is recorded or replayed; name a model")
    if config.max_cost is not None or config.max_tokens is not None:
        raise UsageError("--max-cost and --max-tokens cannot hold with --agent-login; limit --trials or --wall instead")
    login = LoginAccess(row, host.variables, paths, TunnelLimits(seconds=config.agent_seconds))
    return login, " and ".join(row.login.hosts), login


def find_agent(named: str, model: str, host: AgentHost, private: Sequence[Path] = ()) -> Agent:
    """Return an agent with the version that its program prints in the sandbox.

    Args:
        named: a row of `agents.kinds`, or a command line.
        model: as in --model.
        private: folders that the sandbox may not show to it.

    Raises:
        UsageError: there is no such agent, or its program lies in a folder with a private one.
        MissingRequirementError: its program is not installed, or does not start in the sandbox.
    """
    path = host.variables.get("PATH", "")
    row = AGENTS.get(named)
    if row is None and " " not in named.strip():
        raise UsageError(
            f"--agent {named}: there is no such agent; there are {', '.join(AGENTS)}, or a command "
            "such as 'my-agent --task {prompt}'"
        )
    words = custom.split_command(named) if row is None else (row.name,)
    remedy = row.remedy if row is not None else "install it, or give its path"
    program = Program("python") if words[0] in custom.PYTHONS else find_program(words[0], path, remedy, private)
    words, file_mounts = custom.mount_files(words)
    program = replace(program, mounts={**program.mounts, **file_mounts})
    starts, printed = printed_version(host.sandbox, program)
    found = _VERSION.search(printed)
    if not starts or (row is not None and found is None):
        title = row.title if row is not None else words[0]
        raise MissingRequirementError(f"{title} does not start in a sandbox: {one_line(printed)}; {remedy}")
    version = found[0] if found is not None else "unknown"
    if model.startswith(RECORDING):
        model = RecordedExchanges(Path(model.removeprefix(RECORDING))).model
    if row is not None:
        return Agent(row.name, version, program, model, row.headless, row.final_message)

    def headless(request: HeadlessRequest) -> HeadlessCommand:
        return custom.headless(words, request)

    return Agent(agent_name(named), version, program, model, headless, custom.final_message)


def _source_of(config: RunConfig, variables: Mapping[str, str]) -> tuple[Callable[[int], ReplySource], str]:
    """Return a function that opens the source of replies, and the remote hosts that it sends to, as a phrase.

    The function takes the number of calls made so far.
    """
    assert config.model is not None, "`build` checks this"
    assert config.agent is not None
    if config.model.startswith(RECORDING):
        recording = Path(config.model.removeprefix(RECORDING))
        return lambda n_calls: RecordedExchanges(recording, n_calls), ""
    row = AGENTS.get(config.agent)
    names = [row.dialect] if row is not None else [name for name in DIALECTS if _is_set(name, variables)]
    if not names:
        keys = ", ".join(dict.fromkeys(kind.provider.key_variable for kind in DIALECTS.values()))
        raise MissingRequirementError(f"--agent {config.agent}: none of {keys} is set; set that of its model")
    upstreams = {name: upstream_of(name, variables) for name in names}
    for upstream in upstreams.values():
        open_client(upstream.address).close()  # refuses a proxy or certificate variable that cannot be used
    remote = dict.fromkeys(describe_endpoint(upstream.address) for upstream in upstreams.values())
    return lambda _n_calls: Endpoints(upstreams), " and ".join(host for host in remote if host is not None)


def _is_set(dialect: str, variables: Mapping[str, str]) -> bool:
    """Whether the variables name a key for a dialect, or a server of this machine, which may need none."""
    provider = DIALECTS[dialect].provider
    address = variables.get(provider.address_variable)
    return bool(variables.get(provider.key_variable)) or bool(address and describe_endpoint(address) is None)


@dataclass(frozen=True)
class _GatewayOpener:
    """Opens the gateway of each proposal of a run."""

    config: RunConfig
    paths: RunPaths
    source_of: Callable[[int], ReplySource]

    def __call__(self, context: Context, gateway_socket: Path, check: Check) -> Gateway:
        """Return the gateway of a proposal, not yet open. Raises ModelBudgetSpentError if a cap is reached."""
        config = self.config
        used = [trial.proposal.usage for trial in (*context.trials, *context.pending) if trial.proposal.usage]
        tokens = sum(each.prompt_tokens + each.completion_tokens for each in used)
        dollars = sum(each.dollars or 0.0 for each in used)
        caps = caps_of(config)
        if (reached := caps.spent(tokens, dollars)) is not None:
            raise ModelBudgetSpentError(reached)
        rest = Allowance(
            "the rest of the run",
            tokens=None if caps.tokens is None else caps.tokens - tokens,
            dollars=None if caps.dollars is None else caps.dollars - dollars,
        )
        price = Price(*config.price) if config.price is not None else None
        recording = [] if config.record is None else [Path(config.record)]
        return Gateway(
            self.source_of(sum(each.calls for each in used)),
            gateway_socket,
            model=model_name(config) or "",
            price_of=lambda _model: price,
            exchanges=[self.paths.trial(context.number).llm, *recording],
            allowances=[Allowance("this proposal", calls=config.agent_calls), rest],
            check=check,
        )
