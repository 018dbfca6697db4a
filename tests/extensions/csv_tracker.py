"""A tracker as somebody would add it, in one file: a table of the trials, written anew whenever there are more."""

import csv
from pathlib import Path

from agent.report.trackers.kinds import TrackerKind
from agent.report.trackers.tracker import RunFacts


class CsvTracker:
    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, run: RunFacts) -> None:
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("w", newline="") as file:
            rows = csv.writer(file)
            for trial in run.trials:
                rows.writerow([trial.number, trial.metrics.get(run.metric, ""), trial.tags["status"]])

    def close(self) -> str:
        return str(self._path)


def open_tracker(folder: Path, uri: str | None) -> CsvTracker:
    return CsvTracker(Path(uri) if uri else folder / "trials.csv")


ROW = TrackerKind("table", "tests.extensions.csv_tracker", takes_uri=True)
