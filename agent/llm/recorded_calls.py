"""A model's calls in a trial's llm.jsonl, of ours or of a coding agent's, as `agent show` and the report tell them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.files import plain_file
from agent.text import plural

MAX_BYTES = 2_000_000  # read from one file; a model's context window bounds the calls of a chat


@dataclass(frozen=True)
class Call:
    """One request to a model, and its reply or error."""

    messages: tuple[tuple[str, str], ...]  # role and text
    reply: str
    failed: bool
    prompt_tokens: int
    completion_tokens: int
    seconds: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Call":
        """Return the call that one line records. Raises ValueError, TypeError or AttributeError if it is none."""
        if "dialect" in record:
            return cls._of_agent(record)
        messages = [(str(message.get("role")), str(message.get("content"))) for message in record.get("messages", [])]
        return cls(
            messages=tuple(messages),
            reply=str(record.get("reply", record.get("error", ""))),
            failed="error" in record,
            prompt_tokens=int(record.get("prompt_tokens", 0)),
            completion_tokens=int(record.get("completion_tokens", 0)),
            seconds=float(record.get("seconds", 0.0)),
        )

    @classmethod
    def _of_agent(cls, record: Mapping[str, Any]) -> "Call":
        """Return the call in an exchange of agent.llm.gateway.exchanges, in the words of its dialect."""
        usage, request, fault = record.get("usage") or {}, record.get("request"), record.get("fault")
        return cls(
            messages=(("request", json.dumps(request, ensure_ascii=False)),) if request is not None else (),
            reply=str(record["reply"].get("text") or fault or ""),
            failed=int(record["status"]) >= 400 or fault is not None,
            prompt_tokens=int(usage.get("prompt", 0)),
            completion_tokens=int(usage.get("completion", 0)),
            seconds=float(record.get("seconds", 0.0)),
        )

    def describe(self, number: int) -> str:
        """Return the call as one line; `number` counts replies from 1."""
        end = "failed" if self.failed else f"{self.completion_tokens} out, {self.seconds:.1f} s"
        return f"reply {number}: {plural(self.prompt_tokens, 'token')} in, {end}"


def read_calls(path: Path) -> list[Call]:
    """Return the calls in a file, in order; empty if there is no file. Unreadable lines are skipped."""
    try:
        with plain_file(path).open("rb") as file:
            lines = file.read(MAX_BYTES).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return []
    calls = []
    for line in lines:
        try:
            calls.append(Call.of(json.loads(line)))
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError):
            continue  # torn by a kill, or not written by this program
    return calls
