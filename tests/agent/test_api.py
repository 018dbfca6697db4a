"""agent.api: runs from Python, in ten typed names."""

import inspect
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import api
from agent.errors import AgentError, BudgetSpentError, MissingRequirementError, UsageError
from tests.kill_anywhere.killed_runs import INSTANT, ROOT


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder of its own, for the processes that the API starts."""
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("XDG_CONFIG_HOME", str(place / "config"))
        patch.setenv("PYTHONPATH", str(ROOT))
        yield place


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def night(home: Path, lines: list[str]) -> api.LoadedRun:
    return api.run(INSTANT, mode="local", trials=6, name="night", runs=home / "runs", seed=3, say=lines.append)


def test_there_are_ten_names_and_each_function_is_typed() -> None:
    assert len(api.__all__) == 10
    for name in ("load", "list_runs", "run", "resume"):
        signature = inspect.signature(getattr(api, name))
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())


def test_a_run_is_returned_once_it_has_ended_and_its_lines_are_printed(
    night: api.LoadedRun, home: Path, lines: list[str]
) -> None:
    assert (night.name, night.mode, night.metric, night.goal) == ("night", "local", "loss", "minimise")
    assert night.path == home / "runs" / "night"
    assert [trial.number for trial in night.trials] == list(range(6))
    assert night.open_by is None
    assert night.spent.trials == 6
    assert any(line.startswith("run night: mode local") for line in lines)
    assert "all 6 trials are done" in "\n".join(lines)


def test_a_run_is_loaded_with_its_facts(night: api.LoadedRun, home: Path) -> None:
    loaded = api.load(home / "runs" / "night")
    assert [trial.value for trial in loaded.trials] == [trial.value for trial in night.trials]
    first = loaded.trials[0]
    assert (first.status, first.standing, first.value) == ("ok", "confirmed", pytest.approx(1.93))
    assert first.params is not None
    assert set(first.params) == {"WIDTH", "SHIFT", "DEPTH", "ORDER"}
    assert loaded.best is not None
    assert loaded.best.standing == "repeated"
    assert loaded.best.value is not None
    assert loaded.best.value < 1.93
    assert repr(first) == "<trial 0 of night: confirmed, loss 1.93>"
    assert repr(loaded).startswith("<run night: mode local, 6 trials, best <trial ")
    assert api.list_runs(home / "runs") == [home / "runs" / "night"]


def test_the_best_trial_has_its_source_its_log_and_what_it_changed(night: api.LoadedRun) -> None:
    best = night.best
    assert best is not None
    assert best.number > 0
    assert best.params is not None
    assert f"WIDTH = {best.params['WIDTH']}" in best.source
    assert "WIDTH = 2.0" in night.trials[0].source
    assert "loss: " in best.log
    whole = night.diff()
    assert "-WIDTH = 2.0" in whole
    assert f"+WIDTH = {best.params['WIDTH']}" in whole
    assert best.diff(night.trials[0]) == whole
    back = night.trials[0].diff(best)
    assert f"-WIDTH = {best.params['WIDTH']}" in back
    assert "+WIDTH = 2.0" in back


def test_the_example_of_the_page_runs(
    night: api.LoadedRun, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="pip install 'autocentaur[dataframe]'")
    page = (ROOT / "docs" / "json-and-python.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(home)
    exec(example, {})
    printed = capsys.readouterr().out
    assert night.diff() in printed
    assert f"0 confirmed {night.trials[0].value}" in printed


def test_a_table_has_a_row_for_each_trial_and_a_column_for_each_parameter(night: api.LoadedRun) -> None:
    pytest.importorskip("pandas", reason="pip install 'autocentaur[dataframe]'")
    table = night.to_dataframe()
    assert list(table.index) == list(range(6))
    assert list(table["value"]) == [trial.value for trial in night.trials]
    assert list(table["params.WIDTH"]) == [(trial.params or {})["WIDTH"] for trial in night.trials]
    assert table["wall_seconds"].sum() > 0


def test_without_pandas_the_extra_is_named(night: api.LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingRequirementError, match=r"pip install 'autocentaur\[dataframe\]'"):
        night.to_dataframe()


def test_a_run_is_resumed_with_more_trials(night: api.LoadedRun, home: Path) -> None:
    longer = api.run(INSTANT, mode="random", trials=2, name="longer", runs=home / "more", say=lambda _line: None)
    assert [trial.number for trial in api.resume(longer, trials=3, say=lambda _line: None).trials] == [0, 1, 2]
    with pytest.raises(BudgetSpentError, match="give `agent resume longer"):
        api.resume(longer, say=lambda _line: None)


def test_a_mistake_is_an_exception_of_its_kind(night: api.LoadedRun, home: Path) -> None:
    with pytest.raises(UsageError, match="there is no such mode"):
        api.run(INSTANT, mode="magic", trials=1, runs=home / "none", say=lambda _line: None)
    assert not (home / "none").exists()
    with pytest.raises(UsageError, match="the name night is taken"):
        api.run(INSTANT, mode="random", trials=1, name="night", runs=home / "runs", say=lambda _line: None)
    with pytest.raises(AgentError, match="nobody"):
        api.load(home / "runs" / "nobody")


def test_an_interrupt_stops_a_run_in_order(home: Path, sleeping: Path) -> None:
    program = (
        "import sys\nfrom agent import api\n"
        "try:\n    api.run(sys.argv[1], mode='random', trials=500, name='cut', runs=sys.argv[2])\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    argv = [sys.executable, "-u", "-c", program, str(sleeping), str(home / "cut-runs")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.lstrip().startswith("1 "):  # trial 1 has ended
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
    assert rest.endswith("interrupted\n")
    assert "interrupted; continue with `agent resume cut" in rest
    run = api.load(home / "cut-runs" / "cut")
    assert len(run.trials) >= 2
    assert run.open_by is None
