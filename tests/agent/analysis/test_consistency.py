"""`agent log --verify`: each thing that can go wrong in a stored run is named, and nothing else."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.analysis.consistency import check_consistency
from agent.store.paths import RunsFolder
from agent.store.results_tsv import earlier_results_of
from agent.trials.trial import KeepState
from tests.kill_anywhere.killed_runs import INSTANT, Death, Zygote
from tests.made_runs import BASELINE, BIGRAM, Again, made_run, scored, searched

Break = Callable[[RunsFolder], None]


@pytest.fixture(scope="module")
def whole(warm: Zygote) -> Zygote:
    """A finished run of four trials, the third of which was kept."""
    agent = warm.within(warm.folder / "whole")
    assert agent.agent("run", "--task", str(INSTANT), "--mode", "random", "--trials", "4", "--name", "r") == 0
    return agent


@pytest.fixture
def copy(whole: Zygote, tmp_path: Path) -> Zygote:
    shutil.copytree(whole.runs.root, tmp_path / "runs")
    return whole.within(tmp_path)


def git(runs: RunsFolder, *argv: str) -> str:
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(runs.repo), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def edit_journal(runs: RunsFolder, old: str, new: str) -> None:
    path = runs.run("r").journal
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def another_commit(runs: RunsFolder) -> None:
    tree = git(runs, "rev-parse", "r/0001^{tree}")
    identity = ["-c", "user.name=x", "-c", "user.email=x@localhost"]
    sha = git(runs, *identity, "commit-tree", tree, "-p", "r/0000", "-m", "trial 1: forged\n\nRun: r\nVal-Loss: 0.1")
    git(runs, "update-ref", "refs/tags/r/0001", sha)


def lose_a_blob(runs: RunsFolder) -> None:
    sha = git(runs, "rev-parse", "r/0001:train.py")
    (runs.repo / "objects" / sha[:2] / sha[2:]).unlink()


BROKEN: dict[str, tuple[Break, str]] = {
    "a tag is gone": (lambda runs: git(runs, "tag", "-d", "r/0001") and None, "trial 1: there is no tag r/0001"),
    "a tag too many": (lambda runs: git(runs, "tag", "r/0009", "r/0001") and None, "tag r/0009 belongs to no finished"),
    "a forged commit": (another_commit, "trial 1: trailer Val-Loss is 0.1, but "),
    "the branch elsewhere": (
        lambda runs: git(runs, "update-ref", "refs/heads/r", "r/0001") and None,
        "branch r is at ",
    ),
    "an object is gone": (lose_a_blob, "git: "),
    "a row of the table": (
        lambda runs: (
            runs.run("r").results_tsv.write_text(runs.run("r").results_tsv.read_text().replace("keep", "kept")) and None
        ),
        "results.tsv, line 2: differs from what follows",
    ),
    "no table": (lambda runs: runs.run("r").results_tsv.unlink(), "results.tsv, which is missing"),
    "the worktree's script": (
        lambda runs: (runs.run("r").worktree / "train.py").write_text("pass\n") and None,
        "worktree/train.py is not the incumbent's",
    ),
    "no worktree": (lambda runs: shutil.rmtree(runs.run("r").worktree), "worktree/ is missing"),
    "a trial's files": (
        lambda runs: (runs.run("r").trial(1).files / "train.py").unlink(),
        "trial 1: files/train.py differs from its commit",
    ),
    "a trial's log": (lambda runs: runs.run("r").trial(1).log.unlink(), "trial 1: train.log is missing"),
    "an artifact is gone": (lambda runs: runs.run("r").trial(0).artifact.unlink(), "trial 0: its artifact is missing"),
    "an artifact too many": (
        lambda runs: runs.run("r").trial(1).artifact.touch(),
        "trial 1: it was not kept, but its artifact exists",
    ),
    "a trial too many": (lambda runs: (runs.run("r").root / "trials" / "0042").mkdir(), "trials/0042 belongs to no"),
    "a loss in the journal": (
        lambda runs: edit_journal(runs, '"val_loss":1.93', '"val_loss":1.92'),
        "trial 0: trailer Val-Loss is 1.93, but 1.92 in the journal",
    ),
    "a torn middle line": (
        lambda runs: edit_journal(runs, '{"event":"trial_finished","number":1,', '{"event":"trial_fin'),
        "journal.jsonl, line 4: not an event",
    ),
    "no journal": (lambda runs: runs.run("r").journal.unlink(), "journal.jsonl is missing"),
    "run.json torn": (lambda runs: runs.run("r").run_json.write_text('{"form') and None, "run.json cannot be read"),
}


def test_a_whole_run_agrees_with_itself(whole: Zygote) -> None:
    assert whole.agent("log", "--verify", "r") == 0
    assert whole.said == "run r: journal, git and files agree\n"


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_named(copy: Zygote, what: str) -> None:
    breaks, expected = BROKEN[what]
    breaks(copy.runs)
    assert copy.agent("log", "--verify", "r", "--json") == 1, copy.said
    found = json.loads(copy.said)["disagreements"]
    assert any(expected in line for line in found), found


def test_what_can_be_made_again_is_mended_by_resuming(copy: Zygote) -> None:
    for what in ("the branch elsewhere", "a tag is gone", "no table", "no worktree", "an artifact too many"):
        BROKEN[what][0](copy.runs)
    assert copy.agent("log", "--verify", "r") == 1
    assert copy.agent("resume", "r") == 3, copy.said
    assert copy.agent("log", "--verify", "r") == 0, copy.said


def test_a_kill_is_no_disagreement(warm: Zygote, tmp_path: Path) -> None:
    agent = warm.within(tmp_path)
    begin = ["run", "--task", str(INSTANT), "--mode", "random", "--trials", "4", "--name", "r"]
    assert agent.agent(*begin, death=Death("start sandbox", nth=3)) == -9
    journal = agent.runs.run("r").journal
    journal.write_text(journal.read_text() + '{"event":"trial_fini')
    assert agent.agent("log", "--verify", "r") == 0, agent.said
    assert "trial 2 was interrupted" in agent.said
    assert "a torn line of 20 bytes" in agent.said


def test_a_table_in_which_an_earlier_version_kept_what_was_rolled_back_is_no_disagreement(tmp_path: Path) -> None:
    results = [BASELINE, (searched(0.1), scored(1.5, kept=True)), Again(1, scored(9.0), KeepState.ROLLED_BACK)]
    stored = made_run(tmp_path / "runs", results, mode="test", options={"keep": "two-tier"}, all_commits=True)
    text = earlier_results_of(stored.metric, stored.history.trials, stored.hashes)
    assert text.count("\tkeep\t") == 2
    for written, disagrees in (text, False), (text.replace("\tkeep\t", "\tcrash\t"), True):
        stored.paths.results_tsv.write_text(written)
        found = check_consistency(stored.runs, stored.run_id).disagreements
        assert any(line.startswith("results.tsv") for line in found) == disagrees


@pytest.fixture(scope="module")
def pooled(warm: Zygote) -> Zygote:
    """A finished run whose second trial was confirmed on slice 0, and whose result is published on slice 1."""
    agent = warm.within(warm.folder / "pooled")
    begin = ["run", "--task", str(BIGRAM), "--mode", "random", "--trials", "2", "--final-runs", "1", "--name", "r"]
    assert agent.agent(*begin) == 0, agent.said
    assert '"standing":"confirmed"' in agent.runs.run("r").journal.read_text()
    return agent


@pytest.fixture
def pooled_copy(pooled: Zygote, tmp_path: Path) -> Zygote:
    shutil.copytree(pooled.runs.root, tmp_path / "runs")
    return pooled.within(tmp_path)


def edit_events(runs: RunsFolder, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """Let the journal of a run hold edited events."""
    path = runs.run("r").journal
    events = [json.loads(line) for line in path.read_text().splitlines()]
    edit(events)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def of(events: list[dict[str, Any]], kind: str, nth: int = 0) -> dict[str, Any]:
    return [event for event in events if event["event"] == kind][nth]


def weaken(events: list[dict[str, Any]]) -> None:
    for lead in of(events, "slice_scored")["score"]["leads"].values():
        lead[0] = 1e-6


def without_slice(events: list[dict[str, Any]]) -> None:
    """Leave out the slice that confirmed trial 1; no other has been opened by then."""
    for kind in ("slice_opened", "slice_scored"):
        events.remove(of(events, kind))


def no_errors(events: list[dict[str, Any]]) -> None:
    """Let the verdict be a roll-back that names no slice."""
    next(event for event in events if "verdict" in event)["verdict"] = {"standing": "rolled_back", "lead": None}


FORGED: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a lead": (weaken, "trial 1, seed 1: the verdict is confirmed ("),
    "a standing": (
        lambda events: next(event for event in events if "verdict" in event)["verdict"].update(standing="rolled_back"),
        "standard errors, 2 needed), but confirmed (",
    ),
    "a verdict without a slice": (without_slice, "trial 1 was judged without a scored slice"),
    "a slice without a lead": (
        lambda events: of(events, "slice_scored")["score"]["leads"].clear(),
        "slice 0 was scored without the leads for a decision",
    ),
    "a roll-back for no reason": (
        lambda events: [without_slice(events), no_errors(events)],
        "trial 1, seed 1: the verdict is rolled back, but no slice was opened for it",
    ),
    "a slice that is opened twice": (
        lambda events: of(events, "slice_opened", 1).update(number=0),
        "slice 0 was opened out of order: the journal has been edited",
    ),
    "a slice that is scored and was not opened": (
        lambda events: events.remove(of(events, "slice_opened")),
        "slice 0 was scored but not opened: the journal has been edited",
    ),
    "a slice that the pool has not": (
        lambda events: [of(events, kind, 1).update(number=77) for kind in ("slice_opened", "slice_scored")],
        "slice 77 was opened, but the run's pool has 10 slices",
    ),
    "a model of no trial": (
        lambda events: of(events, "slice_opened", 1)["entrants"]["result-100"].update(trial=9),
        "slice 1: the result-100 is of trial 9, which does not exist",
    ),
}


def test_a_run_on_slices_agrees_with_itself(pooled: Zygote) -> None:
    assert pooled.agent("log", "--verify", "r") == 0, pooled.said
    assert pooled.said == "run r: journal, git and files agree\n"


@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_about_slices_is_named(pooled_copy: Zygote, what: str) -> None:
    edit, expected = FORGED[what]
    edit_events(pooled_copy.runs, edit)
    assert pooled_copy.agent("log", "--verify", "r", "--json") == 1, pooled_copy.said
    found = json.loads(pooled_copy.said)["disagreements"]
    assert any(expected in line for line in found), found


def test_a_folder_of_a_slice_that_was_not_opened_is_named(pooled_copy: Zygote) -> None:
    (pooled_copy.runs.run("r").root / "slices" / "005").mkdir()
    assert pooled_copy.agent("log", "--verify", "r") == 1
    assert "slices/005 belongs to no slice that was opened" in pooled_copy.said


def test_a_slice_that_a_killed_process_has_opened_is_no_disagreement(pooled_copy: Zygote) -> None:
    edit_events(pooled_copy.runs, lambda events: events.remove(of(events, "slice_scored", 1)))
    assert pooled_copy.agent("log", "--verify", "r") == 0, pooled_copy.said
    assert "slice 1 was opened but not scored; `agent resume r` scores it" in pooled_copy.said
