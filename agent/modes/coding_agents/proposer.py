"""Mode code-edit with a coding agent: it works in a folder of its own, in a sandbox, and its script is the edit.

Each trial starts a new session of the agent, which knows about the run only what NOTES.md says. NOTES.md is built from
the context, so a resumed run gives the agent the same text; its answer may differ, as that of any model.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from agent.agents.headless import FinalMessage, HeadlessCommand, HeadlessRequest, Program
from agent.edits.edit import Unchanged, WholeFile
from agent.edits.formats import title_line
from agent.edits.guard import Guard
from agent.errors import ModelError
from agent.execution.coding_agent.agent_job import (
    BASE_URL,
    FOLDER,
    AgentLimits,
    AgentWork,
    Sandbox,
    run_agent,
    socket_folder,
)
from agent.execution.smoke_test import Rehearse
from agent.llm.gateway.check_requests import MAX_CHECKS
from agent.llm.model import ModelUsage
from agent.llm.prompt_templates import PromptSet
from agent.modes.coding_agents.login_access import LoginAccess
from agent.modes.coding_agents.rehearsal_checks import RehearsalChecks
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.prompting.run_so_far import HISTORY_LINES, run_so_far, task_rules
from agent.modes.prompting.trial_digest import Briefing, quoted_line
from agent.modes.proposer import Context
from agent.modes.script_check import UNTITLED, ScriptCheck, params_in
from agent.store.paths import RunPaths
from agent.text import last_line, one_line
from agent.trials.steering import AgentUse
from agent.trials.trial import Origin, Proposal, Status

_CHECK = Path(__file__).parents[2] / "execution" / "coding_agent" / "check.py"


class ModelAccess(Protocol):
    """An agent's connection to its model for one proposal, such as an open gateway."""

    @property
    def usage(self) -> ModelUsage | None:
        """The usage of all calls that have ended; None if it cannot be known."""
        ...

    @property
    def stop_reason(self) -> str | None:
        """Why further model calls are refused, such as a cap that was reached; None if they are not."""
        ...

    @property
    def unreachable(self) -> str | None:
        """Why the model answered no call, or that the endpoint refuses the key; None otherwise."""
        ...


OpenModelAccess = Callable[[Context, Path, Callable[[str], tuple[bool, str]]], AbstractContextManager[ModelAccess]]
"""Opens the model access of a proposal on a socket file.

The last argument checks a script: it returns whether the script passes, and a text for the agent. Raises
ModelBudgetSpentError if a cap of the run is reached.
"""


@dataclass(frozen=True)
class Agent:
    """A coding agent, its program on this machine, and how to start it."""

    name: str
    version: str
    program: Program
    model: str
    headless: Callable[[HeadlessRequest], HeadlessCommand]
    final_message: Callable[[str], FinalMessage]


