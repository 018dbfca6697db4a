"""The main numbers of a page agree with its table of trials."""

from pathlib import Path

from agent.report.html.overview.tiles import tiles
from agent.trials.trial import KeepState
from tests.agent.report.html.overview.test_headline import KEPT, on_page
from tests.made_runs import BASELINE, Again, Result, scored, searched


def test_neither_the_baseline_nor_a_trial_that_was_rolled_back_counts_as_kept(tmp_path: Path) -> None:
    results: list[Result] = [
        BASELINE, KEPT, Again(1, scored(3.2), KeepState.ROLLED_BACK), (searched(0.2), scored(2.9, kept=True)),
    ]  # fmt: skip
    (note,) = [tile.note for tile in tiles([on_page(tmp_path, results)], None) if tile.label == "trials"]
    assert note == "1 kept, 0 without a loss"
