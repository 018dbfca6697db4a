"""Requests as an endpoint accepts them: what it refuses, and a request can do without, is left out from then on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.llm.chat_answer import ChatAnswer
from agent.llm.endpoint import features
from agent.llm.endpoint.connection import Connection
from agent.llm.endpoint.faults import TRANSIENT_STATUS, EndpointFault
from agent.text import Say


class AcceptedRequests:
    """Sends requests without the features that the endpoint has refused so far, for as long as this process runs."""

    def __init__(self, connection: Connection, on_tokens: Callable[[int], None], report_once: Say) -> None:
        """Prepare.

        Args:
            connection: to the endpoint.
            on_tokens: receives the number of pieces of a reply so far.
            report_once: prints what was left out, the first time.
        """
        self.left_out: frozenset[str] = frozenset()
        self._connection = connection
        self._on_tokens = on_tokens
        self._report_once = report_once

    def leave_out(self, feature: str) -> None:
        """Leave a feature out of all later requests."""
        self.left_out |= {feature}

    def answer(self, request: Mapping[str, Any], until: float, attempt: int, *, is_probe: bool) -> ChatAnswer:
        """Make one attempt; where a feature of the request may be the cause of a refusal, try without it.

        Args:
            until: when it is cut, in seconds of the clock.
            attempt: its number, from 1.
            is_probe: the request is small, so several may be sent to find out which feature is the cause.

        Raises:
            EndpointFault: there is no reply.
        """
        try:
            return self._ask(request, (), until)
        except EndpointFault as fault:
            present = features.features_of(features.without(request, self.left_out))
            named = features.named_in(fault.error, present) if fault.error is not None else []
            # Without a name it is a guess, made once in a call; and a server may fail the first time by chance.
            guessing = 2 if fault.status in TRANSIENT_STATUS else 1
            if not fault.may_be_a_feature or not (named or attempt == guessing):
                raise
            guesses = present if is_probe else [name for name in present if name == features.SCHEMA]
            if fault.status == 404:
                guesses = []  # mostly there is no such model
            answer = self._without_refused(request, until, [*named, *guesses], is_probe=is_probe)
            if answer is None:
                raise
            return answer

    def _without_refused(
        self, request: Mapping[str, Any], until: float, suspects: Sequence[str], *, is_probe: bool
    ) -> ChatAnswer | None:
        """Return the answer to a request without some of the suspects, which are left out from then on; else None."""
        queue, refused = list(dict.fromkeys(suspects)), list[str]()
        answer = None
        while queue and answer is None:
            refused.append(queue.pop(0))
            try:
                answer = self._ask(request, refused, until)
            except EndpointFault as fault:
                if not fault.may_be_a_feature or fault.error is None:
                    return None
                present = features.features_of(features.without(request, self.left_out | {*refused}))
                named = [name for name in features.named_in(fault.error, present) if name not in refused]
                queue = list(dict.fromkeys([*named, *queue]))
        if answer is None:
            return None
        for name in refused[:-1] if is_probe else []:  # only the last one is certain
            others = [other for other in refused if other != name]
            try:
                answer = self._ask(request, others, until)
            except EndpointFault:
                continue
            refused = others
        self.left_out |= {*refused}
        self._report_once(f"refuses {' and '.join(refused)}: left out from now on")
        return answer

    def _ask(self, request: Mapping[str, Any], refused: Sequence[str], until: float) -> ChatAnswer:
        return self._connection.ask(features.without(request, self.left_out | {*refused}), until, self._on_tokens)
