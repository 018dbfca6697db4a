"""A page about several runs has the tables of `agent compare`, with the same numbers."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent.analysis.comparison import Comparison
from agent.analysis.comparison_statistics import figures
from agent.analysis.unseen.common_slice import CommonSlice
from agent.report.comparison_text import comparison_text
from agent.report.html.modes import ComparisonOnPage, mode_note, mode_tables, modes_compared
from agent.report.html.page import render
from agent.report.html.tables import RunOnPage
from agent.trials.keeping.confirmations import SliceScore
from tests.made_runs import BASELINE, made_run, opened_for_result, scored, searched


def runs(root: Path) -> list[RunOnPage]:
    found = []
    for mode, gain in (("random", 0.1), ("cma-es", 0.4)):
        for seed in range(3):
            results = [BASELINE, (searched(0.1), scored(2.9 - gain - seed / 50, kept=True))]
            options = {"trials": 2, "keep": "any", "final_runs": 0}
            stored = made_run(root, results, name=f"first-{mode}-s{seed}", mode=mode, seed=seed, options=options)
            found.append(RunOnPage(stored, stored.task(0), {}, None))
    return found


def test_the_numbers_are_those_of_the_terminal(tmp_path: Path) -> None:
    on_page = runs(tmp_path)
    stored = [run.stored for run in on_page]
    comparison = Comparison("first", ("random", "cma-es"), 3, stored[0].config)
    printed = comparison_text(
        comparison, figures(comparison, stored), stored[0].metric, self_reported=False, columns=None
    )
    compared = modes_compared(on_page)
    assert compared is not None
    tables = mode_tables(on_page, compared)
    assert len(tables) == 3
    for table in tables:
        assert table.caption in printed
        for row in table.rows:
            assert any(line.split() == " ".join(row).split() for line in printed)
    text = re.sub(r"<[^>]+>", "", render(on_page, datetime(2026, 11, 22, tzinfo=UTC)))
    assert "95 % interval" in text
    assert "minus random, by seed" in text


def test_another_reference_may_be_named(tmp_path: Path) -> None:
    compared = modes_compared(runs(tmp_path), "cma-es")
    assert compared is not None
    assert compared.reference.mode == "cma-es"


def test_a_single_run_and_runs_without_a_budget_compare_nothing(tmp_path: Path) -> None:
    on_page = runs(tmp_path)
    assert modes_compared(on_page[:1]) is None
    endless = [made_run(tmp_path, [BASELINE], name=name) for name in ("a", "b")]
    assert modes_compared([RunOnPage(stored, stored.task(0), {}, None) for stored in endless]) is None


def test_what_is_beside_the_tables_is_on_the_page_too_and_whether_a_slice_was_used(tmp_path: Path) -> None:
    on_page = runs(tmp_path)
    stored = [run.stored for run in on_page]
    comparison = Comparison("first", ("random", "cma-es"), 3, stored[0].config)
    printed = comparison_text(comparison, figures(comparison, stored), stored[0].metric, self_reported=False)
    compared = modes_compared(on_page, comparison=ComparisonOnPage("first", None, has_slices=False))
    assert compared is not None
    note = mode_note(on_page, compared)
    states, budget, baseline = note.partition(". No common slice was used: these runs have no pool")[0].split("; ")
    assert f"comparison first: {states}" in printed
    assert budget.replace("each", "each run") in printed
    assert baseline in printed
    opens = ComparisonOnPage("first", None, has_slices=True).slice_sentence
    assert opens == "No common slice is opened for these results yet: `agent compare --resume first` opens one."
    use = replace(opened_for_result(4, 1, 0.5), score=SliceScore({"baseline": 3.5}, {}, 1.0))
    assert (
        "slice 4, which none had opened"
        in ComparisonOnPage("first", CommonSlice(use, "text", True), True).slice_sentence
    )
    changed = ComparisonOnPage("first", CommonSlice(use, "text", False), True).slice_sentence
    assert "results have changed since then" in changed
    page = render(on_page, datetime(2026, 11, 22, tzinfo=UTC), comparison=compared.comparison)
    assert "<h1>first: 6 runs of bigram</h1>" in page
    assert "No common slice was used" in page
