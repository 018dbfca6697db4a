"""`agent compare` of runs that confirm their gains on slices: one slice for all results, killed and gone on with."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.analysis.comparison import load
from agent.analysis.unseen import common_slice
from agent.analysis.unseen.common_slice import on_common_slice
from agent.run.one_slice import CHANGED, MAX_BURNED
from agent.store.stored_run import StoredRun
from tests.agent.analysis.unseen.conftest import copied
from tests.kill_anywhere.killed_runs import ROOT, Death, Zygote

pytestmark = pytest.mark.slow

TASK = ROOT / "tests" / "tasks" / "bigram_plain"
MODES, RUNS = ("random", "tpe"), ("c-random-s0", "c-tpe-s0")
ASKED = ["compare", "--modes", ",".join(MODES), "--seeds", "1", "--name", "c", "--final-runs", "1"]
BEGIN = [*ASKED, "--task", str(TASK), "--trials", "9"]
RESUME = ["compare", "--resume", "c"]


@pytest.fixture(scope="module")
def ended(warm: Zygote) -> Zygote:
    """A comparison in which both runs have confirmed a gain. No test changes it."""
    process = warm.within(warm.folder / "common-slice")
    assert process.agent(*BEGIN) == 0, process.said
    (process.folder / "said").write_text(process.said)
    return process


@pytest.fixture
def finished(ended: Zygote, warm: Zygote, tmp_path: Path) -> Zygote:
    """A copy of it and of its pool, which a test may change."""
    return copied(ended, warm, tmp_path)


@pytest.fixture
def unopened(finished: Zygote) -> Zygote:
    """The same, killed before the slice was opened."""
    finished.runs.run("c").unseen.unlink()
    return finished


def saved(process: Zygote) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(process.runs.run("c").unseen.read_text())["events"]
    return events


def opened(process: Zygote) -> list[int]:
    return [event["number"] for event in saved(process) if event["event"] == "slice_opened"]


def by_runs(process: Zygote) -> set[int]:
    lines = [line for run in RUNS for line in process.runs.run(run).journal.read_text().splitlines()]
    return {event["number"] for event in map(json.loads, lines) if event["event"] == "slice_opened"}


def results(process: Zygote) -> list[int | None]:
    """Return which trials are the runs' results. Whether one more gain is confirmed hangs on the text of the slices."""
    return [StoredRun.find(process.runs, run).keeper.result for run in RUNS]


def shown(process: Zygote) -> dict[str, Any]:
    assert process.agent("compare", "c", "--json") == 0, process.said
    document: dict[str, Any] = json.loads(process.said)
    return document


def test_one_slice_that_no_run_has_opened_is_opened_for_all_results(ended: Zygote) -> None:
    opening, scoring = saved(ended)
    assert opening["number"] not in by_runs(ended)
    trials = {run: StoredRun.find(ended.runs, run).keeper.result for run in RUNS}
    assert all(trials.values())
    entered = {name: (entrant["trial"], entrant["seed"]) for name, entrant in opening["entrants"].items()}
    assert entered == {"baseline": (0, 0), **{f"{run}-seed-100": (trials[run], 100) for run in RUNS}}
    last = ended.runs.run("c").slice(opening["number"]) / "answers.jsonl"
    assert len(last.read_text().splitlines()) == 4  # rounds, which all models answered together
    losses, leads = scoring["score"]["losses"], scoring["score"]["leads"]
    for mode, run in zip(MODES, RUNS, strict=True):
        lead = losses["baseline"] - losses[f"{run}-seed-100"]
        assert leads[f"{run}-baseline"][0] == leads[f"{mode}-baseline"][0] == pytest.approx(lead)
    between = losses["c-tpe-s0-seed-100"] - losses["c-random-s0-seed-100"]
    assert leads["random-tpe"][0] == pytest.approx(between)
    # Paired, the error is that of the difference, and less than of two models that have nothing in common.
    assert 0 < leads["random-tpe"][1] < sum(leads[f"{mode}-baseline"][1] for mode in MODES)


