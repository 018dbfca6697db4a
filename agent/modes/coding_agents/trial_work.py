"""A first piece of work for a coding agent, without its model: whether it starts, calls, and edits, in its sandbox."""

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
class TrialWork:
    """What came of it."""

    calls: int  # of its model that the gateway answered
    has_edited: bool
    said: str  # why not, one line


def try_agent(agent: Agent, host: AgentHost) -> TrialWork:
    """Let an agent change one line of a small file; the gateway answers it with replies that are written beforehand.

    A command of the user's own gets a text only, since the tools of its model are not known.

    Raises:
        SandboxError: the sandbox failed.
    """
    row = AGENTS.get(agent.name)
    steps: list[ScriptedStep] = ["I am done."]
    if row is not None:
        steps.insert(0, ToolCall(*row.shell_call(f"printf 'DEPTH = 6\\n' > {_FILE}")))
    prompt = f"Set DEPTH to 6 in {_FILE}, and stop."
    request = HeadlessRequest(prompt, FOLDER, BASE_URL, agent.model, "no-key-of-any-worth", agent.program.inside)
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
                door=folder / "gateway",
                folder=folder / "work",
                label="agent/doctor",
                limits=AgentLimits(seconds=_SECONDS),
            )
            n_calls, refusals = gateway.usage.calls, gateway.refusals
    final = agent.final_message(work.stdout or work.stderr)
    said = work.stopped or final.error or final.text or next(iter(refusals), "") or last_line(work.stderr)
    ending = "" if work.exit_code in (None, 0) else f" (exit code {work.exit_code})"
    return TrialWork(n_calls, work.files.get(_FILE) == _AFTER, one_line(said)[:200] + ending)
