"""The answers to `./check`, with which a coding agent rehearses its script before it hands it in."""

import threading
from contextvars import copy_context

from agent.edits.guard import Guard
from agent.errors import EditError
from agent.execution.smoke_test import Rehearse
from agent.llm.gateway.check_requests import MAX_CHECKS
from agent.modes.prompting.trial_digest import quoted_log


class RehearsalChecks:
    """Answers `./check`: rehearses the agent's script, at most MAX_CHECKS times for a proposal."""

    def __init__(self, number: int, guard: Guard, rehearse: Rehearse | None) -> None:
        self.seconds = 0.0  # of all rehearsals
        self._number = number
        self._guard = guard
        self._rehearse = rehearse
        self._n_done = 0
        self._is_closed = False
        self._lock = threading.Lock()  # the gateway calls from threads of its own
        self._slot = copy_context()  # of the proposer's thread: rehearsals run in its slot

    def __call__(self, source: str) -> tuple[bool, str]:
        """Return whether a script passes its rehearsal, and the result as text for the agent."""
        with self._lock:
            return self._slot.run(self._checked, source)

    def close(self) -> None:
        """Wait for a rehearsal that the agent did not wait for, since the next one uses the same files; run no more."""
        with self._lock:
            self._is_closed = True

    def _checked(self, source: str) -> tuple[bool, str]:
        if self._is_closed:
            return False, "the proposal has ended"
        self._n_done += 1
        left = f"{MAX_CHECKS - self._n_done} checks are left"
        try:
            self._guard.check(source)
        except EditError as fault:
            return False, f"refused: {fault}\n{left}"
        if self._rehearse is None:
            return True, f"it parses; this run rehearses nothing (--no-smoke)\n{left}"
        result = self._rehearse(source, self._number)
        self.seconds += result.seconds
        if result.failed is not None:
            return False, f"{result.failed}: {result.reason}\n{quoted_log(result.log, n_lines=60)}\n{left}"
        if result.why_none:
            return True, f"it parses; it was not rehearsed: {result.why_none}\n{left}"
        how = "it did not finish one step within its limit" if result.is_cut_short else "one step ran"
        return True, f"ok: {how}, in {result.seconds:.1f} s\n{left}"
