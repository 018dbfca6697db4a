"""A chat model behind any endpoint that speaks OpenAI's protocol. Only this file uses `tenacity`."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import AgentError, MissingRequirementError, ModelError, PromptTooLongError
from agent.llm.chat_answer import ChatAnswer
from agent.llm.endpoint import features
from agent.llm.endpoint.accepted_requests import AcceptedRequests
from agent.llm.endpoint.address import (
    DEFAULT_ADDRESS,
    KEY_VARIABLE,
    account_headers,
    checked_address,
    checked_key,
    secrets_of,
    shown_address,
)
from agent.llm.endpoint.connection import Connection
from agent.llm.endpoint.faults import AGAIN, ONCE, TRANSIENT_STATUS, EndpointFault, clock_time
from agent.llm.endpoint.watch import SYSTEM_TIMING, USEFUL_PACE, Pace, Timing
from agent.llm.masking import without_secrets
from agent.llm.model import Completion, Message, Schema, legible
from agent.llm.prices import Price
from agent.llm.replies.reasoning import split_reasoning
from agent.text import Say, one_line

if TYPE_CHECKING:
    from tenacity import RetryCallState


LONGEST_WAIT_SECONDS = 60.0  # between two attempts, unless the server asks for more
CHARACTERS_PER_TOKEN = 3.0  # for the estimate where an endpoint reports no number of tokens
_PROBE = (
    Message("system", "You answer with JSON and nothing else."),
    Message("user", 'Name a bird that is not a heron: {"word": '),  # only a schema leads to the word below
)
_PROBE_ANSWER = {"word": "heron"}


@dataclass(frozen=True)
class RetryPolicy:
    """How long one reply may take, in seconds, before the run stops."""

    silence_seconds: float = 300.0  # between two pieces of a reply, and before its first
    pace: Pace | None = USEFUL_PACE  # of the text in one attempt; None: any
    retry_seconds: float = 840.0  # no attempt begins later than this after the first one
    reply_seconds: float = 900.0  # for one reply: all attempts, and the waits between them
    timing: Timing = SYSTEM_TIMING
    report: Say = field(default=lambda _line: None)  # receives one line before each wait


class OpenAIModel:
    """A model at `base_url`. Retries transient faults; any other ends the call at once and says what to do.

    What the endpoint refuses and a request can do without, such as `stream_options`, is left out from then on.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        variables: Mapping[str, str] | None = None,
        context_tokens: int = 32_768,
        options: Mapping[str, Any] | None = None,
        price: Price | None = None,
        patience: RetryPolicy = RetryPolicy(),
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        """Configure the client; the first request connects.

        Args:
            name: of the model, as the endpoint knows it.
            base_url: None: OpenAI's own.
            api_key: None: the endpoint needs none.
            variables: of the environment; those of ACCOUNT_HEADERS are sent with every request.
            context_tokens: context window, prompt and reply together.
            options: sent unchanged with every request (temperature, seed, max_completion_tokens, ...).
            price: None: it is unknown.
            patience: how long a reply may take.
            on_tokens: receives the number of pieces of a reply so far, about one per token; None: do not stream.

        Raises:
            MissingRequirementError: address, key, organization or project, or a proxy or certificate variable cannot
                be used.
        """
        self.name = name
        self.context_tokens = context_tokens
        self._address = checked_address(base_url or DEFAULT_ADDRESS)
        key = checked_key(api_key)
        if base_url is None and key is None:
            raise MissingRequirementError(
                f"{KEY_VARIABLE} is not set; set it, or give --base-url of a server without keys"
            )
        self._secrets = secrets_of(self._address, key)
        self._options = dict(options or {})
        self._price = price
        self._patience = patience
        self._on_tokens = on_tokens
        self._n_retries = 0  # of the current call
        self._reported: set[str] = set()  # what is reported once
        # Only for waiting times, so the seed does not affect results; but never the global generator.
        self._jitter = random.Random()
        self._connection = Connection(
            self._address,
            key,
            account=account_headers(variables or {}),
            silence_seconds=patience.silence_seconds,
            pace=patience.pace,
            timing=patience.timing,
        )
        self._requests = AcceptedRequests(self._connection, on_tokens or (lambda _count: None), self._report_once)

    @property
    def sends_schemas(self) -> bool:
        """Whether requests include a JSON schema where the caller gives one; see `probe`."""
        return features.SCHEMA not in self._requests.left_out

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        return self._complete(messages, schema, is_probe=False)

    def probe(self) -> bool:
        """Send one small request as a run will; return whether the reply satisfies its schema.

        What the endpoint refuses is left out from then on. Some servers silently ignore a schema: then none is sent.
        A wrong key, model name or address also fails here, before a run starts.

        Raises:
            MissingRequirementError: there is no connection to the endpoint.
            ModelError: it does not answer.
        """
        properties = {"word": {"enum": list(_PROBE_ANSWER.values())}}
        schema = Schema("probe", {"type": "object", "properties": properties, "required": ["word"]})
        reply = self._complete(_PROBE, schema, is_probe=True)
        if self.sends_schemas and not _obeys(reply.text):
            self._requests.leave_out(features.SCHEMA)
        return self.sends_schemas

    def close(self) -> None:
        self._connection.close()

    def _complete(self, messages: Sequence[Message], schema: Schema | None, *, is_probe: bool) -> Completion:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            **self._options,
        }
        if schema is not None:
            request[features.SCHEMA] = {
                "type": "json_schema",
                "json_schema": {"name": schema.name, "schema": dict(schema.body), "strict": True},
            }
        if self._on_tokens is not None:
            request |= {features.STREAM: True, features.USAGE: {"include_usage": True}}
        started = self._patience.timing.monotonic()
        self._n_retries = 0
        answer = self._retried(request, started, is_probe=is_probe)
        seconds = self._patience.timing.monotonic() - started
        return self._completion(answer, sum(len(m.content) for m in messages), seconds)

    def _retried(self, request: Mapping[str, Any], started: float, *, is_probe: bool) -> ChatAnswer:
        """Return the endpoint's answer, after as many attempts as `patience` allows; nothing else retries."""
        from tenacity import Retrying, retry_if_exception_type

        policy = self._patience

        doubtful: list[EndpointFault] = []  # the faults of this call that may be lasting

        def is_over(state: "RetryCallState") -> bool:
            fault = _fault_of(state)
            doubtful.extend([fault] if fault.most_attempts < AGAIN else [])
            allowed = fault.most_attempts
            if is_probe and (not fault.connected or doubtful):
                allowed = ONCE  # nothing has worked yet: somebody is there to mend it
            late = policy.timing.monotonic() + state.upcoming_sleep - started > policy.retry_seconds
            return late or allowed == ONCE or len(doubtful) >= allowed

        tries = Retrying(
            retry=retry_if_exception_type(EndpointFault),
            wait=self._wait_seconds,
            stop=is_over,
            sleep=policy.timing.sleep,
            before_sleep=self._report,
            reraise=True,
        )
        until = started + policy.reply_seconds
        try:
            return tries(
                lambda: self._requests.answer(request, until, tries.statistics["attempt_number"], is_probe=is_probe)
            )
        except EndpointFault as fault:
            raise self._translated(fault, is_probe=is_probe) from None

    def _completion(self, answer: ChatAnswer, prompt_characters: int, seconds: float) -> Completion:
        inline, text = split_reasoning(answer.text)
        reasoning = answer.reasoning or inline
        counts = [answer.prompt_tokens, answer.completion_tokens]
        for place, characters in enumerate((prompt_characters, len(text) + len(reasoning))):
            if counts[place] is None:
                self._report_once("reports no numbers of tokens: they are estimated, for the caps too")
                counts[place] = round(characters / CHARACTERS_PER_TOKEN)
        prompt_tokens, completion_tokens = (count or 0 for count in counts)
        texts = [text, reasoning, answer.model or self.name, answer.finish_reason]
        text, reasoning, model, finish_reason = without_secrets(texts, self._secrets)
        return Completion(
            text=text,
            model=model,
            finish_reason=finish_reason,
            reasoning=reasoning,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=seconds,
            dollars=self._price.of(prompt_tokens, completion_tokens) if self._price else None,
            retries=self._n_retries,
        )

    def _wait_seconds(self, state: "RetryCallState") -> float:
        """The wait that the server asks for, else full jitter: uniform up to 2, 4, 8, ... seconds."""
        wanted = _fault_of(state).wait
        jitter = self._jitter.uniform(0.0, min(LONGEST_WAIT_SECONDS, 2.0**state.attempt_number))
        if wanted is None:
            return jitter
        return wanted if state.attempt_number == 1 else max(wanted, jitter)  # it may ask for 0 s again and again

    def _report(self, state: "RetryCallState") -> None:
        wait = state.next_action.sleep if state.next_action else 0.0
        self._n_retries += 1
        self._patience.report(f"{self._where}: {self._clean(_fault_of(state))}; trying again in {wait:.0f} s")

    def _report_once(self, fact: str) -> None:
        """Report a fact about the endpoint, such as "reports no numbers of tokens"."""
        if fact not in self._reported:
            self._reported.add(fact)
            self._patience.report(f"{self._where} {fact}")

    def _translated(self, fault: EndpointFault, *, is_probe: bool) -> AgentError:
        """Return the error that ends the call, with what to do about it."""
        why = self._clean(fault)
        kind: type[AgentError] = ModelError
        if fault.is_overflow:
            kind, end = PromptTooLongError, f": the prompt exceeds the model's context window: {why}"
        elif fault.status in (401, 403) and not fault.is_out_of_quota:
            end = f" refuses the key ({why}); set {KEY_VARIABLE} and resume the run"
        elif fault.status == 404:
            end = f" has no model {self.name!r} ({why}); check --model and --base-url, which mostly ends in /v1"
        elif fault.is_out_of_money:
            end = f": the account's quota is used up ({why}); raise it and resume the run"
        elif fault.wait is not None and fault.wait > LONGEST_WAIT_SECONDS:
            when = clock_time(fault.wait, self._patience.timing.wall())
            end = f" asks to wait until {when} ({why}); resume the run then"
        elif fault.is_out_of_quota:
            end = f": a quota is used up ({why}); resume the run once it is renewed"
        elif not fault.connected and is_probe:
            kind, end = MissingRequirementError, f": {why}; {fault.remedy or 'check that it runs'}"
        elif fault.remedy:
            end = f": {why}; {fault.remedy}, then resume the run"
        elif fault.status is not None and fault.status not in TRANSIENT_STATUS and fault.most_attempts == ONCE:
            end = f" refuses the request: {why}"
        elif fault.most_attempts < AGAIN:
            end = f": {why}; check that the server at --base-url speaks OpenAI's protocol, then resume the run"
        else:
            tried = f" ({self._n_retries + 1} attempts)" if self._n_retries else ""
            end = f" gave no reply{tried}: {why}; check that the server runs, then resume the run"
        return kind(self._where + end)

    @property
    def _where(self) -> str:
        return f"model endpoint {shown_address(self._address)}"

    def _clean(self, fault: EndpointFault) -> str:
        """The fault as one line, without secrets, which some servers repeat in their messages."""
        return one_line(legible(str(without_secrets(str(fault), self._secrets))))[:300]


def _fault_of(state: "RetryCallState") -> EndpointFault:
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, EndpointFault), fault
    return fault


def _obeys(text: str) -> bool:
    try:
        return bool(json.loads(text) == _PROBE_ANSWER)
    except (ValueError, RecursionError):
        return False
