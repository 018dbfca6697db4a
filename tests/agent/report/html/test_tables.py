"""Who found what, at which cost, and what failed: counted by origin and by kind."""

from dataclasses import replace
from pathlib import Path

from agent.llm.model import ModelUsage
from agent.report.html.tables import RunOnPage, failures_table, origin_stats, origins_table
from agent.trials.trial import KeepState, Origin, Outcome, Status
from tests.made_runs import BASELINE, Again, Result, failed, made_history, made_run, scored, searched


def test_each_origin_is_credited_with_its_own_gains() -> None:
    by: list[tuple[Origin, Outcome]] = [
        (Origin.BASELINE, BASELINE[1]), (Origin.SEARCHER, scored(2.5, kept=True)), (Origin.LLM, scored(2.75)),
        (Origin.LLM, scored(2.0, kept=True)), (Origin.LLM, failed(Status.NO_PROPOSAL)),
        (Origin.SEARCHER, failed(Status.CRASHED)),
    ]  # fmt: skip
    searcher, llm = origin_stats(made_history([(searched(0.5, origin=origin), outcome) for origin, outcome in by]))
    assert (searcher.origin, searcher.n_proposed, searcher.n_ran, searcher.n_scored) == (Origin.SEARCHER, 2, 2, 1)
    assert (llm.n_proposed, llm.n_ran, llm.n_kept, llm.best) == (3, 2, 1, 2.0)
    assert (searcher.gain, llm.gain) == (0.5, 0.5)


def test_what_was_rolled_back_is_nobody_s_gain() -> None:
    results = [BASELINE, (searched(0.5), scored(2.5, kept=True)), Again(1, scored(3.1), KeepState.ROLLED_BACK),
               (searched(0.6, origin=Origin.LLM), scored(2.75, kept=True))]  # fmt: skip
    searcher, llm = origin_stats(made_history(results))
    assert (searcher.gain, llm.gain) == (0.0, 0.25)


def on_page(root: Path, results: list[Result], name: str = "made") -> RunOnPage:
    stored = made_run(root, results, name=name)
    return RunOnPage(stored, stored.task(0), {}, None)


def test_tokens_dollars_and_kept_trials_per_dollar_stand_beside_each_origin(tmp_path: Path) -> None:
    asked = [
        replace(searched(n / 9, origin=Origin.LLM), usage=ModelUsage("m", 2, 1_000, 500, 1.0, dollars))
        for n, dollars in ((1, 0.25), (2, 0.25))
    ]
    results: list[Result] = [
        BASELINE, (asked[0], scored(2.5, kept=True)), (asked[1], scored(2.7)), (searched(0.9), scored(2.8)),
    ]  # fmt: skip
    table = origins_table([on_page(tmp_path, results)])
    llm, searcher = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (llm["calls"], llm["tokens"], llm["dollars"], llm["kept per dollar"]) == ("4", "3,000", "0.50", "2")
    assert (searcher["calls"], searcher["dollars"]) == ("0", "")
    unknown = [BASELINE, (replace(asked[0], usage=ModelUsage("m", 1, 10, 5)), scored(2.5, kept=True))]
    (row,) = origins_table([on_page(tmp_path, unknown, "other")]).rows
    assert row[-2:] == ["unknown", ""]


def test_runs_without_a_model_have_no_columns_of_tokens(tmp_path: Path) -> None:
    table = origins_table([on_page(tmp_path, [BASELINE, (searched(0.5), scored(2.5))])])
    assert "tokens" not in table.columns


def test_failures_are_listed_by_kind_with_trials_and_the_last_reason(tmp_path: Path) -> None:
    results: list[Result] = [
        BASELINE, (searched(0.1), failed(Status.OUT_OF_MEMORY, "too much")), (searched(0.2), scored(2.5)),
        *((searched(n / 20), failed(Status.CRASHED, f"exit {n}")) for n in range(1, 11)),
    ]  # fmt: skip
    table = failures_table([on_page(tmp_path, results)])
    assert table.rows == [
        ["crashed", "10", "3, 4, 5, 6, 7, 8, 9, 10 and 2 more", "exit 10"],
        ["out of memory", "1", "1", "too much"],
    ]
