"""Loads the runs of a page, and refuses what no page can show: for `agent report` and the live page alike."""

from collections.abc import Sequence

from agent.analysis.comparison import load
from agent.analysis.test_split import load_verified
from agent.analysis.unseen.common_slice import on_common_slice
from agent.analysis.unseen.verified_slice import load_verified_on_slice
from agent.errors import UsageError
from agent.report.html.charts.cma_states import search_states
from agent.report.html.modes import ComparisonOnPage
from agent.report.html.tables import RunOnPage
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun

LARGEST_DRAWN = 1e100
"""The largest number on a page: beyond the square root of the largest float, axes have no ticks."""


def on_page(stored: StoredRun) -> RunOnPage:
    """Return a run with everything that a page shows of it.

    Raises:
        UsageError: it has no finished trial yet, or a number that no chart can show.
    """
    if not stored.history.trials:
        raise UsageError(f"{stored.run_id} has no finished trial yet; wait for its baseline")
    _refuse_huge_numbers(stored)
    task = stored.task(0)
    path = stored.paths.verified
    return RunOnPage(stored, task, search_states(stored, task), load_verified(path), load_verified_on_slice(path))


def comparison_on_page(runs: RunsFolder, name: str) -> ComparisonOnPage | None:
    """Return the comparison of that name, with the results on its common slice; None if `name` is a run."""
    if name not in runs.comparison_ids():
        return None
    from agent.analysis.unseen.slice_file import has_slices

    comparison, there = load(runs, name), set(runs.run_ids())
    names = [each for seeds in comparison.run_ids().values() for each in seeds if each in there]
    stored = [StoredRun.find(runs, each) for each in names]
    unseen = on_common_slice(comparison, runs, stored)
    return ComparisonOnPage(name, unseen, bool(stored) and all(map(has_slices, stored)))


def refuse_different_tasks(runs: Sequence[RunOnPage]) -> None:
    """Raise UsageError if the runs' losses mean different things."""
    first = runs[0].stored.config
    for run in runs[1:]:
        other = run.stored.config
        if (other.task_digest, other.profile) != (first.task_digest, first.profile):
            raise UsageError(
                f"{other.run_id} ran task {other.task_name} ({other.task_digest}) and {first.run_id} "
                f"{first.task_name} ({first.task_digest}): a page compares runs of one task; write two pages"
            )


def _refuse_huge_numbers(stored: StoredRun) -> None:
    """Raise UsageError if a number is too large for the ticks of an axis; no real run has such a number."""
    for trial in stored.history.finished:
        outcome = trial.outcome
        if outcome is None:
            continue
        numbers = (
            *(outcome.val_loss, outcome.train_seconds, outcome.wall_seconds, outcome.total_seconds),
            *(outcome.cpu_seconds, outcome.peak_memory_gb, outcome.peak_vram_gb, *outcome.reported.values()),
            *(outcome.score.cpu_seconds.values() if outcome.score else ()),
        )
        largest = max((abs(number) for number in numbers if number is not None), default=0.0)
        if largest > LARGEST_DRAWN:
            raise UsageError(
                f"{stored.run_id} has a trial with the number {largest:g}, which no chart can show; "
                f"`agent log {stored.run_id}` lists its trials"
            )