def test_the_table_has_the_result_on_the_slice(ended: Zygote) -> None:
    output, (opening, scoring) = (ended.folder / "said").read_text(), saved(ended)
    leads = scoring["score"]["leads"]
    assert f"on unseen text (slice {opening['number']} of the pool, " in output
    lines = output.splitlines()
    at = next(i for i, line in enumerate(lines) if re.search(r"lead over the baseline .*minus random, by seed$", line))
    random, tpe = lines[at + 1 : at + 3]
    assert f"{leads['random-baseline'][0]:+.4f} ± {leads['random-baseline'][1]:.2g}" in random
    assert random.endswith("  -")
    assert tpe.endswith(f"{leads['random-tpe'][0]:+.4f} ± {leads['random-tpe'][1]:.2g}")
    unseen = shown(ended)["unseen"]
    assert (unseen["slice"], unseen["current"]) == (opening["number"], True)
    assert unseen["leads"]["random-tpe"] == {"mean": leads["random-tpe"][0], "error": leads["random-tpe"][1]}


def test_another_reference_turns_the_difference_round(ended: Zygote) -> None:
    (_, scoring) = saved(ended)
    mean, error = scoring["score"]["leads"]["random-tpe"]
    assert ended.agent("compare", "c", "--minus", "tpe") == 0, ended.said
    assert f"{-mean:+.4f} ± {error:.2g}\n" in ended.said


def test_shown_or_asked_again_it_opens_nothing(finished: Zygote) -> None:
    before = saved(finished)
    shown(finished)
    assert finished.agent(*RESUME) == 3
    assert "nothing is left to run" in finished.said
    assert saved(finished) == before


def test_without_the_slice_the_tables_say_so_and_going_on_opens_it(unopened: Zygote) -> None:
    assert unopened.agent("compare", "c") == 0
    assert "no slice is opened for these results yet: agent compare --resume c" in unopened.said
    assert not unopened.runs.run("c").unseen.exists()
    assert unopened.agent(*RESUME) == 0, unopened.said
    assert "is scored for 3 models" in unopened.said
    assert opened(unopened)[0] not in by_runs(unopened)


def test_killed_while_it_is_open_it_goes_on_with_the_same_slice(unopened: Zygote) -> None:
    assert unopened.agent(*RESUME, death=Death("start sandbox", 1)) == -9
    (opening,) = saved(unopened)
    assert unopened.agent(*RESUME) == 0, unopened.said
    assert saved(unopened)[0] == opening
    assert [event["event"] for event in saved(unopened)] == ["slice_opened", "slice_scored"]


@pytest.mark.long
def test_killed_while_it_is_open_and_raised_it_is_finished_before_the_results_change(unopened: Zygote) -> None:
    assert unopened.agent(*RESUME, death=Death("start sandbox", 1)) == -9
    before = results(unopened)
    assert unopened.agent(*RESUME, "--trials", "10") == 0, unopened.said
    scores = [event["score"] for event in saved(unopened) if event["event"] == "slice_scored"]
    assert len(scores) == 1 + (results(unopened) != before)
    assert all("burned_by" not in score for score in scores)
    assert set(opened(unopened)).isdisjoint(by_runs(unopened))


def test_with_other_files_it_is_burned_and_the_model_named(unopened: Zygote) -> None:
    assert unopened.agent(*RESUME, death=Death("start sandbox", 1)) == -9
    paths = unopened.runs.run("c-tpe-s0")
    trial = StoredRun.find(unopened.runs, "c-tpe-s0").keeper.result
    assert trial is not None
    paths.trial(trial).repeat(100).artifact.write_bytes(paths.trial(0).artifact.read_bytes())
    assert unopened.agent(*RESUME) == 0, unopened.said
    (number,) = opened(unopened)
    burned = f"slice {number} was burned and gives no result: c-tpe-s0-seed-100: {CHANGED}"
    assert burned in unopened.said
    assert "lead over the baseline" not in unopened.said
    assert unopened.agent(*RESUME) == 3
    assert opened(unopened) == [number]


