"""What the machine and the caller bring to the execution of scripts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.text import Say


def utc_now() -> str:
    """Return the time as the journal writes it: ISO 8601, UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Clock:
    """The clock of a run. Tests bring their own."""

    now: Callable[[], str] = utc_now
    monotonic: Callable[[], float] = time.monotonic  # seconds
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Host:
    """What the caller brings to a command that runs scripts: its environment variables, folders and output.

    `cli` alone reads the environment; every other room gets it from here.
    """

    variables: Mapping[str, str]  # of its environment, of which task.toml may let names through
    cache: Path  # prepared data
    say: Say  # prints one line
    api_key: str | None = None  # of a model's endpoint
    count_tokens: Callable[[int], None] = lambda _count: None  # shows how much of a model's reply has come in
