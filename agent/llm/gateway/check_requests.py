"""POST /check: an agent asks for a check of its work, as often as the proposal allows."""

import threading
from collections.abc import Callable, Sequence

from agent.errors import AgentError
from agent.llm.gateway.connection import AgentConnection
from agent.llm.gateway.meter import Tally
from agent.llm.masking import without_secrets

CHECK_PATH = "/check"
MAX_CHECKS = 5  # that an agent may request for one proposal
Check = Callable[[str], tuple[bool, str]]
"""Checks a script; returns whether it passes, and the text to send to the agent."""


class CheckRequests:
    """Answers the check requests of one proposal, one at a time."""

    def __init__(
        self,
        check: Check,
        max_checks: int,
        secrets: Sequence[str],
        refusals: Tally,
        note_bug: Callable[[BaseException], None],
    ) -> None:
        """Prepare.

        Args:
            check: the check of a script.
            max_checks: the number of checks; further requests are refused.
            secrets: texts to remove from all answers.
            refusals: counts the refused requests.
            note_bug: receives an exception of `check` that is not an AgentError.
        """
        self._check = check
        self._max_checks = max_checks
        self._n_checks = 0
        self._secrets = tuple(secrets)
        self._refusals = refusals
        self._note_bug = note_bug
        self._lock = threading.Lock()

    def answer(self, agent: AgentConnection, body: bytes) -> None:
        """Send 200 and a text if the script in the body passes, 422 and a text if not, 400 beyond the limit.

        The agent gets the text of an AgentError of the check, and 500 after any other exception.
        """
        with self._lock:
            if self._n_checks >= self._max_checks:
                message = f"all {self._max_checks} checks of this proposal are used"
                self._refusals.add(message)
                agent.send_whole(400, "text/plain", f"{message}\n".encode())
                return
            self._n_checks += 1
            try:
                passed, text = self._check(body.decode(errors="replace"))
            except AgentError as error:
                passed, text = False, str(error)
            except Exception as bug:  # noqa: BLE001 (an OSError, too, would look as if the agent had disconnected)
                self._note_bug(bug)
                agent.send_whole(500, "text/plain", b"the check failed\n")
                return
        text = str(without_secrets(text, self._secrets))
        agent.send_whole(200 if passed else 422, "text/plain; charset=utf-8", text.encode(errors="backslashreplace"))