class CodingAgentProposer:
    """Proposes the script that a coding agent writes."""

    def __init__(
        self,
        agent: Agent,
        open_model_access: OpenModelAccess,
        sandbox: Sandbox,
        *,
        briefing: Briefing,
        guard: Guard,
        frozen: Mapping[str, bytes],
        paths: RunPaths,
        more_prompts: Sequence[str] = (),
        limits: AgentLimits = AgentLimits(),  # noqa: B008 (frozen)
        login: LoginAccess | None = None,
        rehearse: Rehearse | None = None,
        log_of: Callable[[int], str] = lambda _number: "",
    ) -> None:
        """Prepare.

        Args:
            agent: the agent to run.
            open_model_access: opens the agent's connection to its model, for each proposal.
            sandbox: runs the agent.
            briefing, guard, paths, rehearse, log_of: as for mode code-edit.
            frozen: the contents of the files beside the script.
            more_prompts: files with further rules for NOTES.md, as MODE/PART.md.
            limits: of one proposal.
            login: with --agent-login, the log-in whose proxy `open_model_access` opens.
        """
        self._agent = agent
        self._open_model_access = open_model_access
        self._sandbox = sandbox
        self._prompts = PromptSet.load("coding_agent", parts=("system", "user"), more=more_prompts)
        self._briefing = briefing
        self._guard = guard
        self._frozen = frozen
        self._paths = paths
        self._limits = limits
        self._login = login
        self._rehearse = rehearse
        self._log_of = log_of

    def propose(self, context: Context) -> Proposal:
        """Return what the agent proposes.

        Raises:
            ModelBudgetSpentError: a cap of the run is reached; no agent was started.
            ModelError: the endpoint refuses the key or has answered no call; the run stops and can be resumed.
        """
        checks = RehearsalChecks(context.number, self._guard, self._rehearse)
        with socket_folder() as folder:
            gateway_socket = folder / "gateway"
            with self._open_model_access(context, gateway_socket, checks) as access:
                work = self._work(context, gateway_socket)
                usage, stop_reason, unreachable = access.usage, access.stop_reason, access.unreachable
        checks.close()
        final = self._agent.final_message(work.stdout or work.stderr)
        remedy = "correct this"
        if self._login is not None:
            if unreachable is None and (unreachable := self._login.refusal(final, work)) is not None:
                remedy = f"run `{self._login.command}`"
            work, final = self._masked(work, final, self._login)
        if unreachable is not None:
            resume = f"agent resume {self._paths.run_id}"
            raise ModelError(f"{self._agent.name} cannot reach its model: {unreachable}; {remedy}, then: {resume}")
        script = ScriptCheck(context, self._briefing, self._guard, self._rehearse)
        proposal = self._proposal(context, script, final, self._fault(work, final, stop_reason, context), work)
        ending = one_line(stop_reason or work.stopped or f"exit code {work.exit_code}")
        return replace(
            proposal,
            usage=usage,
            prompt=self._prompts.hash,
            smoke_seconds=round(script.smoke_seconds + checks.seconds, 3),
            agent=AgentUse(self._agent.name, self._agent.version, final.session[:100], ending, work.other_files),
        )

    def _proposal(
        self, context: Context, script: ScriptCheck, final: FinalMessage, fault: str, work: AgentWork
    ) -> Proposal:
        """Return the agent's script as a proposal, or the refusal of it."""
        title = quoted_line(title_line(final.text)) or UNTITLED
        name = self._briefing.script
        try:
            if fault:
                raise ReplyError(Status.NO_PROPOSAL, fault, title=title)
            if name in work.faults:
                raise ReplyError(Status.INVALID_EDIT, f"the agent left no {name}: {work.faults[name]}", title=title)
            change = script(title, WholeFile(work.files[name]))
        except ReplyError as refused:
            crashed = script.crashed if refused.status.ran else None
            return Proposal(
                Origin.AGENT,
                refused.title or title,
                crashed.edit if crashed else Unchanged(),
                refused=refused.status,
                reason=refused.reason,
                copied_from=refused.copied_from,
                fingerprint=crashed.fingerprint if crashed else "",
            )
        params = params_in(change.source, context)
        return Proposal(Origin.AGENT, change.title, change.edit, params=params, fingerprint=change.fingerprint)

    def _masked(self, work: AgentWork, final: FinalMessage, login: LoginAccess) -> tuple[AgentWork, FinalMessage]:
        """Return an agent's work and message without tokens of its log-in. A script with a token cannot be read."""
        leaked = {name for name, text in work.files.items() if login.masked(text) != text}
        return replace(
            work,
            files={name: text for name, text in work.files.items() if name not in leaked},
            faults={**work.faults, **dict.fromkeys(leaked, "it contains a token of the agent's log-in")},
            stderr=login.masked(work.stderr),
            other_files=tuple(login.masked(name) for name in work.other_files),
        ), FinalMessage(login.masked(final.text), login.masked(final.error), login.masked(final.session))

    def _fault(self, work: AgentWork, final: FinalMessage, stop_reason: str | None, context: Context) -> str:
        """Return why the agent's work gives no proposal; empty if its script can be one."""
        name = self._agent.name
        message = quoted_line(final.error or final.text or last_line(work.stderr))
        if stop_reason:
            return f"{name} reached a limit of its proposal: {stop_reason}"
        if work.stopped:
            return f"{name}: {work.stopped}"
        if work.exit_code != 0:
            return f"{name} ended with {work.exit_code}: {message}"
        if work.files.get(self._briefing.script) == context.source:
            return f"{name} made no change: {message}"
        return ""

    def _work(self, context: Context, gateway_socket: Path) -> AgentWork:
        """Run the agent in a fresh folder."""
        script, agent = self._briefing.script, self._agent
        request = HeadlessRequest(
            self._prompts.fill("system", self._task_values()),
            FOLDER,
            BASE_URL,
            agent.model,
            agent.program.inside,
            proxy=BASE_URL if self._login is not None else "",
        )
        files = {
            **self._frozen,
            script: context.source.encode(),
            "NOTES.md": self._notes(context).encode(),
            "check": _CHECK.read_bytes(),
            ".check": f"{BASE_URL}\n{script}\n".encode(),
        }
        folder = self._paths.trial(context.number).agent
        work = run_agent(
            self._sandbox,
            agent.headless(request),
            agent.program,
            files,
            editable=(script,),
            gateway_socket=gateway_socket,
            folder=folder,
            label=f"{self._paths.run_id}/{context.number:04d}/agent",
            limits=self._limits,
            login_file=self._login.file if self._login is not None else "",
        )
        if self._login is not None:
            self._login.mask_files(folder)
        return work

    def _task_values(self) -> dict[str, str]:
        return {"script": self._briefing.script, "goal": self._briefing.goal, "n_checks": str(MAX_CHECKS)}

    def _notes(self, context: Context) -> str:
        """Return the text of NOTES.md."""
        briefing = self._briefing
        values = run_so_far(context, briefing, self._log_of, HISTORY_LINES[0], is_short=False)
        del values["source"]
        notes = self._prompts.fill("user", {**values, **task_rules(briefing, self._guard)})
        more = self._prompts.texts.get("more", "")
        return f"{notes}\n## Numbers\n\n{more}" if more else notes
