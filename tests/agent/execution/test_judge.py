"""From what a sandbox observed to a status, whatever the script prints."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.execution.judge import failure, judge, reported
from agent.task.spec import BudgetSpec
from agent.text import last_line, read_tail
from agent.trials.trial import Score, Status
from sandbox.job import Execution, StoppedBy

BUDGET = BudgetSpec(unit="work", amount=6, nominal_seconds=6, counted_by="script")
ENDED = Execution(0, StoppedBy.ITSELF, 7.5, 7.0, 0.4, 100, False)
FAILED = replace(ENDED, exit_code=1)


@pytest.mark.parametrize(
    ("execution", "log", "expected"),
    [
        (ENDED, "", None),
        (ENDED, "torch.OutOfMemoryError: CUDA out of memory, caught and handled", None),
        (FAILED, "Traceback\nNameError: name 'x' is not defined", Status.CRASHED),
        (FAILED, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", Status.OUT_OF_MEMORY),
        (FAILED, "RuntimeError: CUDA error: out of memory", Status.OUT_OF_MEMORY),
        (FAILED, "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", Status.OUT_OF_MEMORY),
        (FAILED, "triton: out of resource: shared memory", Status.CRASHED),
        (FAILED, "FAIL: diverged: loss is 153.2 at step 9", Status.DIVERGED),
        (FAILED, "loss is nan at step 3", Status.DIVERGED),
        (replace(ENDED, exit_code=None, stopped_by=StoppedBy.MEMORY), "val_loss: 0.1", Status.OUT_OF_MEMORY),
        (replace(ENDED, exit_code=None, stopped_by=StoppedBy.WALL_LIMIT), "", Status.TIMED_OUT),
        (replace(ENDED, exit_code=None, stopped_by=StoppedBy.CPU_LIMIT), "", Status.TIMED_OUT),
        (replace(ENDED, exit_code=None, stopped_by=StoppedBy.SIGNAL, signal=11), "", Status.CRASHED),
    ],
)
def test_status_follows_from_what_was_observed(execution: Execution, log: str, expected: Status | None) -> None:
    found = failure(execution, log, BUDGET)
    assert (found and found[0]) == expected


def test_a_success_is_charged_nominally_and_a_failure_as_measured() -> None:
    score = Score(2.5, "held_out")
    assert judge(ENDED, None, score, BUDGET).train_seconds == 6
    assert judge(FAILED, (Status.CRASHED, "why"), None, BUDGET).train_seconds == 7.5
    unsaid = BudgetSpec(unit="work", amount=6, counted_by="script")
    assert judge(ENDED, None, score, unsaid).train_seconds == 7.5
    rejected = judge(ENDED, None, Score(None, "held_out", Status.REJECTED_SCORE, "nan"), BUDGET)
    assert (rejected.status, rejected.val_loss, rejected.train_seconds) == (Status.REJECTED_SCORE, None, 7.5)


def test_reported_numbers_come_from_the_last_summary_and_are_finite() -> None:
    log = "---\nval_bpb: 0.1\nstep 1\n---\nnum_steps: 12\ntrain_loss:  3.5e-1\nbad: nan\nodd: 1.2.3\nname: text\n"
    assert reported(log) == {"num_steps": 12.0, "train_loss": 0.35}
    assert reported("val_bpb: 0.1") == {}


def test_a_log_is_read_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 50_000 + b"\nlast \xff words\n\n")
    assert last_line(read_tail(tmp_path / "log")) == "last � words"
    assert len(read_tail(tmp_path / "log")) < 30_000
    assert read_tail(tmp_path / "absent") == ""
    assert last_line("") == "no output"
