"""Keys and values that an earlier version knew are read, and named; a run that needs one is not resumed."""

import json
import shutil
from pathlib import Path

import pytest

from agent.errors import TaskError, UsageError
from agent.store import run_config
from agent.task import task as tasks
from agent.task.task import Task
from tests.made_runs import BASELINE, BIGRAM, made_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with two keys of [machine] that are retired, one of them in its profile."""
    folder = Path(shutil.copytree(BIGRAM, tmp_path / "task"))
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(f"{text}\n[machine]\nold = 3\n\n[profiles.small.machine]\nolder = 'x'\n")
    monkeypatch.setattr(tasks, "RETIRED", {("machine", "old"): "why", ("machine", "older"): "why", ("set", "no"): ""})
    return folder


def test_a_retired_key_is_ignored_and_named(folder: Path) -> None:
    assert Task.load(folder).retired == (
        "task.toml: [machine] old has no effect any more and is ignored: why",
        "task.toml: [machine] older has no effect any more and is ignored: why",
    )
    assert Task.load(folder, "coarse").retired == Task.load(folder).retired[:1]
    assert Task.load(BIGRAM).retired == ()


def test_any_other_key_is_still_unknown(folder: Path) -> None:
    (folder / "task.toml").write_text((folder / "task.toml").read_text().replace("old = 3", "old = 3\nnew = 4"))
    with pytest.raises(TaskError, match=r"machine.new: unknown key"):
        Task.load(folder)


def test_a_retired_field_of_run_json_is_not_read_and_a_retired_value_refuses_the_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made_run(tmp_path / "runs", [BASELINE]).paths.run_json
    document = json.loads(path.read_text())
    document["config"]["manner"] = "old"
    path.write_text(json.dumps(document))
    monkeypatch.setattr(run_config, "RETIRED_FIELDS", frozenset({"manner"}))
    assert run_config.load(path).run_id == "made"
    run_config.refuse_retired(path)
    monkeypatch.setattr(run_config, "RETIRED_VALUES", {("manner", "old"): "there is no such manner any more"})
    assert run_config.load(path).run_id == "made"
    with pytest.raises(UsageError, match=r"^made cannot be resumed: it has --manner old, and there is no such manner"):
        run_config.refuse_retired(path)
