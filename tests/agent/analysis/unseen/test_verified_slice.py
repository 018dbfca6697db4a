"""`agent best --verify` of a run that confirms its gains on slices: one slice, once, whatever happens in between."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.run.one_slice import CHANGED, MAX_BURNED
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from tests.kill_anywhere.killed_runs import ROOT, Death, Zygote

pytestmark = pytest.mark.slow

TASK = ROOT / "tests" / "tasks" / "bigram_plain"
RUN = ["run", "--task", str(TASK), "--mode", "random", "--trials", "8", "--name", "r"]
OPENED = Death("start sandbox", 1)  # the slice is open, and the first model's job is about to begin


def openings(process: Zygote) -> list[dict[str, Any]]:
    """Return the lines of the file that says which slices were opened."""
    (path,) = process.folder.glob(".cache/autocentaur/bigram-pool-*/opened.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def journal(process: Zygote) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.runs.run("r").journal.read_text().splitlines()]


def saved(process: Zygote) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(process.runs.run("r").verified.read_text())["events"]
    return events


def by_run(process: Zygote) -> set[int]:
    return {event["number"] for event in journal(process) if event["event"] == "slice_opened"}


def test_a_slice_that_the_run_has_not_opened_is_opened_for_its_models(finished: Zygote) -> None:
    before = journal(finished)
    assert finished.agent("best", "--verify") == 0, finished.said
    opening, scoring = saved(finished)
    assert opening["event"] == "slice_opened"
    assert opening["number"] not in by_run(finished)
    assert list(opening["entrants"]) == ["baseline", "champion", "result-100"]
    published = [event for event in before if event["event"] == "slice_opened"][-1]
    assert opening["entrants"] == published["entrants"]  # the same files as on the run's own last slice
    losses, lead = scoring["score"]["losses"], scoring["score"]["leads"]["result-baseline"]
    assert lead[0] == pytest.approx(losses["baseline"] - losses["result-100"])
    assert f"{losses['result-100']:.6f} (trial {opening['entrants']['champion']['trial']}, mean of 1 final run)" in (
        finished.said
    )
    assert f"{lead[0]:.6f} ± {lead[1]:.2g} better than the baseline" in finished.said
    assert f"the run's own result, trial 7 on slice {published['number']}" in finished.said
    assert "on test:" not in finished.said
    assert journal(finished) == before


def test_asked_again_it_tells_what_is_known_and_opens_nothing(finished: Zygote) -> None:
    assert finished.agent("best", "--verify", "--json") == 0, finished.said
    first = json.loads(finished.said[finished.said.index("{") :])["slice"]
    noted = openings(finished)
    assert finished.agent("best", "--verify", "--json") == 0, finished.said
    again = json.loads(finished.said)["slice"]
    assert (first.pop("again"), again.pop("again")) == (False, True)
    assert again == first
    assert finished.agent("best", "--verify") == 0
    assert "verified.json at 2" in finished.said
    assert "a run is verified on one slice" in finished.said
    assert openings(finished) == noted


@pytest.mark.long
def test_the_run_does_not_open_that_slice_when_it_goes_on(finished: Zygote) -> None:
    assert finished.agent("best", "--verify") == 0, finished.said
    (opening, _) = saved(finished)
    assert finished.agent("resume", "--trials", "25") == 0, finished.said
    assert len(by_run(finished)) > 2  # another gain was tested
    assert opening["number"] not in by_run(finished)
    result = StoredRun.find(finished.runs, "r").keeper.result
    assert finished.agent("best", "--verify") == 0, finished.said
    assert (f"trial 7 was the result then; the result is now trial {result}" in finished.said) == (result != 7)


def test_killed_while_it_is_open_it_goes_on_with_the_same_slice(finished: Zygote) -> None:
    assert finished.agent("best", "--verify", death=OPENED) == -9
    (opening,) = saved(finished)
    assert finished.agent("best", "--verify") == 0, finished.said
    assert [event["event"] for event in saved(finished)] == ["slice_opened", "slice_scored"]
    assert saved(finished)[0] == opening
    assert len([line for line in openings(finished) if "about" in line]) == 1


def test_killed_before_it_is_on_the_disk_nothing_has_seen_it(finished: Zygote) -> None:
    assert finished.agent("best", "--verify", death=Death("before fsync runs/r/verified.json.tmp")) == -9
    assert not finished.runs.run("r").verified.exists()
    assert finished.agent("best", "--verify") == 0, finished.said
    (opening, _) = saved(finished)
    assert {line["slice"] for line in openings(finished) if "about" in line} == {opening["number"]}


def test_with_other_files_the_slice_that_is_open_is_burned(finished: Zygote) -> None:
    assert finished.agent("best", "--verify", death=OPENED) == -9
    paths = finished.runs.run("r")
    paths.trial(7).repeat(100).artifact.write_bytes(paths.trial(0).artifact.read_bytes())
    assert finished.agent("best", "--verify") == 1
    number = saved(finished)[0]["number"]
    assert f"error: slice {number} was burned and gives no result for r: result-100: {CHANGED}" in (finished.said)
    assert "Traceback" not in finished.said
    assert finished.agent("best", "--verify") == 1  # nor with the files as they are now
    assert "no other slice is opened" in finished.said
    assert len({event["number"] for event in saved(finished)}) == 1


def test_a_model_that_does_not_answer_burns_the_one_slice(finished: Zygote) -> None:
    finished.runs.run("r").trial(7).repeat(100).artifact.write_bytes(b"no table")
    for _ in range(2):
        assert finished.agent("best", "--verify") == 1
        assert f"error: slice {saved(finished)[0]['number']} was burned and gives no result for r: result-100: " in (
            finished.said
        )
    assert len(saved(finished)) == 2


@pytest.mark.long
def test_a_baseline_that_does_not_answer_burns_no_more_than_a_few(finished: Zygote) -> None:
    finished.runs.run("r").trial(0).artifact.write_bytes(b"no table")
    for _ in range(MAX_BURNED + 1):
        assert finished.agent("best", "--verify") == 1
    assert "no other slice is opened" in finished.said
    assert len([event for event in saved(finished) if event["event"] == "slice_opened"]) == MAX_BURNED


def test_an_artifact_that_is_gone_is_named(finished: Zygote) -> None:
    finished.runs.run("r").trial(7).repeat(100).artifact.unlink()
    noted = openings(finished)
    assert finished.agent("best", "--verify") != 0
    assert "seed-100/artifact is missing" in finished.said
    assert "Traceback" not in finished.said
    assert openings(finished) == noted


def test_no_slice_is_opened_while_another_process_has_the_run(finished: Zygote) -> None:
    noted = openings(finished)
    with locked(finished.runs.run("r")):
        assert finished.agent("best", "--verify") == 2
    assert "another process" in finished.said
    assert openings(finished) == noted


def test_another_pool_is_refused(finished: Zygote) -> None:
    (pool,) = finished.folder.glob(".cache/autocentaur/bigram-pool-*/")
    shutil.rmtree(pool)
    assert finished.agent("best", "--verify") == 2
    assert "are not those that r began with" in finished.said


def test_without_a_confirmed_gain_the_test_split_is_asked(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    assert process.agent(*RUN[:6], "1", "--name", "r") == 0, process.said
    assert process.agent("best", "--verify") == 0, process.said
    assert "no slice of the pool is opened: no gain is confirmed" in process.said
    assert "on test: val_bpb" in process.said
    (pool,) = process.folder.glob(".cache/autocentaur/bigram-pool-*/")
    assert not (pool / "opened.jsonl").exists()


@pytest.mark.long
def test_a_run_without_confirmations_is_asked_about_the_test_split(warm: Zygote, tmp_path: Path) -> None:
    process = Zygote(warm._process, tmp_path)
    assert process.agent(*RUN[:6], "2", "--name", "r", "--no-confirm") == 0, process.said
    assert process.agent("best", "--verify", "--json") == 0, process.said
    assert "test" in json.loads(process.said[process.said.index("{") :])


def test_a_file_that_nobody_can_read_is_one_sentence(finished: Zygote) -> None:
    finished.runs.run("r").verified.write_text('{"events": [{"event": "slice_opened"}]}')
    assert finished.agent("best", "--verify") != 0
    assert "verified.json cannot be read" in finished.said
    assert "Traceback" not in finished.said


def test_the_result_on_the_slice_is_on_the_page(finished: Zygote) -> None:
    assert finished.agent("best", "--verify", "--json") == 0, finished.said
    document = json.loads(finished.said[finished.said.index("{") :])["slice"]
    assert finished.agent("report", "r", "--out", "page.html") == 0, finished.said
    page = (finished.folder / "page.html").read_text()
    assert "Verified on unseen text" in page
    assert f"{document['loss']:.6f}" in page
    assert f"{document['lead']:.6f} ± {document['lead_error']:.2g}" in page
