"""Every reader of a run shows the same lines that a rejected trial had before."""

import shutil
from pathlib import Path

from agent.edits.edit import WholeFile
from agent.report.html.overview.tiles import tiles
from agent.report.run_summary import summary
from agent.report.trial_details import describe
from agent.server.run_documents import log_document, trial_document
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from agent.trials.trial import Origin, Proposal
from tests.agent.report.html.overview.test_headline import on_page
from tests.made_runs import BASELINE, BIGRAM, Result, made_run, scored, searched

FIGURE = "re-introduced: 50% of 4 added lines had been in a rejected trial"


def written(title: str, *lines: str) -> Proposal:
    """Return a change by a model that adds lines at the end of the script."""
    source = Task.load(BIGRAM).source
    return Proposal(Origin.LLM, title, WholeFile(source + "".join(f"{line}\n" for line in lines)))


RESULTS: list[Result] = [
    BASELINE,
    (written("a", "first = 1", "second = 2"), scored(4.0)),
    (written("b", "first = 1  # once more", "second  = 2"), scored(4.0)),
]


def summary_of(stored: StoredRun) -> list[str]:
    return summary(stored.history, stored.metric, stored.keeper, added=stored.added_lines)


def test_details_documents_summary_and_page_agree(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", RESULTS)
    assert "re-introduced: 2 of 2 added lines had been in rejected trial 1\n" in describe(stored, stored.trial(2))
    assert "re-introduced" not in describe(stored, stored.trial(1))
    assert FIGURE in summary_of(stored)
    shown = [trial["reintroduced"] for trial in log_document(stored, None)["trials"]]
    assert shown == [
        None, {"added": 2, "again": 0, "trials": []}, {"added": 2, "again": 2, "trials": [1]},
    ]  # fmt: skip
    assert trial_document(stored, 2)["reintroduced"] == shown[2]
    (tile,) = [tile for tile in tiles([on_page(tmp_path / "page", RESULTS)], None) if "rejected" in tile.label]
    assert (tile.value, tile.note) == ("50%", "2 of 4 added lines")


def test_a_run_of_a_searcher_has_no_such_figure(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE, (searched(0.2), scored(4.0)), (searched(0.3), scored(4.0))])
    assert not any("re-introduced" in line for line in summary_of(stored))
    assert [trial["reintroduced"] for trial in log_document(stored, None)["trials"]] == [None] * 3


def test_a_run_whose_repository_is_lost_can_still_be_summarised(tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", RESULTS)
    assert FIGURE in summary_of(stored)
    shutil.rmtree(stored.runs.repo / "objects")
    again = stored.again()
    assert not any("re-introduced" in line for line in summary_of(again))
