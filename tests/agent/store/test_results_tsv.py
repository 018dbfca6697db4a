"""results.tsv as the notebook of karpathy/autoresearch reads it: with pandas where it is, else as pandas does."""

import csv
import math
from itertools import accumulate
from pathlib import Path

import pytest

from agent.store.results_tsv import results_of, write_results
from agent.store.stored_run import StoredRun
from agent.trials.metric import Metric
from agent.trials.trial import Status
from tests.made_runs import BASELINE, failed, made_run, scored, searched

RESULTS = [
    BASELINE,
    (searched(0.1, title='"GELU" in place of "ReLU"'), scored(2.5, kept=True)),
    (searched(0.2, title='"quoted'), scored(2.75)),
    (searched(0.3, title="tab\there, and\na line"), failed(Status.OUT_OF_MEMORY)),
    (searched(0.4, title="# no comment, 'quotes' and, commas"), scored(2.25, kept=True)),
    (searched(0.5, title=""), failed(Status.DUPLICATE)),
    (searched(0.6, title="nan"), scored(2.375)),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    stored: StoredRun = made_run(tmp_path / "runs", RESULTS)
    path = tmp_path / "results.tsv"
    write_results(path, Metric(name="val_bpb"), stored.history.trials, stored.hashes)
    return path


def number(text: str) -> float:
    """What pandas.to_numeric(errors="coerce") makes of a cell."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def test_the_notebooks_steps_give_the_runs_own_numbers(table: Path) -> None:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert len(rows) == len(RESULTS)
    status = [row["status"].strip().upper() for row in rows]
    assert status == ["KEEP", "KEEP", "DISCARD", "CRASH", "KEEP", "DISCARD", "DISCARD"]
    values = [number(row["val_bpb"]) for row in rows]
    assert [value for value in values if not math.isnan(value)] == [3.0, 2.5, 2.75, 2.25, 2.375]
    assert math.isnan(values[3])
    assert all(math.isnan(memory) or memory == 0.5 for memory in (number(row["memory_gb"]) for row in rows))
    kept = [value for value, verdict in zip(values, status, strict=True) if verdict == "KEEP"]
    assert list(accumulate(kept, min)) == [3.0, 2.5, 2.25]
    assert rows[1]["description"] == '"GELU" in place of "ReLU"'
    assert rows[2]["description"] == '"quoted'
    assert rows[3]["description"] == "tab here, and a line"


def test_pandas_reads_the_same(table: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas, which the notebook uses")
    frame = pandas.read_csv(table, sep="\t")
    frame["val_bpb"] = pandas.to_numeric(frame["val_bpb"], errors="coerce")
    kept = frame[frame["status"].str.strip().str.upper() == "KEEP"]
    assert list(kept["val_bpb"].cummin()) == [3.0, 2.5, 2.25]
    assert len(frame) == len(RESULTS)
    assert frame["description"][1] == '"GELU" in place of "ReLU"'


def test_a_table_without_trials_is_its_heading() -> None:
    assert results_of(Metric(name="val_bpb"), [], {}) == "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
