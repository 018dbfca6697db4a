"""`agent runs` and `agent rm` as users have them: what is listed, what is asked, and what is gone afterwards."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.store.git_repo import TrialRepo
from agent.store.run_lock import locked
from tests.kill_anywhere.killed_runs import INSTANT, Death, Zygote
from tests.made_runs import BASELINE, failed, made_run, scored, searched
from agent.trials.trial import Status

BETTER = (searched(0.25), scored(2.4, kept=True))


@pytest.fixture
def at(warm: Zygote, tmp_path: Path) -> Zygote:
    return warm.within(tmp_path)


def output_of(at: Zygote, *argv: str, code: int = 0) -> str:
    assert at.agent(*argv) == code, at.said
    assert "Traceback" not in at.said
    return at.said


def started(at: Zygote, name: str, *options: str, code: int = 0) -> str:
    return output_of(at, "run", "--task", str(INSTANT), "--mode", "random", "--trials", "2", "--name", name, *options, code=code)


def test_each_run_is_listed_with_what_it_is_doing_and_its_best_value(at: Zygote) -> None:
    root = at.runs.root
    made_run(root, [BASELINE, BETTER], name="night", options={"trials": 2})
    made_run(root, [BASELINE, BETTER], name="open", options={"trials": 40})
    made_run(root, [(BASELINE[0], failed(Status.CRASHED, "no file"))], name="broken")
    at.runs.run("broken").run_json.with_name("run.json").touch()
    lines = output_of(at, "runs").splitlines()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:] if line}
    assert lines[0].split() == ["run", "state", "mode", "trials", "result", "standing", "spent", "size", "began"]
    assert rows["night"].startswith("done random 2 of 2 2.4 (−20.0 %) provisional 6 s ")
    assert rows["night"].endswith(" 2026-11-21")
    assert rows["open"].startswith("interrupted random 2 of 40 2.4 (−20.0 %) provisional 6 s ")
    assert rows["broken"].startswith("failed random 1 1 s ")
    with locked(at.runs.run("open")):
        assert "\nopen    running " in output_of(at, "runs")
        assert "3 runs, 1 running" in at.said
        document = json.loads(output_of(at, "runs", "--json"))
    assert [(run["run"], run["state"], run["best_value"]) for run in document["runs"]] == [
        ("night", "done", 2.4),
        ("open", "running", 2.4),
        ("broken", "failed", None),
    ]
    assert document["runs"][1]["open_by"] == os.getpid()
    assert document["runs"][0]["bytes"] > 100


def test_a_run_that_cannot_be_read_hides_no_other(at: Zygote) -> None:
    made_run(at.runs.root, [BASELINE, BETTER], name="night", options={"trials": 2})
    made_run(at.runs.root, [BASELINE], name="torn").paths.journal.write_text("{}\n{}\n")
    text = output_of(at, "runs")
    assert "night  done" in text
    assert "torn   unreadable" in text
    assert "torn: " in text.splitlines()[3]
    assert json.loads(output_of(at, "runs", "--json"))["runs"][1]["fault"]
    at.runs.run("torn").run_json.write_text("{")
    made_run(at.runs.root, [BASELINE], name="torn-too").paths.run_json.write_text("{")
    assert output_of(at, "rm", "torn", "--yes") == "removed torn\n"
    assert output_of(at, "rm", "night", "torn-too", "--yes") == "removed night\nremoved torn-too\n"


def test_without_a_run_the_list_says_how_to_start_one(at: Zygote) -> None:
    assert "there is no run in" in output_of(at, "runs")
    assert json.loads(output_of(at, "runs", "--json"))["runs"] == []


def test_a_removed_run_leaves_nothing_and_its_name_is_free(at: Zygote) -> None:
    started(at, "y")
    started(at, "other")
    (at.runs.run("y").worktree / "mine.txt").write_text("gone too")
    assert output_of(at, "rm", "y", "--yes") == "removed y\n"
    repo = TrialRepo(at.runs.repo)
    assert not at.runs.run("y").root.exists()
    assert repo.run_ids() == {"other"}
    assert "/y" not in repo.run(["for-each-ref"])
    assert [path.name for path in (at.runs.repo / "worktrees").iterdir()] == ["worktree1"]
    started(at, "y")
    assert output_of(at, "log", "--verify", "y") == "run y: journal, git and files agree\n"
    assert output_of(at, "log", "--verify", "other") == "run other: journal, git and files agree\n"


def test_a_name_whose_folder_was_deleted_by_hand_is_refused_with_the_way_out(at: Zygote) -> None:
    started(at, "y")
    subprocess.run(["rm", "-r", str(at.runs.run("y").root)], check=True)
    text = started(at, "y", code=2)
    assert text.splitlines()[-1].startswith("error: the name y is taken: ")
    assert f"`agent rm y --runs {at.runs.root}`" in text
    assert not at.runs.run("y").root.exists()
    assert "commits of runs without a folder: y; `agent rm y` removes them" in output_of(at, "runs")
    output_of(at, "rm", "y", "--runs", str(at.runs.root), "--yes")
    started(at, "y")
    assert output_of(at, "log", "--verify", "y") == "run y: journal, git and files agree\n"


def test_what_is_in_use_or_needed_is_not_removed(at: Zygote) -> None:
    started(at, "y")
    output_of(at, "run", "--from", "y/0", "--mode", "random", "--trials", "2", "--name", "z")
    assert "z started from a trial of y and needs its commit" in output_of(at, "rm", "y", "--yes", code=2)
    with locked(at.runs.run("z")):
        text = output_of(at, "rm", "y", "z", "--yes", code=2)
    assert f"process {os.getpid()} works on z; end it first: `agent stop z`" in text
    assert "there is no run 'why' in" in output_of(at, "rm", "why", "y", "--yes", code=2)
    assert "did you mean night?" not in at.said
    assert "nothing was removed: add --yes to remove z" in output_of(at, "rm", "z", code=2)
    assert at.runs.run_ids() == ["y", "z"]
    assert output_of(at, "rm", "y", "z", "y", "--yes") == "removed y\nremoved z\n"
    assert at.runs.run_ids() == []


def test_a_comparison_is_removed_with_its_runs(at: Zygote) -> None:
    output_of(at, "compare", "--task", str(INSTANT), "--modes", "random,cma-es", "--seeds", "1", "--trials", "2", "--name", "c")
    assert "1 comparison: c; `agent compare CMP`" in output_of(at, "runs")
    assert json.loads(output_of(at, "rm", "c", "--yes", "--json")) == {
        "version": 1,
        "removed": ["c-random-s0", "c-cma-es-s0", "c"],
    }
    assert (at.runs.run_ids(), at.runs.comparison_ids()) == ([], [])


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_asks_and_shows_what_would_go(tmp_path: Path, answer: str, removed: bool) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE, BETTER], name="night", options={"trials": 2})
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "agent", "rm", "night", "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={"PATH": os.environ["PATH"]})
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    shown = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            shown += chunk
    except OSError:  # EIO: the command has ended
        pass
    os.close(ours)
    assert process.wait() == (0 if removed else 2)
    assert "2.4 (−20.0 %)" in shown.decode()
    assert "Remove 1 run with all commits? [y/N]" in shown.decode()
    assert stored.paths.run_json.exists() is not removed


@pytest.mark.slow
def test_a_kill_anywhere_leaves_a_run_that_can_be_removed(at: Zygote) -> None:
    """Each place at which a removal touches the disk or starts a process."""
    started(at, "y")
    root, saved = at.runs.root, at.folder / "saved"
    shutil.copytree(root, saved, symlinks=True)
    output_of(at, "rm", "y", "--yes")
    places = [(place, nth + 1) for place, n in at.places.items() for nth in range(n)]
    assert len(places) > 20
    for place, nth in places:
        shutil.rmtree(root)
        shutil.copytree(saved, root, symlinks=True)
        assert at.agent("rm", "y", "--yes", death=Death(place, nth)) == -9, (place, at.said)
        if at.agent("rm", "y", "--yes") != 0:  # it was gone already
            assert "there is no run 'y'" in at.said
        assert list(root.glob("*y*")) == []
        assert TrialRepo(at.runs.repo).run_ids() == set()
