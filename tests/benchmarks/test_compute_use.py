"""The bound on CPU seconds: what the committed table says is what the bundled task declares."""

import csv

import pytest

from agent.resources import folder
from agent.task.task import Task
from benchmarks.compute_use import BOUND_SHARE, TABLE, quantile, ratios


def test_a_quantile_and_its_interval_are_order_statistics() -> None:
    values = [float(n) for n in range(1, 1001)]
    middle, low, high = quantile(values, 0.5)
    assert middle == 500
    assert (low, high) == (pytest.approx(469, abs=2), pytest.approx(532, abs=2))  # 500 ± 1.96 √(1000 / 4)


def test_an_interval_that_few_values_cannot_bound_ends_at_the_largest() -> None:
    assert quantile([1.0, 2.0, 3.0], 0.99)[2] == 3.0


def test_the_bundled_task_allows_what_99_of_100_honest_configurations_stay_below() -> None:
    rows = list(csv.DictReader(TABLE.open()))
    honest = [ratio for ratio, _ in ratios(rows, "idle", "loaded")]
    assert len(honest) >= 300
    bound, *_ = quantile(honest, BOUND_SHARE)
    assert Task.load(folder("train_template")).budget.max_cpu_ratio == pytest.approx(bound, abs=0.01)
