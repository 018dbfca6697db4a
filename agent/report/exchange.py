"""What was asked of a model for one trial and what it replied, read from the trial's transcript."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 2_000_000  # of one transcript: a model's own window bounds what can be in it


@dataclass(frozen=True)
class Call:
    """One request to a model, and its reply or the error in its place."""

    messages: tuple[tuple[str, str], ...]  # role and text
    reply: str
    failed: bool
    prompt_tokens: int
    completion_tokens: int
    seconds: float


def read_exchange(path: Path) -> list[Call]:
    """Return the calls of a transcript in order; empty if there is none. A torn last line is left out."""
    try:
        with path.open("rb") as file:
            lines = file.read(MAX_BYTES).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return []
    calls = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        calls.append(_call(record))
    return calls


def _call(record: dict[str, Any]) -> Call:
    messages = [(str(message.get("role")), str(message.get("content"))) for message in record.get("messages", [])]
    return Call(
        messages=tuple(messages),
        reply=str(record.get("reply", record.get("error", ""))),
        failed="error" in record,
        prompt_tokens=int(record.get("prompt_tokens", 0)),
        completion_tokens=int(record.get("completion_tokens", 0)),
        seconds=float(record.get("seconds", 0.0)),
    )
