"""A chat model behind any OpenAI-compatible endpoint. Only this file uses `openai` and `tenacity`."""

import ipaddress
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.errors import ModelError, PromptTooLongError
from agent.llm.chat_answer import ChatAnswer, answer_in_one_piece
from agent.llm.endpoint_faults import (
    OUT_OF_MONEY,
    TRANSIENT_STATUS,
    MalformedAnswerError,
    RequestRefusedError,
    error_code,
    is_overflow,
)
from agent.llm.model import Completion, Message, Schema, legible
from agent.llm.prices import Price
from agent.text import Say

if TYPE_CHECKING:  # importing openai takes 0.5 s: only a run that calls a model should pay for it
    from openai import OpenAI, Stream
    from openai.types.chat import ChatCompletionChunk
    from tenacity import RetryCallState


LONGEST_WAIT_SECONDS = 60.0  # between two attempts, unless the server asks for more


@dataclass(frozen=True)
class RetryPolicy:
    """How long one call may take before the run stops, and how it waits between attempts."""

    request_seconds: float = 600.0  # for one attempt; a small model on a busy CPU needs minutes
    retry_seconds: float = 300.0  # for all attempts and the waits between them
    sleep: Callable[[float], None] = time.sleep
    report: Say = field(default=lambda _line: None)  # receives one line before each wait


class OpenAIModel:
    """A model at `base_url`. Retries transient faults; any other ends the call at once and says what to do."""

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        context_tokens: int = 32_768,
        options: Mapping[str, Any] | None = None,
        sends_schemas: bool = True,
        price: Price | None = None,
        patience: RetryPolicy = RetryPolicy(),
        on_tokens: Callable[[int], None] | None = None,
    ) -> None:
        """Configure the client; the first request connects.

        `base_url` None is OpenAI's own. `options` are sent unchanged with every request (temperature, seed,
        max_completion_tokens, ...). `sends_schemas`: whether the endpoint accepts `response_format`; see `probe`.
        `on_tokens`: receives the number of pieces of a reply so far, about one per token; None: do not stream.

        Raises:
            ModelError: the endpoint needs a key and there is none.
        """
        self.name = name
        self.base_url = base_url
        self.context_tokens = context_tokens
        self.sends_schemas = sends_schemas
        self._options = dict(options or {})
        self._price = price
        self._patience = patience
        self._on_tokens = on_tokens
        self._n_retries = 0  # of the current call
        self._api_key = api_key
        # Only for waiting times, so the seed does not affect results; but never the global generator.
        self._jitter = random.Random()
        self._client = _client(base_url, api_key, patience.request_seconds)

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            **self._options,
        }
        if schema is not None and self.sends_schemas:
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": schema.name, "schema": dict(schema.body), "strict": True},
            }
        if self._on_tokens is not None:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        started = time.monotonic()
        self._n_retries = 0
        answer = self._send(request)
        return self._completion(answer, time.monotonic() - started)

    def probe(self) -> bool:
        """Send one small request with a schema; remember and return whether the reply satisfies it.

        Some servers silently ignore a schema, some refuse it. A wrong key, model name or address also fails here,
        before a run starts.

        Raises:
            ModelError: the endpoint does not answer at all.
        """
        schema = Schema("probe", {"type": "object", "properties": {"word": {"enum": ["heron"]}}, "required": ["word"]})
        question = [Message("user", '{"word": ')]
        self.sends_schemas = True
        try:
            self.sends_schemas = _obeys(self.complete(question, schema).text)
        except RequestRefusedError:
            self.sends_schemas = False
            self.complete(question)
        return self.sends_schemas

    def close(self) -> None:
        self._client.close()

    def _send(self, request: Mapping[str, Any]) -> ChatAnswer:
        """Return the endpoint's answer, after as many attempts as `patience` allows; nothing else retries."""
        import openai
        from tenacity import Retrying, retry_if_exception, stop_before_delay

        tries = Retrying(
            retry=retry_if_exception(_passes),
            wait=self._wait_seconds,
            stop=stop_before_delay(self._patience.retry_seconds),
            sleep=self._patience.sleep,
            before_sleep=self._report,
            reraise=True,
        )
        try:
            return tries(self._try, request)
        except (openai.OpenAIError, MalformedAnswerError) as fault:
            raise self._translated(fault) from None

    def _try(self, request: Mapping[str, Any]) -> ChatAnswer:
        import httpx2

        try:
            raw = self._client.chat.completions.with_raw_response.create(**request)
            if raw.headers.get("Content-Type", "").startswith("text/event-stream"):
                return self._streamed(raw.parse())
            # An endpoint that cannot stream answers in one piece.
            return answer_in_one_piece(json.loads(raw.http_response.read()))
        except ValueError as fault:  # a truncated body, a proxy's error page
            raise MalformedAnswerError(f"its answer is not JSON ({fault})") from None
        except httpx2.TransportError as fault:  # openai 3.54 does not translate these while streaming
            raise MalformedAnswerError(f"the connection was lost ({fault})") from None

    def _streamed(self, chunks: "Stream[ChatCompletionChunk]") -> ChatAnswer:
        """Return the answer that the chunks form. Raises MalformedAnswerError if it is incomplete."""
        answer, n_pieces = ChatAnswer(), 0
        for chunk in chunks:
            answer.model = chunk.model or answer.model
            if chunk.usage is not None:
                answer.prompt_tokens = chunk.usage.prompt_tokens
                answer.completion_tokens = chunk.usage.completion_tokens
            for choice in chunk.choices[:1]:
                extra = choice.delta.model_extra or {}
                answer.text += choice.delta.content or ""
                answer.reasoning += extra.get("reasoning_content") or extra.get("reasoning") or ""
                answer.finish_reason = choice.finish_reason or answer.finish_reason
                n_pieces += 1
            if self._on_tokens is not None:
                self._on_tokens(n_pieces)
        if answer.finish_reason is None:
            raise MalformedAnswerError("its stream ended before the reply did")
        return answer

    def _completion(self, answer: ChatAnswer, seconds: float) -> Completion:
        reasoning, text = answer.parts()
        prompt_tokens, completion_tokens = answer.prompt_tokens or 0, answer.completion_tokens or 0
        is_counted = answer.completion_tokens is not None
        return Completion(
            text=text,
            model=legible(answer.model or self.name),
            finish_reason=answer.finish_reason or "stop",
            reasoning=reasoning,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            seconds=seconds,
            dollars=self._price.of(prompt_tokens, completion_tokens) if self._price and is_counted else None,
            retries=self._n_retries,
        )

    def _wait_seconds(self, state: "RetryCallState") -> float:
        """The wait that the server asks for, else full jitter: uniform up to 2, 4, 8, ... seconds."""
        fault = state.outcome.exception() if state.outcome else None
        asked = _retry_after(fault)
        if asked is not None:
            return asked
        return self._jitter.uniform(0.0, min(LONGEST_WAIT_SECONDS, 2.0**state.attempt_number))

    def _report(self, state: "RetryCallState") -> None:
        fault = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        self._n_retries += 1
        self._patience.report(f"{self._where}: {self._clean(fault)}; trying again in {wait:.0f} s")

    def _translated(self, fault: Exception) -> ModelError:
        """Return the error that ends the call, with what to do about it."""
        import openai

        said = self._clean(fault)
        if isinstance(fault, openai.APIStatusError):
            if is_overflow(fault):
                return PromptTooLongError(f"{self._where}: the prompt exceeds the model's context window: {said}")
            if fault.status_code in (401, 403):
                return ModelError(f"{self._where} refuses the key ({said}); set OPENAI_API_KEY and resume the run")
            if fault.status_code == 404:
                return ModelError(f"{self._where} has no model {self.name!r} ({said}); check --model and --base-url")
            if error_code(fault) == OUT_OF_MONEY:
                return ModelError(
                    f"{self._where}: the account's quota is used up ({said}); raise it and resume the run"
                )
            if fault.status_code not in TRANSIENT_STATUS:
                return RequestRefusedError(f"{self._where} refuses the request: {said}")
        return ModelError(
            f"{self._where} did not answer within {self._patience.retry_seconds:.0f} s of retries: {said}; "
            "check that the server runs, then resume the run"
        )

    @property
    def _where(self) -> str:
        return f"model endpoint {self.base_url or 'api.openai.com'}"

    def _clean(self, fault: BaseException | None) -> str:
        """The fault as one line, without the key, which some servers repeat in their message."""
        line = legible(" ".join(str(fault).split())[:300])
        return line.replace(self._api_key, "[key]") if self._api_key else line


