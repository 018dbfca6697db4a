"""benchmarks/memory_estimate.py tells what an estimate is worth: nothing for noise, all for the truth."""

import numpy as np
import pytest

from agent.search.calibrated import CalibratedMemory
from agent.search.feasible import MemoryModel
from benchmarks.autoresearch.experiment import LIMIT_GB, SPACE
from benchmarks.autoresearch.surrogate import Surrogate
from benchmarks.memory_estimate import Case, configurations, out_of_memory, report


def seen(wrong: float) -> list[Case]:
    """Cases whose estimates are half of the truth, times a random factor."""
    truth, chance = Surrogate("gp"), np.random.default_rng(0)
    return [
        Case(params, truth.memory_gb(params) / 2 * float(np.exp(wrong * chance.standard_normal())), gb, 1.0)
        for params in configurations(30, seed=0)
        for gb in [truth.memory_gb(params)]
    ]


def test_a_right_estimate_leaves_no_trial_without_memory_and_a_wrong_one_many() -> None:
    failed = {}
    for wrong in (0.0, 2.0):
        cases = seen(wrong)
        own = {id(case.params): case.estimated_gb for case in cases}
        memory = CalibratedMemory(MemoryModel((), LIMIT_GB, SPACE.names), lambda params, own=own: own[id(params)])
        failed[wrong], _ = out_of_memory(cases, memory)
    assert failed[0.0] <= 2  # only those within the factor's own error
    assert failed[2.0] > failed[0.0]


def test_the_report_says_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    report(seen(0.0), n_orders=3)
    said = capsys.readouterr().out
    assert "factor, from the defaults    2.00 (standard deviation over all: 0.0%)" in said
    assert "relative error               median 0.0%, largest 0.0%" in said
    assert "of 12 that do\n" in said
