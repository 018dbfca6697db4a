"""What steering does beyond the commands: to runs of one process, and to a task that nobody has agreed to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.analysis.comparison import Comparison
from agent.errors import AgentError
from agent.server import steering
from agent.store.run_lock import held_together, holder
from agent.task.task import Task
from tests.made_runs import BASELINE, BIGRAM, made_run

HOLDS = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from agent.store.paths import RunsFolder
from agent.store.run_lock import locked
with ExitStack() as stack:
    for name in sys.argv[2:]:
        stack.enter_context(locked(RunsFolder(Path(sys.argv[1])).run(name)))
    print("held", flush=True)
    time.sleep(1000)
"""


def test_a_stopped_process_names_all_runs_that_it_worked_on(tmp_path: Path) -> None:
    stored = [made_run(tmp_path, [BASELINE], name=f"night-{mode}-s0", mode=mode) for mode in ("random", "tpe")]
    made_run(tmp_path, [BASELINE], name="another")
    first, runs = stored[0], stored[0].runs
    Comparison("night", ("random", "tpe"), 1, first.config).save(runs)
    names = [each.run_id for each in stored]
    command = [sys.executable, "-c", HOLDS, str(tmp_path), *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert held_together(runs, names[0]) == names
        assert held_together(runs, "another") == []
        (sent,) = steering.stop([first], names[0], f"agent resume {names[0]}", " --runs X")
    assert holder(first.paths) is None
    assert sent.run_ids == tuple(names)
    assert f"the process worked on {names[1]} too" in sent.words
    assert "`agent compare --resume night --runs X` continues all" in sent.words


def test_resuming_agrees_to_nothing_that_a_task_runs(tmp_path: Path) -> None:
    folder, marker = tmp_path / "task", tmp_path / "marker"
    shutil.copytree(BIGRAM, folder)
    with (folder / "prepare.py").open("a") as prepare:
        prepare.write(f"\nopen({str(marker)!r}, 'w').close()\n")
    options = {"trials": 4, "task_folder": str(folder), "task_digest": Task.load(folder).digest}
    stored = made_run(tmp_path / "runs", [BASELINE], options=options)
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "user"), "AUTOCENTAUR_TRUST": "1"}
    with pytest.raises(AgentError, match="is not trusted yet"):
        steering.resume_in_background(stored, variables, "agent resume made")
    assert not marker.exists()
