"""One run with two workers, in which a trial edited an older version than the tip of the branch, read by every reader.

Trials 1 and 2 edit the baseline at the same time. Trial 2 ends first and is kept; then trial 1, which is better, and
whose first attempt was lost. So trial 1's git parent is trial 2, of which it has nothing. Trial 4 edits trial 1.
"""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.analysis.ablation_chain import ChangeChain
from agent.cli.main import app
from agent.edits.edit import Unchanged
from agent.report.export import export
from agent.report.html.charts.progress import progress
from agent.report.html.page import render
from agent.report.html.tables import RunOnPage, ledger_table
from agent.report.html.texts.side_by_side import DiffRow
from agent.report.html.trial_panels import details
from agent.report.trackers.tracker import facts_of
from agent.report.user_branch import make_branch
from agent.store.git.command import run_git
from agent.store.stored_run import StoredRun
from agent.trials.best_so_far import by_the_clock
from agent.trials.events import AttemptLost, TrialFinished, TrialStarted
from agent.trials.machine_speed import LostAttempt, SlotUse
from agent.trials.trial import Origin, Outcome, Proposal
from tests.made_runs import BEGAN, BIGRAM, Result, made_run, scored, searched

AT = BEGAN.isoformat()


def in_slot(number: int, loss: float, *, kept: bool = False, elapsed: float) -> Outcome:
    """A trial that held a slot for 5 seconds, after waiting for half of one."""
    place = SlotUse(number, f"cpu {number}", 5.0, 0.5, elapsed)
    return replace(scored(loss, kept=kept), total_seconds=6.0, place=place)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    results: list[Result] = [
        TrialStarted(0, None, Proposal(Origin.BASELINE, "baseline", Unchanged()), AT, 0),
        TrialFinished(0, in_slot(0, 2.0, kept=True, elapsed=6.0), AT),
        TrialStarted(1, 0, searched(0.1), AT, 1),
        TrialStarted(2, 0, searched(0.2, origin=Origin.LLM), AT, 1),
        TrialFinished(2, in_slot(1, 1.8, kept=True, elapsed=4.0), AT),
        TrialStarted(3, 2, searched(0.3), AT, 2),
        AttemptLost(1, None, LostAttempt(1, "the launcher died", 2.0, AT)),
        TrialFinished(1, in_slot(0, 1.7, kept=True, elapsed=1.0), AT),
        TrialStarted(4, 1, searched(0.1, smoothing=10.0), AT, 3),
        TrialFinished(4, in_slot(0, 1.5, kept=True, elapsed=3.0), AT),
        TrialFinished(3, in_slot(1, 1.9, elapsed=1.0), AT),
        TrialStarted(5, 4, searched(0.4), AT, 5),
    ]
    root = tmp_path_factory.mktemp("out-of-order") / "runs"
    return made_run(root, results, all_commits=True)


