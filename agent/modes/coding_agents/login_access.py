"""Model access by the agent's own log-in, for `--agent-login`: the log-in's file, and the proxy of each proposal."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.agents.headless import FinalMessage
from agent.agents.kinds import CodingAgent
from agent.agents.login import MOST_LOGIN_BYTES, secrets_in
from agent.execution.coding_agent.agent_job import AgentWork
from agent.files import read_bytes
from agent.llm.gateway.check_requests import Check
from agent.llm.login_proxy.proxy import Connect, LoginProxy, TunnelLimits, connect_to
from agent.llm.masking import without_secrets
from agent.modes.proposer import Context
from agent.store.paths import RunPaths
from agent.text import last_line, one_line

_MOST_KEPT_BYTES = 2**24  # of a file in a trial's folder
_REFUSED_LOGIN = re.compile(
    r"\b401\b|\b403\b|unauthori[sz]ed|unauthenticated|not logged in|log ?in|sign in|authenticat|authori[sz]ation is"
    r"|invalid_grant|token (?:is |has )?(?:been )?(?:expired|revoked|invalid)",
    re.IGNORECASE,
)


class LoginAccess:
    """Opens the proxy of each proposal, with the user's log-in file as it is then.

    A client may renew its tokens while it works, and the provider may then refuse the earlier ones. So the file that a
    proposal returns is given to the next proposals of this process, until the user's own file changes. It is held in
    memory only: the user's file is never written, since the agent could have put another account there.
    """

    def __init__(
        self,
        agent: CodingAgent,
        variables: Mapping[str, str],
        paths: RunPaths,
        limits: TunnelLimits,
        connect: Connect = connect_to,
    ) -> None:
        """Read the log-in file.

        Raises:
            MissingRequirementError: there is no log-in.
            UsageError: the file cannot be read.
        """
        self.file = agent.login.file  # inside the home folder in the sandbox
        self.command = agent.login.command  # that logs in
        self._login = agent.login
        self._variables = variables
        self._paths = paths
        self._limits = limits
        self._connect = connect
        self._own = self._login.read(variables)
        self._renewed = ""
        self._secrets = dict.fromkeys(secrets_in(self._own))

    @property
    def warning(self) -> tuple[str, ...]:
        """What a run with this log-in gives up, in lines to print at its start."""
        return (
            f"--agent-login: the agent gets a copy of {self._login.path_in(self._variables)}. The agent, and all that "
            "its model makes it run, can read the token and use your subscription; of the network it reaches only "
            f"{', '.join(self._login.hosts)}",
            "--agent-login: calls and tokens are not counted, so no cap on them holds, only --agent-time; nothing is "
            "recorded for a replay; and this program was never tested with a real subscription",
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The tokens of all log-in files so far."""
        return tuple(self._secrets)

    @contextmanager
    def __call__(self, context: Context, socket_path: Path, check: Check) -> Iterator[LoginProxy]:
        """Open the proxy of a proposal. Raises as `__init__` does."""
        text = self._current()
        proxy = LoginProxy(
            socket_path,
            self._login.hosts,
            login_file=text,
            check=check,
            limits=self._limits,
            log=self._paths.trial(context.number).agent / "connections.json",
            connect=self._connect,
        )
        with proxy:
            yield proxy
        self._keep(proxy.returned_login)

    def refusal(self, final: FinalMessage, work: AgentWork) -> str | None:
        """Return the agent's message if it failed because of its log-in; None otherwise."""
        if work.exit_code == 0 and not final.error:
            return None
        message = self.masked(one_line(f"{final.error or final.text} {last_line(work.stderr)}"))[:300]
        return f"its log-in was refused: {message}" if _REFUSED_LOGIN.search(message) else None

    def masked(self, text: str) -> str:
        """Return a text of the agent without tokens of the log-in."""
        return str(without_secrets(text, self.secrets))

    def mask_files(self, folder: Path) -> None:
        """Remove the tokens from the files that the agent's job wrote. Raises OSError."""
        for path in (folder / "output.json", folder / "job.log"):
            if path.exists():
                text = read_bytes(path, _MOST_KEPT_BYTES).decode(errors="replace")
                if self.masked(text) != text:
                    path.write_text(self.masked(text))

    def _current(self) -> str:
        own = self._login.read(self._variables)
        if own != self._own:
            self._own, self._renewed = own, ""
            self._secrets |= dict.fromkeys(secrets_in(own))
        return self._renewed or own

    def _keep(self, returned: str) -> None:
        """Keep the file that a sandbox returned, if it may be a log-in."""
        found = secrets_in(returned) if len(returned) <= MOST_LOGIN_BYTES else ()
        if found:
            self._renewed = returned
            self._secrets |= dict.fromkeys(found)