def test_a_result_that_is_the_baseline_leads_it_by_nothing(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    assert process.agent(*ASKED[:-2], "--task", str(TASK), "--trials", "1") == 0, process.said
    (opening, scoring) = saved(process)
    assert {(entrant["trial"], entrant["seed"]) for entrant in opening["entrants"].values()} == {(0, 0)}
    assert set(map(tuple, scoring["score"]["leads"].values())) == {(0.0, 0.0)}


def test_a_baseline_that_does_not_answer_burns_a_few(unopened: Zygote) -> None:
    unopened.runs.run("c-random-s0").trial(0).artifact.write_bytes(b"no table")
    assert unopened.agent(*RESUME) == 0, unopened.said
    assert f"slice {opened(unopened)[-1]} was burned and gives no result: baseline:" in unopened.said
    n = len(opened(unopened))
    assert 1 < n <= MAX_BURNED
    assert unopened.agent(*RESUME) == 3
    assert len(opened(unopened)) == n


@pytest.mark.long
def test_results_that_change_get_a_slice_of_their_own_and_others_do_not(finished: Zygote) -> None:
    known = results(finished)
    for n_trials in ("10", "11"):  # trial 9 of random is much lower, and none after it
        before = opened(finished)
        assert finished.agent(*RESUME, "--trials", n_trials) == 0, finished.said
        assert len(opened(finished)) == len(before) + (results(finished) != known)
        assert set(opened(finished)).isdisjoint(by_runs(finished))
        assert len(set(opened(finished))) == len(opened(finished))
        assert shown(finished)["unseen"]["current"] is True
        known = results(finished)


def test_results_that_have_changed_are_reported(finished: Zygote) -> None:
    path = finished.runs.run("c").unseen
    document = json.loads(path.read_text())
    document["events"][0]["entrants"]["c-random-s0-seed-100"]["trial"] = 1  # as if it had been the result then
    path.write_text(json.dumps(document))
    assert finished.agent("compare", "c") == 0
    assert "and results have changed since then" in finished.said
    assert shown(finished)["unseen"]["current"] is False
    assert finished.agent(*RESUME) == 0, finished.said
    assert len(set(opened(finished))) == 2
    assert shown(finished)["unseen"]["current"] is True


def test_with_many_models_each_run_enters_with_one(ended: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison, stored = load(ended.runs, "c"), [StoredRun.find(ended.runs, run) for run in RUNS]
    for run in stored:  # a second final run
        run.keeper.read(run.keeper.result or 0, 101, 2.9)
    known = on_common_slice(comparison, ended.runs, stored)
    assert known is not None
    assert not known.is_current  # each would enter with two
    monkeypatch.setattr(common_slice, "MOST_MODELS", 3)
    known = on_common_slice(comparison, ended.runs, stored)
    assert known is not None
    assert known.is_current


@pytest.mark.long
def test_the_runs_leave_one_slice_for_the_comparison(warm: Zygote, tmp_path: Path) -> None:
    task = tmp_path / "task"
    shutil.copytree(TASK, task, ignore=shutil.ignore_patterns("__pycache__"))
    text = (task / "pool.py").read_text()
    (task / "pool.py").write_text(text.replace("N_DOCUMENTS, N_WORDS = 260, 120", "N_DOCUMENTS, N_WORDS = 60, 120"))
    process = Zygote(warm._process, tmp_path)
    assert process.agent(*ASKED[:-2], "--task", str(task), "--trials", "9") == 0, process.said
    (pool,) = process.folder.glob(".cache/autocentaur/bigram-pool-*/")
    n_slices = len(json.loads((pool / "meta.json").read_text())["slices"])
    assert n_slices == 2
    assert by_runs(process) == {0, 1} - set(opened(process))
    assert len(opened(process)) == 1


@pytest.mark.long
def test_without_confirmations_there_is_no_slice(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    assert process.agent(*BEGIN[:-1], "2", "--no-confirm") == 0, process.said
    assert not process.runs.run("c").unseen.exists()
    assert shown(process)["unseen"] is None
    assert "unseen text" not in process.said
