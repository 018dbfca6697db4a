"""The command line within this process, so that rows which a test adds to the tables hold for it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import app
from agent.modes import registry, searchers
from tests.extensions import narrowing, stepping

Agent = Callable[..., str]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> Agent:
    """Return a function that runs `agent ARGS` in a folder of its own and returns what it prints."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "AUTOCENTAUR_CACHE": str(cache),
        "AUTOCENTAUR_TRUST": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> str:
        capsys.readouterr()
        assert app(list(argv), standalone_mode=False) in (None, 0)
        return capsys.readouterr().out

    return run


@pytest.fixture
def narrowing_mode(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add the toy mode; return its name."""
    monkeypatch.setitem(registry.MODES, narrowing.ROW.name, narrowing.ROW)
    return narrowing.ROW.name


@pytest.fixture
def stepping_mode(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add the toy searcher; return the name of its mode."""
    monkeypatch.setitem(searchers.SEARCHERS, stepping.ROW.name, stepping.ROW)
    return stepping.ROW.name


def trials_of(agent: Agent, run: str) -> list[dict[str, Any]]:
    """Return the trials of a run, as `agent log --json` has them."""
    trials: list[dict[str, Any]] = json.loads(agent("log", run, "--json"))["trials"]
    return trials
