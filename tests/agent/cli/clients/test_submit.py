"""The commands for clients of a run: brief, submit, wait, budget, notes; their exit codes and JSON."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from agent.store.run_lock import locked
from tests.agent.server.conftest import Place, place_in


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A run with a baseline."""
    made = place_in(tmp_path_factory.mktemp("submit"))
    done = made.agent("run", "--mode", "submitted", *made.options)
    assert done.returncode == 0, done.stderr
    assert "paused: nothing is submitted" in done.stdout
    yield made
    made.quiet()


def submit(place: Place, *argv: str, script: str | None = None) -> CompletedProcess[str]:
    if script is not None:
        (place.folder / "new.py").write_text(script)
        argv = ("--script", "new.py", *argv)
    return place.agent("submit", "r", *argv)


def one_line_error(done: CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_brief_says_what_to_improve_and_where_to_start(place: Place) -> None:
    output = place.agent("brief", "r").stdout
    assert output.startswith("run r: minimise loss by changing train.py, from trial ")
    assert "that the script itself reports" in output  # so it is in this task
    assert "values may be submitted of WIDTH, SHIFT, DEPTH, ORDER; " in output
    assert "----- train.py -----\n" in output
    document = json.loads(place.agent("brief", "r", "--json").stdout)
    assert document["source"] in output
    assert set(document["space"]) == {"WIDTH", "SHIFT", "DEPTH", "ORDER"}
    assert document["fixed_files"] == {}
    assert document["latest"][0].startswith("0: baseline -> the baseline, loss ")
    assert document["latest"][0] in output
    assert (document["stretch"], document["tried_since"]) == ("", [])


def test_a_kept_change_reaches_what_is_required(place: Place) -> None:
    title = "narrower: the minimum is at 0.7"
    done = submit(place, "--title", title, "--wait", "--require", "confirmed", script=place.script(1.4))
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("submission ")
    assert "repeated, loss" in second
    assert "client trusted" in second
    submission = first.split()[1]
    verdict = json.loads(place.agent("wait", "r", submission, "--json").stdout)
    assert (verdict["title"], verdict["is_final"]) == (title, True)


def test_a_change_that_is_not_kept_exits_with_1_only_where_more_is_required(place: Place) -> None:
    assert submit(place, "--wait", "--title", "wider", script=place.script(5.0)).returncode == 0
    done = submit(place, "--wait", "--require", "kept", "--json", script=place.script(6.0))
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "reverted"


def test_what_cannot_run_is_refused_at_the_cost_of_no_trial(place: Place) -> None:
    before = json.loads(place.agent("budget", "r", "--json").stdout)
    for script, expected in (
        ("def broken(", ["does not parse"]),
        (place.script(2.0), ["changes nothing", "this is the script of trial 0 again"]),  # the baseline may be behind
        ("x = 1\n" * 50_000, ["the limit is 200000"]),
    ):
        done = submit(place, "--title", "no", "--json", script=script)
        assert done.returncode == 1
        receipt = json.loads(done.stdout)
        assert (receipt["state"], receipt["submission"]) == ("refused", None)
        assert any(words in receipt["reason"] for words in expected)
        assert "refused, at the cost of no trial: " in submit(place, script=script).stdout
    assert json.loads(place.agent("budget", "r", "--json").stdout) == before


def test_a_script_that_fails_its_rehearsal_is_refused_later(place: Place) -> None:
    failing = place.script(1.1).replace("return (WIDTH", "raise ValueError('no') or (WIDTH")
    done = submit(place, "--wait", "--json", script=failing)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["verdict"], verdict["trial"]) == (1, "refused", None)
    assert "ValueError: no" in verdict["reason"]
    assert "return (WIDTH" in verdict["log"] or "raise ValueError" in verdict["log"]
    later = place.agent("wait", "r", verdict["submission"])
    assert later.returncode == 1
    assert later.stdout.startswith("refused, at the cost of no trial\n")
    row = next(line for line in place.agent("log", "r").stdout.splitlines() if "no trial: " in line)
    assert row.split()[1:3] == ["crashed", "submitted"]
    log = json.loads(place.agent("log", "r", "--json").stdout)
    assert [(each["id"], each["status"]) for each in log["refused_submissions"]] == [(verdict["submission"], "crashed")]
    assert place.agent("report", "r").returncode == 0
    page = (place.folder / "r.html").read_text()
    assert "Refused submissions" in page
    assert "ValueError: no" in page


