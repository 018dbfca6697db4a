"""The calls of models that a trial's transcript records, of our own and of a coding agent, for people to read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.files import plain_file
from agent.text import as_json, plural

MAX_BYTES = 2_000_000  # read from one transcript; a model's context window bounds its calls


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
    def of(cls, record: dict[str, Any]) -> "Call":
        """Return the call that one line of a transcript records, or of the exchanges of a coding agent."""
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
    def _of_agent(cls, record: dict[str, Any]) -> "Call":
        """Return a call of a coding agent: its last message and the reply, as its endpoint sent them."""
        request, usage = record.get("request") or {}, record.get("usage") or {}
        said = [request[key] for key in ("messages", "input", "contents") if isinstance(request.get(key), list)]
        reply = str((record.get("reply") or {}).get("text", ""))
        return cls(
            messages=tuple(
                (str(part.get("role", "request")), as_json(part)) for part in (said[0] if said else [])[-1:]
            ),
            reply=reply or str(record.get("fault") or ""),
            failed=not usage,
            prompt_tokens=int(usage.get("prompt", 0)),
            completion_tokens=int(usage.get("completion", 0)),
            seconds=float(record.get("seconds", 0.0)),
        )

    def describe(self, number: int) -> str:
        """Return the call as one line; `number` counts replies from 1."""
        end = "failed" if self.failed else f"{self.completion_tokens} out, {self.seconds:.1f} s"
        return f"reply {number}: {plural(self.prompt_tokens, 'token')} in, {end}"


def read_exchange(path: Path) -> list[Call]:
    """Return the calls of a transcript in order; empty if there is no transcript. Unreadable lines are skipped."""
    try:
        with plain_file(path).open("rb") as file:
            lines = file.read(MAX_BYTES).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return []
    calls = []
    for line in lines:
        try:
            record = json.loads(line)
            calls_no_model = "dialect" in record and not record.get("usage") and record.get("status") == 200
            if not calls_no_model:
                calls.append(Call.of(record))
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            continue  # torn by a kill, or not written by this program
    return calls
