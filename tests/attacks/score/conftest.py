"""The task that the cheats are written for. Prints the table of cheats and verdicts at the end."""

from pathlib import Path
from typing import Any

import pytest

from agent.task.corpus import Corpus, prepare_corpus
from agent.task.task import Task
from tests.conftest import TASKS


@pytest.fixture(scope="session")
def bigram() -> Task:
    """The bigram task in numpy, with all rounds of audit."""
    return Task.load(TASKS / "bigram")


@pytest.fixture(scope="session")
def corpus(bigram: Task, cache: Path) -> Corpus:
    return prepare_corpus(bigram, cache)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        (value, outcome)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        for name, value in getattr(report, "user_properties", ())
        if name == "cheat" and report.when == "call"
    ]
    if rows:
        terminalreporter.section("cheats at the score")
    for (cheat, status, kept, why), outcome in rows:
        came = f"{status}{', kept' if kept else ''}"
        terminalreporter.write_line(f"{cheat:34}{came if outcome == 'passed' else 'FAILED: ' + came:18}{why[:60]}")
