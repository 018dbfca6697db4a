"""A mode and a searcher of one file and one row each work in every command: nothing else knows the modes by name."""

import json
from pathlib import Path

import pytest

from agent.errors import UsageError
from tests.extensions.conftest import Agent, trials_of
from tests.kill_anywhere.killed_runs import INSTANT


@pytest.mark.parametrize("kind", ["narrowing_mode", "stepping_mode"])
def test_it_runs_is_read_and_resumed(agent: Agent, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    mode = request.getfixturevalue(kind)
    agent("run", "--task", str(INSTANT), "--mode", mode, "--name", "r", "--trials", "3")
    assert [trial["status"] for trial in trials_of(agent, "r")] == ["ok"] * 3
    assert len({json.dumps(trial["params"]) for trial in trials_of(agent, "r")}) == 3
    assert f"mode {mode}" in agent("resume", "r", "--trials", "4").splitlines()[0]
    assert [trial["origin"] for trial in trials_of(agent, "r")] == ["baseline", "searcher", "searcher", "searcher"]
    agent("log", "r", "--verify")
    assert "r/2" in agent("show", "r/2")
    agent("report", "r", "--out", "page.html")
    assert mode in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_they_are_compared(agent: Agent, narrowing_mode: str, stepping_mode: str) -> None:
    modes = [narrowing_mode, stepping_mode, "random"]
    agent("compare", "--task", str(INSTANT), "--modes", ",".join(modes), "--seeds", "1", "--trials", "2", "--name", "c")
    agent("compare", "--resume", "c", "--trials", "3")
    assert [row["mode"] for row in json.loads(agent("compare", "c", "--json"))["modes"]] == modes
    assert [trial["status"] for trial in trials_of(agent, f"c-{narrowing_mode}-s0")] == ["ok"] * 3


@pytest.mark.parametrize(("option", "kind"), [("--hints", "narrowing_mode"), ("--llm-share=0.5", "stepping_mode")])
def test_an_option_that_its_row_does_not_name_is_refused(
    agent: Agent, option: str, kind: str, request: pytest.FixtureRequest
) -> None:
    mode = request.getfixturevalue(kind)
    with pytest.raises(UsageError, match=f"mode {mode} would ignore it: leave it out"):
        agent("run", "--task", str(INSTANT), "--mode", mode, option)


def test_a_run_of_a_mode_that_this_version_has_not_is_read_and_not_resumed(
    agent: Agent, narrowing_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.modes import registry

    agent("run", "--task", str(INSTANT), "--mode", narrowing_mode, "--name", "r", "--trials", "2")
    monkeypatch.delitem(registry.MODES, narrowing_mode)
    assert len(trials_of(agent, "r")) == 2
    agent("log", "r", "--verify")
    agent("best", "r")
    agent("report", "r", "--out", "page.html")
    with pytest.raises(UsageError, match=f"--mode {narrowing_mode}: there is no such mode; there are centaur"):
        agent("resume", "r", "--trials", "3")