def test_values_a_patch_and_a_commit(place: Place) -> None:
    done = submit(place, "--values", '{"SHIFT": 0.25}', "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert "SHIFT" in json.loads(done.stdout)["title"]
    incumbent = json.loads(place.agent("brief", "r", "--json").stdout)["source"]
    (line,) = [line for line in incumbent.splitlines() if line.startswith("DEPTH = ")]
    (place.folder / "my.patch").write_text(
        f"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-{line}\n+DEPTH = 7\n"
    )  # fmt: skip
    assert submit(place, "--patch", "my.patch", "--wait").returncode == 0
    repo = place.folder / "repo"
    repo.mkdir()
    (repo / "train.py").write_text(place.script(1.9))
    (repo / "helper.py").write_text("x = 1\n")
    for argv in (
        ["init", "-q", "-b", "main"], ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a loop's best"],
    ):  # fmt: skip
        subprocess.run(["git", "-C", str(repo), *argv], check=True, capture_output=True)
    done = submit(place, "--commit", "repo@main", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("not taken, because only train.py may change: helper.py (not in the task)\n")
    history = json.loads(place.agent("log", "r", "--json").stdout)["trials"]
    assert [trial["submission"]["source"].split("@")[0] for trial in history[-3:]] == ["values", "my.patch", "repo"]
    assert history[-1]["submission"]["ignored"] == ["helper.py (not in the task)"]


WRONG: list[tuple[list[str], str]] = [
    ([], "give one of --script, --patch, --commit and --values"),
    (["--script", "new.py", "--values", "{}"], "give one of --script, --patch, --commit and --values"),
    (["--script", "nowhere.py"], "nowhere.py cannot be read: No such file"),
    (["--patch", "nowhere.patch"], "nowhere.patch cannot be read"),
    (["--commit", "nowhere@main"], "nowhere is not in a git repository"),
    (["--values", "{"], "not JSON"),
    (["--values", "[1]"], "not a JSON object"),
    (["--script", "/dev/zero"], "/dev/zero is no file of text of at most 1 MiB; give such a file"),
    (["--patch", "."], ". is no file of text"),
    (["--commit", ".@main"], ". is not in a git repository"),
    (["--values", "{}", "--require", "kept"], "--require kept: give kept or confirmed, together with --wait"),
    (["--values", "{}", "--wait", "--require", "good"], "--require good: give kept or confirmed"),
    (["--trials", "1000", "--values", "{}"], "`agent submit` has no option --trials"),
]


@pytest.mark.parametrize(("argv", "expected"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_one_line(place: Place, argv: list[str], expected: str) -> None:
    assert expected in one_line_error(submit(place, *argv), 2)


def test_values_outside_the_space_are_refused_in_words(place: Place) -> None:
    for values, expected in (
        ('{"WIDTH": 99}', "WIDTH: 99 is outside 0.1 to 10.0"),
        ('{"WIDTH": NaN}', "WIDTH: nan is "),
        ('{"WIDTH": "\\ud800"}', "WIDTH: '\\ud800' is not a number"),
        ('{"NOPE": 1}', "NOPE: is not a name of the space"),
    ):
        done = submit(place, "--values", values)
        assert done.returncode == 1, done.stderr
        assert f"refused, at the cost of no trial: {expected}" in done.stdout


def test_a_run_or_submission_that_is_not_there(place: Place) -> None:
    for command in (["submit", "other", "--values", "{}"], ["wait", "other", "x"], ["brief", "other"]):
        assert "there is no run 'other'" in one_line_error(place.agent(*command), 2)
    assert "r has no submission 'x'" in one_line_error(place.agent("wait", "r", "x"), 2)


def test_waiting_ends_after_a_time_while_another_process_holds_the_run(place: Place) -> None:
    with locked(place.client().paths):
        receipt = json.loads(submit(place, "--json", "--title", "held", script=place.script(4.0)).stdout)
        done = place.agent("wait", "r", receipt["submission"], "--seconds", "0.1")
        assert done.returncode == 0
        assert done.stdout == "queued\n"
        assert done.stderr.startswith(f"no verdict yet: agent wait r {receipt['submission']}")
    assert json.loads(place.agent("wait", "r", receipt["submission"], "--json").stdout)["status"] == "ok"


def test_a_spent_budget_exits_with_3(tmp_path: Path) -> None:
    small = place_in(tmp_path, n_trials=2)
    assert small.agent("run", "--mode", "submitted", *small.options).returncode == 0
    assert submit(small, "--wait", script=small.script(1.0)).returncode == 0
    line = one_line_error(submit(small, script=small.script(1.5)), 3)
    assert "a person can raise it: `agent resume r` with --trials, --budget or --wall" in line
    assert small.agent("budget", "r").stdout == "left of run r: 0 trials\n"
    small.quiet()


def test_notes_are_those_of_the_task_and_messages_of_people(tmp_path: Path) -> None:
    made = place_in(tmp_path)
    task = tmp_path / "task"
    task.mkdir()
    for name in ("task.toml", "train.py"):
        (task / name).write_bytes((Path(made.options[3]) / name).read_bytes())
    (task / "notes.md").write_text("Depth matters \x1b[2J little.\n")
    arguments = ["run", "--mode", "submitted", "--name", "r", "--task", "task", "--trials", "9"]
    assert made.agent(*arguments).returncode == 0
    assert made.agent("say", "r", "try the width").returncode == 0
    found: dict[str, Any] = json.loads(made.agent("notes", "r", "--json").stdout)
    assert found["notes"] == "Depth matters \\x1b[2J little.\n"
    assert [message["text"] for message in found["messages"]] == ["try the width"]
    output = made.agent("notes", "r").stdout
    assert "Depth matters" in output
    assert "try the width" in output
