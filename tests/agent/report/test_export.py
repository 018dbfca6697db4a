"""What others can do with a run that was exported: with git, with a spreadsheet, in a repository of their own."""

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.edits.edit import Unchanged
from agent.report.export import spreadsheet
from agent.trials.metric import Metric
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial
from tests import commands

INSTANT = Path(__file__).parents[2] / "tasks" / "instant"
Agent = Callable[..., CompletedProcess[str]]
Git = Callable[..., str]
WHO = {"GIT_AUTHOR_NAME": "u", "GIT_AUTHOR_EMAIL": "u@x", "GIT_COMMITTER_NAME": "u", "GIT_COMMITTER_EMAIL": "u@x"}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    home = str(tmp_path_factory.mktemp("home"))

    def run(folder: Path, *args: str) -> CompletedProcess[str]:
        return commands.agent(*args, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8"})

    return run


@pytest.fixture(scope="module")
def git() -> Git:
    """Return a function that runs git in a folder, as a user without any settings would."""

    def run(folder: Path, *args: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **WHO}
        done = subprocess.run(["git", *args], cwd=folder, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def night(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run `r` whose ratchet has more than the baseline."""
    folder = tmp_path_factory.mktemp("night")
    done = agent(
        folder, "run", "--task", str(INSTANT), "--name", "r", "--mode", "random", "--trials", "8", "--keep", "any"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def own(tmp_path: Path, git: Git) -> Path:
    """A repository of the user's, with the script in a folder, work in progress and a hook that must never run."""
    folder = tmp_path / "own"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_bytes((INSTANT / "train.py").read_bytes())
    (folder / "README").write_text("mine\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "mine")
    (folder / "README").write_text("mine, changed\n")
    (folder / "staged").write_text("soon\n")
    git(folder, "add", "staged")
    for hook in ("reference-transaction", "post-commit", "pre-commit", "post-index-change"):
        path = folder / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\necho ran > {tmp_path}/hook-ran\n")
        path.chmod(0o755)
    return folder


def best(agent: Agent, folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(agent(folder, "best", "--json").stdout)
    return found


def kept(agent: Agent, folder: Path) -> list[dict[str, object]]:
    return [trial for trial in json.loads(agent(folder, "log", "--json").stdout)["trials"] if trial["kept"]]


def one_line_error(done: CompletedProcess[str], code: int = 2) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_folder_has_bundle_patches_script_and_table(agent: Agent, night: Path, git: Git, tmp_path: Path) -> None:
    done = agent(night, "export", "r", "--out", str(tmp_path / "e"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == ["patches", "r.bundle", "train.py", "trials.csv"]
    chosen, ratchet = best(agent, night), kept(agent, night)
    assert len(ratchet) >= 2

    # Every trial is in the bundle, losers too.
    git(tmp_path, "clone", "--quiet", "--branch", "r", "e/r.bundle", "clone")
    assert git(tmp_path / "clone", "rev-parse", "HEAD") == chosen["commit"]
    assert len(git(tmp_path / "clone", "tag", "--list", "r/0*").splitlines()) == 8

    # The patches lead from the user's own script to the best one.
    mine = tmp_path / "mine"
    mine.mkdir()
    git(mine, "init", "--quiet")
    (mine / "train.py").write_bytes((INSTANT / "train.py").read_bytes())
    git(mine, "add", ".")
    git(mine, "commit", "--quiet", "--message", "mine")
    patches = sorted(str(path) for path in (tmp_path / "e" / "patches").iterdir())
    assert len(patches) == len(ratchet) - 1
    git(mine, "am", "--quiet", *patches)
    assert (mine / "train.py").read_text() == (tmp_path / "e" / "train.py").read_text()
    assert git(mine, "log", "-1", "--format=%(trailers:key=Trial,valueonly)") == str(chosen["number"])


def test_the_table_has_a_row_a_trial_and_a_column_a_parameter(agent: Agent, night: Path, tmp_path: Path) -> None:
    agent(night, "export", "r", "--out", str(tmp_path / "e"))
    rows = list(csv.DictReader((tmp_path / "e" / "trials.csv").open(newline="")))
    listed = json.loads(agent(night, "log", "--json").stdout)["trials"]
    assert [int(row["number"]) for row in rows] == list(range(8))
    assert [row["commit"] for row in rows] == [trial["commit"] for trial in listed]
    assert [float(row["loss"]) for row in rows] == [trial["val_loss"] for trial in listed]
    assert float(rows[3]["params.WIDTH"]) == listed[3]["params"]["WIDTH"]
    assert {"params.WIDTH", "params.SHIFT", "params.DEPTH", "params.ORDER"} < set(rows[0])


def test_a_title_is_no_formula_and_a_failure_has_no_number() -> None:
    proposal = Proposal(Origin.LLM, '=HYPERLINK("http://x")', Unchanged())
    outcome = Outcome(Status.CRASHED, None, reason="exit 1: a, b")
    text = spreadsheet([Trial(1, 0, proposal, "t0", outcome, "t1")], {}, Metric(name="acc", goal="maximise"))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["title"] == '\'=HYPERLINK("http://x")'
    assert (row["acc"], row["status"], row["reason"], row["kept"]) == ("", "crashed", "exit 1: a, b", "no")


@pytest.mark.parametrize("name", ["status", "seed", "value", "verdict", "params.WIDTH"])
def test_a_metric_called_like_another_column_is_under_value(name: str) -> None:
    outcome = Outcome(Status.OK, -28.5, kept=True)
    proposal = Proposal(Origin.BASELINE, "baseline", Unchanged(), params={"WIDTH": 2.0})
    trial = Trial(0, None, proposal, "2026-11-22T00:00:00+00:00", outcome, "2026-11-22T00:01:00+00:00")
    heading, _ = table = list(csv.reader(io.StringIO(spreadsheet([trial], {0: "abc"}, Metric(name, "maximise")))))
    assert len(heading) == len(set(heading))
    row = dict(zip(*table, strict=True))
    assert (row["value"], row["status"], row["params.WIDTH"]) == ("28.5", "ok", "2.0")


def test_a_branch_has_the_ratchet_and_nothing_else_is_touched(agent: Agent, night: Path, own: Path, git: Git) -> None:
    def seen() -> list[str]:
        index = hashlib.sha256((own / ".git" / "index").read_bytes()).hexdigest()
        config = (own / ".git" / "config").read_text()
        head = (own / ".git" / "HEAD").read_text()
        checkout = [path.read_text() for path in sorted(own.rglob("*")) if path.is_file() and ".git" not in path.parts]
        return [index, config, head, git(own, "rev-parse", "HEAD"), *checkout]

    before = seen()
    done = agent(night, "export", "r", "--to", str(own), "--branch", "found/tonight", "--path", "src/train.py")
    assert done.returncode == 0, done.stderr
    assert seen() == before
    assert not (own.parent / "hook-ran").exists()
    assert git(own, "status", "--porcelain").splitlines() == ["M README", "A  staged"]
    assert git(own, "branch", "--format=%(refname:short)").splitlines() == ["found/tonight", "main"]

    ratchet = kept(agent, night)
    assert git(own, "rev-list", "--count", "main..found/tonight") == str(len(ratchet) - 1)
    assert git(own, "diff", "--name-only", "main", "found/tonight") == "src/train.py"
    script = git(own, "show", "found/tonight:src/train.py")
    assert script == git(night / "runs" / "trials.git", "show", f"{ratchet[-1]['commit']}:train.py")
    commit = git(own, "log", "-1", "--format=%an %(trailers:key=Val-Loss,valueonly)", "found/tonight")
    assert commit == f"autocentaur {ratchet[-1]['val_loss']!r}"

    again = agent(night, "export", "r", "--to", str(own), "--branch", "found/tonight", "--path", "src/train.py")
    assert "already has a branch found/tonight" in one_line_error(again)


def test_a_script_that_is_not_the_baseline_is_brought_there_first(
    agent: Agent, night: Path, own: Path, git: Git
) -> None:
    (own / "train.py").write_text("# an older one\n")
    git(own, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--all", "--message", "more")
    git(own, "-c", "core.hooksPath=/dev/null", "add", "train.py")
    git(own, "-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message", "more")
    done = agent(night, "export", "r", "--to", str(own), "--branch", "b")
    assert "its first commit replaces your script, which differs from the run's baseline" in done.stdout
    assert git(own, "rev-list", "--count", "main..b") == str(len(kept(agent, night)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody"], "there is no run 'nobody'"),
        (["r", "--branch", "b"], "--branch, --path and --minimal need --to"),
        (["r", "--to", "."], "is not a git repository"),
        (["r", "--to", "{own}"], "name the new branch, e.g. --branch r"),
        (["r", "--to", "{own}", "--branch", "b"], "has no file train.py at HEAD; give the script's path with"),
        (["r", "--to", "{own}", "--branch", "b", "--path", "src"], "has no file src at HEAD"),
        (["r", "--to", "{own}", "--branch", "main", "--path", "src/train.py"], "already has a branch main"),
        (["r", "--to", "{own}", "--branch", "a..b", "--path", "src/train.py"], "is not a valid branch name"),
        (["r", "--to", "{own}", "--branch", "b", "--out", "x"], "are two exports"),
        (["r", "--out", "{own}"], "exists and is not empty"),
        (["r", "--to", "{own}", "--branch", "-b", "--path", "src/train.py"], "is not a valid branch name"),
        (["r", "--to", "{own}", "--branch", "HEAD", "--path", "src/train.py"], "is not a valid branch name"),
        (["r", "--to", "{own}", "--branch", "b", "--path", "../src/train.py"], "is not a path within the repository"),
    ],
)
def test_a_wrong_request_is_one_line_and_makes_nothing(
    agent: Agent, night: Path, own: Path, arguments: list[str], says: str
) -> None:
    if arguments[1:] == ["--to", "."]:
        arguments = [*arguments, "--branch", "b"]
    refs = sorted(path for path in (own / ".git" / "refs").rglob("*"))
    assert says in one_line_error(agent(night, "export", *(word.format(own=own) for word in arguments)))
    assert sorted(path for path in (own / ".git" / "refs").rglob("*")) == refs
    assert [path.name for path in night.iterdir()] == ["runs"]


def test_a_forced_export_leaves_other_files_of_the_folder(agent: Agent, night: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("thesis.txt", "trials.csv"):
        (folder / name).write_text("mine")
    assert "not empty" in one_line_error(agent(night, "export", "r", "--out", str(folder)))
    assert (folder / "trials.csv").read_text() == "mine"
    done = agent(night, "export", "r", "--out", str(folder), "--force")
    assert done.returncode == 0, done.stderr
    assert (folder / "thesis.txt").read_text() == "mine"
    assert (folder / "trials.csv").read_text().startswith("number,")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_starts_from_a_trial_of_another(agent: Agent, night: Path, tmp_path: Path) -> None:
    shutil.copytree(night / "runs", tmp_path / "runs", symlinks=True)
    first = kept(agent, night)[-1]
    start = ("--from", f"r/{first['number']}", "--mode", "local")
    done = agent(tmp_path, "run", *start, "--trials", "2", "--name", "s")
    assert done.returncode == 0, done.stderr
    second = json.loads(agent(tmp_path, "log", "s", "--json").stdout)["trials"]
    assert second[0]["val_loss"] == first["val_loss"]
    assert second[0]["params"] == first["params"]
    assert second[0]["parent"] is None
    config = json.loads((tmp_path / "runs" / "s" / "run.json").read_text())["config"]
    assert config["of_trial"] == f"r/{first['number']}"
    assert agent(tmp_path, "resume", "s", "--trials", "3").returncode == 0
    refused = agent(tmp_path, "run", "--from", "r/1", "--task", str(INSTANT))
    assert "--from r/1 brings the task and profile of its run; leave out --task" in one_line_error(refused)
    assert "r has no trial 99" in one_line_error(agent(tmp_path, "run", "--from", "r/99"))
