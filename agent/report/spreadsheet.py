"""All trials of a run as one CSV file, one row a trial, for spreadsheets and notebooks."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from agent.metric import Metric
from agent.report.text import trial_json, verdict
from agent.trial import Trial

_FIRST = ("number", "commit", "parent", "status", "verdict", "kept")
_THEN = (
    *("origin", "copied_from", "seed", "train_seconds", "wall_seconds", "total_seconds", "cpu_seconds"),
    *("peak_memory_gb", "peak_vram_gb", "self_reported", "started_at", "finished_at", "title", "reason"),
)
_PREFIX = "params."


def spreadsheet(trials: Iterable[Trial], hashes: Mapping[int, str], metric: Metric) -> str:
    """Return a heading and one row a trial: facts, the metric as the user named it, then `params.NAME` for every name.

    What is not known, a failed trial's metric for instance, is an empty cell.
    """
    rows = [
        {**trial_json(trial, hashes.get(trial.number), metric), "verdict": verdict(trial)} for trial in list(trials)
    ]
    names = sorted({name for row in rows for name in row["params"] or {}})
    columns = (*_FIRST, metric.name, *_THEN)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *(_PREFIX + name for name in names)])
    for row in rows:
        params = row["params"] or {}
        writer.writerow([*(_cell(row[column]) for column in columns), *(_cell(params.get(name)) for name in names)])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as it stands in a cell; numbers with all their digits.

    A model writes titles: a spreadsheet would compute one that begins like a formula.
    """
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
