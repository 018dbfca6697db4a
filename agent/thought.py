"""A proposal that is made while a trial runs, so that the GPU does not wait for the model."""

import threading

from agent.errors import AgentError
from agent.propose.proposer import Context, Proposer
from agent.trial import Proposal
from sandbox.errors import SandboxError


class Thought:
    """One call of a proposer in a thread of its own. It keeps the state, and so the parent, that it began with."""

    def __init__(self, proposer: Proposer, context: Context) -> None:
        self.context = context
        self._proposer = proposer
        self._proposal: Proposal | None = None
        self._fault: AgentError | SandboxError | OSError | None = None
        # A run that ends does not wait for a model: what was not journaled did not happen.
        self._thread = threading.Thread(target=self._think, name=f"trial {context.number}", daemon=True)
        self._thread.start()

    def proposal(self) -> Proposal:
        """Wait for the proposal and return it. Raises what the proposer raised."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        assert self._proposal is not None, "the proposer failed in its thread; what it said is above"
        return self._proposal

    def _think(self) -> None:
        try:
            self._proposal = self._proposer.propose(self.context)
        except (AgentError, SandboxError, OSError) as fault:  # OSError: a full disk
            self._fault = fault  # for the loop, which asks when it needs the proposal