def output_of(stored: StoredRun, *command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--runs", str(stored.runs.root)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_log_is_in_order_of_finish_and_has_the_hours_and_the_device_hours(stored: StoredRun) -> None:
    log = output_of(stored, "log", "--graph")
    rows = [line.split() for line in log.split("\n\n")[0].splitlines()[2:]]
    assert [(row[0], *row[3:6]) for row in rows[1:5]] == [
        ("2", "provisional", "1.800000", "-0.20000"),
        ("1", "provisional", "1.700000", "-0.10000"),
        ("4", "provisional", "1.500000", "-0.20000"),
        ("3", "reverted", "1.900000", "+0.40000"),
    ]
    assert "[1 lost]" in log
    assert rows[5][:2] == ["5", "interrupted"]
    # Five trials held a slot for 5 s each; trial 1 did so for 2 s more before it was lost: its stay includes them.
    assert "spent: 5 s of training budget, 15 s wall time, 25 s device time on 2 workers (2 s of it in lost" in log
    assert all(f"trial {number}: " in log.split("\n\n")[-1] for number in range(5))
    spent = json.loads(output_of(stored, "log", "--json"))["spent"]
    assert (spent["wall_seconds"], spent["device_seconds"], spent["lost_seconds"]) == (15.0, 25.0, 2.0)


def test_a_trial_shows_what_it_edited_and_what_it_was_judged_against(stored: StoredRun) -> None:
    shown = output_of(stored, "show", "made/1")
    assert "parent:        trial 0\n" in shown
    assert "compared with: trial 2, then the incumbent and the tip of the branch\n" in shown
    assert "worker:        0 (cpu 0) for 5.0 s, after 0.5 s of waiting\n" in shown
    assert "lost:          the launcher died (2.0 s, " in shown
    for patch in (output_of(stored, "diff", "made/1"), shown):
        assert "-MIX = 0.5" in patch
        assert "+MIX = 0.1" in patch
    trial = json.loads(output_of(stored, "show", "made/1", "--json"))
    assert (trial["slot"], trial["device"], trial["slot_seconds"], trial["queued_seconds"]) == (0, "cpu 0", 5.0, 0.5)
    assert (trial["parent"], trial["n_seen"], trial["elapsed_seconds"]) == (0, 1, 1.0)
    assert trial["lost"][0]["seconds"] == 2.0
    assert "compared with" not in output_of(stored, "show", "made/4")  # the trial that it edited


def test_attribution_and_export_follow_the_edited_trials(stored: StoredRun, tmp_path: Path) -> None:
    chain = ChangeChain.of(stored)
    assert [step.trial for step in chain.steps] == [1, 4]
    assert {change.key: round(change.recorded_gain, 9) for change in chain.changes} == {"MIX": 0.3, "SMOOTHING": 0.2}

    exported = export(stored, tmp_path / "out")
    assert len(exported.patches) == 2
    first, second = (path.read_text() for path in exported.patches)
    assert "-MIX = 0.5" in first
    assert "+MIX = 0.1" in first
    assert "MIX = 0.2" not in first + second  # of trial 2, which the result does not build on
    rows = list(csv.DictReader(exported.table.open(newline="")))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["device"] for row in rows] == ["cpu 0", "cpu 0", "cpu 1", "cpu 1", "cpu 0"]

    own = tmp_path / "own"
    own.mkdir()
    (own / "train.py").write_bytes((BIGRAM / "train.py").read_bytes())
    who = {f"GIT_{role}_{key}": "me" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    run_git(["init", "--quiet", str(own)])
    git = ["--git-dir", str(own / ".git"), "--work-tree", str(own)]
    run_git([*git, "add", "."])
    run_git([*git, "commit", "--quiet", "--message", "mine"], env=who)
    branch = make_branch(stored, own, "found", None)
    edited = "--format=%(trailers:key=Trial,valueonly,separator= ) %(trailers:key=Edited,valueonly,separator= )"
    committed = run_git([*git, "log", edited, "found"]).decode().splitlines()
    assert [line.strip() for line in committed] == ["4", "1 made/0000", ""]
    assert len(branch.commits) == 2
    run_git([*git, "am", "--quiet", *map(str, exported.patches)], env=who)
    assert (own / "train.py").read_text() == stored.task(4).source


def test_curves_and_trackers_go_by_the_time_of_finish(stored: StoredRun) -> None:
    tracked = facts_of(stored).trials
    assert [(each.step, each.number, each.metrics["best_so_far"]) for each in tracked] == [
        (0, 0, 2.0), (1, 2, 1.8), (2, 1, 1.7), (3, 4, 1.5), (4, 3, 1.5),
    ]  # fmt: skip
    chart = progress(stored.history, stored.metric, by_the_clock, "seconds", sigma=None, name="p", run=0)
    (panel,) = chart.to_json()["panels"]
    points = {each["name"]: list(zip(each["x"], each["y"], strict=True)) for each in panel["points"]}
    assert points["reverted"] == [(15.0, 1.9)]
    assert sorted(points["provisional"]) == [(10.0, 1.8), (11.0, 1.7), (14.0, 1.5)]
    assert [each["trials"] for each in panel["points"] if each["name"] == "reverted"] == [[3]]


def test_the_page_has_device_hours_beside_hours(stored: StoredRun) -> None:
    run = RunOnPage(stored, stored.task(0), {}, None)
    table = ledger_table([run])
    (row,) = table.rows
    cells = dict(zip(table.columns, row, strict=True))
    assert (cells["wall time"], cells["device time"], cells["in lost attempts"]) == ("15 s", "25 s", "2 s")
    assert (
        cells["proposing, scoring, rest"] == "18 s"
    )  # each trial took 6 s, of which 2 trained and half a second waited
    texts = {found.mark: found.texts[0] for found in details(stored, run.task.source, 0) if found.texts}
    assert texts["0/1"].heading == "edit of trial 0"
    edited = [row.right.text for row in texts["0/1"].content if isinstance(row, DiffRow) and row.right is not None]
    assert any(line.startswith("MIX = 0.1") for line in edited)
    page = render([run], datetime(2026, 11, 22, 6, tzinfo=UTC))
    assert "15 s wall time, 25 s device time on 2 workers (2 s of it in lost attempts)" in page
