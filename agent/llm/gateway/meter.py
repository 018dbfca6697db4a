"""The meter of a gateway: counts the usage of an agent's model calls and enforces the caps."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.llm.gateway.dialects import TokenCounts
from agent.llm.model import ModelUsage
from agent.llm.prices import Price
from agent.text import one_line, plural

PriceOf = Callable[[str], Price | None]
"""Returns the price of a model by its name; None: it is unknown."""
_MOST_PHRASES = 50
_LONGEST_NAME = 200  # of a model that may have a price
_FAST_REFUSALS = 20  # each later one is delayed, so that an agent cannot keep this process busy with them
_DELAY_SECONDS = 0.05


@dataclass(frozen=True)
class Allowance:
    """The caps of a gateway; None: no cap. The reply that reaches a cap is finished."""

    whose: str  # such as "this proposal", "the rest of the run"
    calls: int | None = None  # failed ones included
    tokens: int | None = None  # prompts and replies together
    dollars: float | None = None
    seconds: float | None = None  # of wall time since the gateway was opened

    def spent(self, usage: ModelUsage, seconds: float) -> str | None:
        """Return a phrase that names a cap that is reached; None if none is."""
        n_calls, n_tokens = usage.calls + usage.retries, usage.prompt_tokens + usage.completion_tokens
        if self.calls is not None and n_calls >= self.calls:
            return f"{self.whose} may make {plural(self.calls, 'model call')}, and no more ({n_calls} made)"
        if self.tokens is not None and n_tokens >= self.tokens:
            return f"{self.whose} may use {self.tokens} model tokens, and no more ({n_tokens} used)"
        if self.dollars is not None and usage.dollars is not None and usage.dollars >= self.dollars:
            return f"{self.whose} may cost ${self.dollars:g}, and no more (${usage.dollars:.4f} used)"
        if self.seconds is not None and seconds >= self.seconds:
            return f"{self.whose} may take {self.seconds:g} s, and no more"
        return None


class CallRefusedError(Exception):
    """The meter refuses a call; the message is for the agent and the user."""


class Meter:
    """Counts the calls of one proposal, from several threads."""

    def __init__(self, name: str, allowances: Sequence[Allowance], price_of: PriceOf) -> None:
        """`name`: that of the usage as a whole, since an agent may call several models."""
        self._usage = ModelUsage(name, dollars=0.0)
        self._allowances = tuple(allowances)
        self._price_of = price_of
        self._prices: dict[str, Price | None] = {}
        self._n_open = 0  # calls in progress
        self._stop_reason: str | None = None
        self._is_closed = False
        self._opened = time.monotonic()
        self._lock = threading.Lock()

    @property
    def usage(self) -> ModelUsage:
        """All calls that have ended. `retries` counts those that failed, `seconds` is the sum of their durations."""
        with self._lock:
            return self._usage

    @property
    def stop_reason(self) -> str | None:
        """Why further calls are refused; None: none was refused."""
        with self._lock:
            return self._stop_reason

    def begin(self, model: str) -> None:
        """Admit a call, which `end` has to follow.

        Raises:
            CallRefusedError: a cap is reached, or cannot be enforced for this model.
            AgentError: the user's table of prices cannot be read.
        """
        with self._lock:
            if self._is_closed:
                raise CallRefusedError("the gateway was closed")
            if self._stop_reason is None:
                counted = replace(self._usage, calls=self._usage.calls + self._n_open)
                seconds = time.monotonic() - self._opened
                reached = (allowance.spent(counted, seconds) for allowance in self._allowances)
                self._stop_reason = next((why for why in reached if why is not None), None)
            if self._stop_reason is not None:
                raise CallRefusedError(self._stop_reason)
            price = self._price(model)  # here, since this may raise: `end` has to count in any case
            if price is None and any(allowance.dollars is not None for allowance in self._allowances):
                raise CallRefusedError(
                    f"the cost of model calls is capped, and the price of the model {one_line(model)[:80]!r} is unknown"
                )
            self._n_open += 1

    def end(self, model: str, tokens: TokenCounts | None, seconds: float) -> None:
        """Count a call that was admitted. `tokens` None: it failed, so no reply is charged."""
        with self._lock:
            self._n_open -= 1
            used = self._usage
            if tokens is None:
                self._usage = replace(used, retries=used.retries + 1, seconds=used.seconds + seconds)
                return
            price = self._price(model)
            dollars = None if price is None else price.of(tokens.prompt, tokens.completion)
            self._usage = used.plus(
                ModelUsage(
                    used.model,
                    1,
                    tokens.prompt,
                    tokens.completion,
                    seconds,
                    dollars,
                    cached_tokens=tokens.cached,
                )
            )

    def stop(self, why: str) -> None:
        """Refuse all further calls."""
        with self._lock:
            self._stop_reason = self._stop_reason or why

    def close(self) -> None:
        """Refuse all further calls, because the proposal has ended."""
        with self._lock:
            self._is_closed = True

    def _price(self, model: str) -> Price | None:
        if len(model) > _LONGEST_NAME:
            return None
        if model not in self._prices:
            self._prices[model] = self._price_of(model)
        return self._prices[model]


class Tally:
    """Counts phrases, from several threads; those beyond the first 50 count as others."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, phrase: str) -> int:
        """Count a phrase; return the number of all that were counted."""
        with self._lock:
            known = phrase in self._counts or len(self._counts) < _MOST_PHRASES
            key = phrase if known else "others"
            self._counts[key] = self._counts.get(key, 0) + 1
            return sum(self._counts.values())

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


class Refusals(Tally):
    """Counts refused requests by reason, and delays the answer to an agent that repeats them."""

    def refuse(self, reason: str) -> int:
        """Count a refusal, wait if there were many; return the number of all refusals."""
        n_refused = self.add(reason)
        if n_refused > _FAST_REFUSALS:
            time.sleep(_DELAY_SECONDS)
        return n_refused
