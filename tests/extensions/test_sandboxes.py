"""A sandbox of one file and one row runs the jobs of a search, and every command that runs jobs finds it."""

from pathlib import Path

import pytest

from agent.cli.checks.machine import examine
from agent.errors import UsageError
from agent.execution import sandboxes
from agent.execution.sandboxes import DEFAULT_SANDBOX, SANDBOXES
from agent.store.journal import read_history
from agent.store.paths import RunsFolder
from agent.store.run_config import RunConfig
from tests.extensions import traced
from tests.extensions.conftest import Agent
from tests.kill_anywhere.killed_runs import INSTANT


@pytest.fixture(autouse=True)
def traced_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sandboxes.SANDBOXES, traced.ROW.name, traced.ROW)


def labels(folder: Path) -> list[str]:
    return (folder / traced.TRACE).read_text().splitlines()


def test_a_search_its_resume_and_a_replay_run_in_it(agent: Agent, tmp_path: Path) -> None:
    search = ["run", "--task", str(INSTANT), "--mode", "random", "--name", "r", "--trials", "2"]
    agent(*search, "--sandbox", "traced")
    agent("resume", "r", "--trials", "3")
    assert [f"r/000{number}/train" in labels(tmp_path) for number in range(3)] == [True] * 3
    history = read_history(RunsFolder(tmp_path / "runs").run("r").journal)
    assert {trial.outcome.sandbox.split()[0] for trial in history.trials if trial.outcome} == {"traced"}
    agent("replay", "r/1")
    assert any(label.startswith("r/0001/replay") for label in labels(tmp_path))


def test_doctor_checks_it_beside_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sandboxes.SANDBOXES, "docker")
    found = {finding.what: finding for finding in examine(INSTANT, None, tmp_path, RunsFolder(tmp_path))}
    assert found["traced: network"].verdict == found["limit: network"].verdict == "ok"
    assert labels(tmp_path)


@pytest.mark.parametrize("command", [["run", "--trials", "1"], ["noise"], ["compare", "--modes", "random"]])
def test_a_sandbox_that_there_is_not_is_refused_with_the_names_of_those_that_there_are(
    agent: Agent, command: list[str], tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match="--sandbox chroot: there is no such sandbox; there are bubblewrap, docker, tr"
    ):
        agent(
            *command,
            "--trials=1" if "compare" in command else "--name=r",
            "--task",
            str(INSTANT),
            "--sandbox",
            "chroot",
        )
    assert not (tmp_path / "runs" / "r").exists()


def test_a_run_that_names_none_has_the_default() -> None:
    config = RunConfig(run_id="r", mode="random", task_folder="t", task_name="t", task_digest="d")
    assert config.sandbox == DEFAULT_SANDBOX == next(iter(SANDBOXES))
