"""What a trial came to: from what the sandbox observed and the host scored to an Outcome."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from agent.task import BudgetSpec
from agent.trial import Outcome, Score, Status
from sandbox.job import Execution, StoppedBy

# torch.OutOfMemoryError and its older spellings. Triton's "out of resource: shared memory" is not about the
# device's memory and is left out.
_CUDA_OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
)
_DIVERGED = re.compile(r"FAIL: diverged|\bloss (?:is|=) *[+-]?(?:nan|inf)", re.IGNORECASE)
_TAIL_BYTES = 20_000


def failure(  # noqa: PLR0911 (one return a kind of failure)
    execution: Execution, log: str, budget: BudgetSpec
) -> tuple[Status, str] | None:
    """Return why a training job failed, or None if it ended well. What it printed can only turn it into a failure."""
    match execution.stopped_by:
        case StoppedBy.MEMORY:
            return Status.OUT_OF_MEMORY, "more memory than the limit"
        case StoppedBy.WALL_LIMIT:
            return Status.TIMED_OUT, f"stopped after {execution.wall_seconds:.0f} s"
        case StoppedBy.CPU_LIMIT:
            return Status.TIMED_OUT, f"more than {budget.cpu_factor:g}x the baseline's CPU seconds"
        case StoppedBy.SIGNAL:
            return Status.CRASHED, f"killed by signal {execution.signal}"
    # A script may catch the error and still exit with 0: if it left a model behind, it has handled it.
    if execution.exit_code == 0:
        return None
    if _CUDA_OUT_OF_MEMORY.search(log):
        return Status.OUT_OF_MEMORY, "CUDA out of memory"
    if _DIVERGED.search(log):
        return Status.DIVERGED, last_line(log)
    return Status.CRASHED, f"exit {execution.exit_code}: {last_line(log)}"


def saved_nothing(log: str) -> tuple[Status, str]:
    """Return what a job came to that ended with 0 and left no model: what it caught and hid, if it printed that."""
    if _CUDA_OUT_OF_MEMORY.search(log):
        return Status.OUT_OF_MEMORY, "CUDA out of memory, and nothing was saved"
    return Status.BAD_ARTIFACT, f"it saved nothing: {last_line(log)}"


def judge(execution: Execution, failed: tuple[Status, str] | None, score: Score | None, budget: BudgetSpec) -> Outcome:
    """Return the Outcome of an executed trial; whether it is kept, the Keeper decides."""
    status, reason = failed or (Status.OK, "")
    if score is not None and not failed:
        status, reason = score.status, score.reason
    ok = status is Status.OK and score is not None
    charged = budget.charge_seconds if ok else None
    return Outcome(
        status=status,
        val_loss=score.val_loss if ok and score else None,
        reason=reason,
        train_seconds=execution.wall_seconds if charged is None else charged,
        wall_seconds=execution.wall_seconds,
        cpu_seconds=execution.cpu_seconds,
        peak_memory_gb=execution.peak_memory_gb,
        peak_vram_gb=execution.peak_vram_gb,
        score=score,
        sandbox=execution.sandbox,
        unenforced=execution.unenforced,
    )


def reported(log: str) -> Mapping[str, float]:
    """Return the finite `key: value` numbers that a script printed after its last `---`: information, never trusted."""
    values = {}
    for line in summary(log).splitlines()[:50]:
        match = re.fullmatch(r"(\w{1,40}):\s+(-?[\d.]+(?:e[+-]?\d+)?)\s*", line)
        if match and match[2].count(".") <= 1 and any(c.isdigit() for c in match[2]):
            value = float(match[2])
            if math.isfinite(value):
                values[match[1]] = value
    return values


def summary(log: str) -> str:
    """Return what a script printed after its last line `---`; empty if there is no such line."""
    _, marker, rest = f"\n{log}".rpartition("\n---\n")
    return rest if marker else ""


def read_tail(log: Path) -> str:
    """Return the end of a log that the sandbox wrote; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_line(log: str) -> str:
    """Return the last line with something in it, shortened to fit a table."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it printed nothing"
