"""`agent demo`: a whole run of the small task that ships, in an empty folder."""

import json
import os
from pathlib import Path

from tests import commands


def test_the_demo_runs_real_trials_and_ends_with_the_next_commands(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AUTOCENTAUR_TRUST": "0"}
    done = commands.agent("demo", "--trials", "2", cwd=here, env=env)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in here.iterdir()] == ["runs"]
    (run,) = [path for path in (here / "runs").iterdir() if path.name.startswith("demo-")]
    listed = commands.agent("log", "--json", cwd=here, env=env)
    trials = json.loads(listed.stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["ok", "ok"]
    assert all(0.2 < trial["val_loss"] * -1 < 1 for trial in trials)  # an accuracy that the host has computed
    assert not any(trial["self_reported"] for trial in trials)
    after = done.stdout.partition("that was a whole run; now:\n")[2].splitlines()
    assert [line.split("  ")[1] for line in after] == [
        f"agent log {run.name}",
        f"agent report {run.name}",
        "agent init FOLDER",
        "agent run --task FOLDER --mode local-gp --wall 8h",
    ]
