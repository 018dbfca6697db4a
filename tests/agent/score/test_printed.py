"""Self-reported scores: exactly one number after the last `---`, and nothing odd."""

from pathlib import Path

import pytest

from agent.metric import Metric
from agent.score.printed import PrintedScorer
from agent.score.scorer import Artifact
from agent.trial import Score, Status

AUTORESEARCH = """step 00953 | loss 3.1
---
val_bpb:          0.997900
training_seconds: 300.1
peak_vram_mb:     45060.2
"""


def scored(log: str, goal: str = "minimise") -> Score:
    metric = Metric.model_validate({"name": "val_bpb", "goal": goal})
    return PrintedScorer(metric).score(Artifact(Path("a"), Path("f"), log, Path("s"), "r/0001", 1))


def test_autoresearchs_summary_is_read_and_marked() -> None:
    score = scored(AUTORESEARCH)
    assert (score.val_loss, score.kind, score.status) == (0.9979, "printed", Status.OK)


def test_a_metric_to_maximise_becomes_a_loss() -> None:
    score = scored("---\n---\nval_bpb: 0.9\n", "maximise")
    assert score.val_loss == -0.9


@pytest.mark.parametrize(
    "summary",
    [
        "val_bpb: nan", "val_bpb: inf", "val_bpb: -inf", "val_bpb: -0.1", "val_bpb: much", "val_bpb:", "other: 1.0",
        "val_bpb: 1.0\nval_bpb: 0.5", "val_bpb: 1.0\nval_bpb: 1.0", "x val_bpb: 0.3",
    ],
)  # fmt: skip
def test_what_is_not_one_number_is_rejected(summary: str) -> None:
    score = scored(f"train\n---\n{summary}\n")
    assert score.status is Status.REJECTED_SCORE
    assert score.val_loss is None


def test_lines_before_the_last_marker_do_not_count() -> None:
    assert scored("\n---\nval_bpb: 0.1\n\n---\nval_bpb: 0.9\n").val_loss == 0.9
    assert scored("val_bpb: 0.1\n").status is Status.REJECTED_SCORE