def describe_endpoint(base_url: str | None) -> str | None:
    """Return the remote host that receives the script's source; None if the source stays on this machine."""
    if base_url is None:
        return "api.openai.com"
    host = urlsplit(base_url).hostname or base_url
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return None if is_here else host


def _client(base_url: str | None, api_key: str | None, timeout_seconds: float) -> "OpenAI":
    import openai

    here = base_url is not None and describe_endpoint(base_url) is None
    try:
        return openai.OpenAI(
            base_url=base_url,
            # Local servers need no key, but the client requires one.
            api_key=api_key or ("none" if base_url else None),
            max_retries=0,
            # A proxy from the environment would intercept even loopback.
            http_client=openai.DefaultHttpxClient(trust_env=not here, timeout=timeout_seconds),
            timeout=timeout_seconds,
        )
    except openai.OpenAIError:
        raise ModelError("OPENAI_API_KEY is not set; set it, or give --base-url of a server without keys") from None


def _passes(fault: BaseException) -> bool:
    """Whether a fault is transient, so that the same request may succeed later."""
    import openai

    if isinstance(fault, openai.APIStatusError):
        return fault.status_code in TRANSIENT_STATUS and error_code(fault) != OUT_OF_MONEY
    return isinstance(fault, openai.APIConnectionError | MalformedAnswerError)


def _retry_after(fault: BaseException | None) -> float | None:
    """Seconds of a Retry-After header; None if there is none or it is not a number."""
    import openai

    if not isinstance(fault, openai.APIStatusError):
        return None
    try:
        return max(0.0, float(fault.response.headers.get("Retry-After", "")))
    except ValueError:
        return None


def _obeys(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"word": "heron"})
    except ValueError:
        return False
