"""The host's part in the execution of scripts: its clock, and the settings of the caller."""

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
    """The clock of a run. Tests pass their own."""

    now: Callable[[], str] = utc_now
    monotonic: Callable[[], float] = time.monotonic  # seconds
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Host:
    """Host settings of a command that runs scripts: environment variables, folders, output and API key.

    `cli` alone reads the environment; every other layer gets it from here.
    """

    variables: Mapping[str, str]  # of its environment; task.toml may let some through
    cache: Path  # folder of prepared data
    say: Say  # prints one line
    api_key: str | None = None  # for the endpoint of a model
    count_tokens: Callable[[int], None] = lambda _count: None  # shows how many tokens of a model's reply have arrived
