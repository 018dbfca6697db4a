"""The documents of a run: bounded, rounded where a proposer sees rounded losses, and for a trial in flight."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent.modes.reported_trials import step_for
from agent.server.run_documents import MOST_TEXT, best_document, difference, log_document, rounded, trial_document
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from tests.agent.server.conftest import Place


def test_the_last_trials_come_with_their_repeats_only(begun: Place) -> None:
    stored, cache = begun.client().existing(), begun.folder
    every, last = log_document(stored, cache), log_document(stored, cache, last=1)
    assert [trial["number"] for trial in every["trials"]] == [0, 1, 2]
    assert {repeat["trial"] for repeat in every["repeats"]} == {0, 1}
    assert [trial["number"] for trial in last["trials"]] == [2]
    assert last["repeats"] == []
    assert last["champion_loss"] == every["champion_loss"]


def test_a_client_of_a_run_with_rounded_losses_sees_those(begun: Place) -> None:
    exact = begun.client().existing()
    stored = replace(exact, config=replace(exact.config, rounded=True))
    step = step_for(stored.keeper.sigma)
    precise, rounded = log_document(exact, begun.folder), log_document(stored, begun.folder)
    seen = [trial["val_loss"] for trial in rounded["trials"]]
    assert seen != [trial["val_loss"] for trial in precise["trials"]]
    seen += [rounded["champion_loss"], *(repeat["val_loss"] for repeat in rounded["repeats"])]
    seen += [best_document(stored, begun.folder)["val_loss"], trial_document(stored, 1)["value"]]
    for loss in seen:
        assert loss / step == pytest.approx(round(loss / step), abs=1e-6)
    assert all("reason" not in (repeat["verdict"] or {}) for repeat in rounded["repeats"])
    other = replace(stored, config=replace(stored.config, mode="random"))  # no client proposes there
    assert log_document(other, begun.folder)["trials"] == precise["trials"]


def test_rounding_reaches_all_that_tells_digits() -> None:
    document = {
        "val_loss": 0.123456, "value": -0.123456, "reported": {"accuracy": 0.123456},
        "params": {"sigma": 0.1234}, "flags": ["reported 0.123457"], "number": 3, "kept": True,
        "verdict": {"standing": "confirmed", "lead": 4.5678, "n_errors": None, "reason": "0.123 is less"},
        "published": {"loss": 0.123456, "lead": 0.0456, "error": 0.0123, "runs": 3},
        "score": {"losses": {"baseline": 0.123456}, "leads": {"a-b": [0.1, 0.2]}, "seconds": 2.5},
        "wall_seconds": 1.23456,
    }  # fmt: skip
    assert rounded(document, 0.005, "accuracy") == {
        "val_loss": 0.125, "value": -0.125, "reported": {"accuracy": 0.125},
        "params": {"sigma": 0.1234}, "flags": [], "number": 3, "kept": True,
        "verdict": {"standing": "confirmed", "lead": 4.6},
        "published": {"loss": 0.125, "lead": 0.045, "error": 0.01, "runs": 3},
        "score": {"burned_by": "", "seconds": 2.5},
        "wall_seconds": 1.23456,
    }  # fmt: skip


def test_a_long_script_is_cut_and_says_so(place: Place) -> None:
    client = place.client()
    client.runs.prepare()
    client.begin()
    receipt = client.submit(client.record("a test"), "long", script=place.script(0.9) + "# filler\n" * 15_000)
    assert receipt.submission is not None
    while not client.wait(receipt.submission).is_final:
        pass
    stored = client.existing()
    document, change = trial_document(stored, 1), difference(stored, 1)
    assert (len(document["script"]), document["script_is_cut"]) == (MOST_TEXT, True)
    assert (len(change.diff), change.is_cut) == (MOST_TEXT, True)
    assert not difference(stored, 1, most=None).is_cut
    assert not trial_document(stored, 0)["script_is_cut"]


def test_a_trial_in_flight_is_shown(begun: Place, tmp_path: Path) -> None:
    runs = RunsFolder(tmp_path / "runs")
    shutil.copytree(begun.runs, runs.root)
    journal = runs.run("r").journal
    lines = journal.read_text().splitlines(keepends=True)
    (end,) = [n for n, line in enumerate(lines) if '"trial_finished","number":2,' in line]
    journal.write_text("".join(lines[:end]))
    subprocess.run(["git", "--git-dir", str(runs.repo), "tag", "-d", "r/0002"], check=True, capture_output=True)
    stored = StoredRun.find(runs, "r")
    document = trial_document(stored, 2)
    assert (document["status"], document["title"]) == (None, "wider")
    assert "WIDTH = 3.0" in document["script"]
    assert "+WIDTH = 3.0" in difference(stored, 2).diff
    assert log_document(stored, begun.folder, last=1)["trials"][0]["status"] is None
