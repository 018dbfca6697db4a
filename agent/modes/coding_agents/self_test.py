"""The self-test of a coding agent: it edits a small file in its sandbox, with scripted replies in place of a model."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.agents.headless import HeadlessRequest
from agent.agents.kinds import AGENTS
from agent.execution.coding_agent.agent_job import BASE_URL, FOLDER, AgentLimits, run_agent
from agent.llm.gateway.dialects import DIALECTS
from agent.llm.gateway.gateway import Gateway
from agent.llm.gateway.scripted import ScriptedReplies, ScriptedStep, ToolCall
from agent.modes.coding_agents.proposer import Agent
from agent.modes.mode import AgentHost
from agent.text import last_line, one_line

_FILE, _BEFORE, _AFTER = "train.py", "DEPTH = 4\n", "DEPTH = 6\n"
_SECONDS = 300.0


@dataclass(frozen=True)
class SelfTest:
    """The result of a self-test."""

    calls: int  # model calls that the gateway answered
    has_edited: bool
    message: str  # the agent's last message or error, one line


def try_agent(agent: Agent, host: AgentHost) -> SelfTest:
    """Ask an agent to change one line of a small file; the gateway sends scripted replies.

    A user's own command gets one text reply, since the names of its tools are not known.

    Raises:
        SandboxError: the sandbox failed.
    """
    row = AGENTS.get(agent.name)
    steps: list[ScriptedStep] = ["I am done."]
    if row is not None:
        steps.insert(0, ToolCall(*row.shell_call(f"printf 'DEPTH = 6\\n' > {_FILE}")))
    prompt = f"Set DEPTH to 6 in {_FILE}, and stop."
    request = HeadlessRequest(prompt, FOLDER, BASE_URL, agent.model, agent.program.inside)
    with tempfile.TemporaryDirectory(prefix="agent-") as place:
        folder = Path(place)
        gateway = Gateway(
            ScriptedReplies(steps, [row.dialect] if row else list(DIALECTS)),
            folder / "gateway",
            model=agent.name,
            price_of=lambda _model: None,
            exchanges=[],
        )
        with gateway:
            work = run_agent(
                host.sandbox,
                agent.headless(request),
                agent.program,
                {_FILE: _BEFORE.encode()},
                editable=(_FILE,),
                gateway_socket=folder / "gateway",
                folder=folder / "work",
                label="agent/doctor",
                limits=AgentLimits(seconds=_SECONDS),
            )
            n_calls, refusals = gateway.usage.calls, gateway.refusals
    final = agent.final_message(work.stdout or work.stderr)
    message = work.stopped or final.error or final.text or next(iter(refusals), "") or last_line(work.stderr)
    ending = "" if work.exit_code in (None, 0) else f" (exit code {work.exit_code})"
    return SelfTest(n_calls, work.files.get(_FILE) == _AFTER, one_line(message)[:200] + ending)
