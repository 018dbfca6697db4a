"""Self-reported scores: exactly one number after the last `---`, and nothing odd."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agent.execution.scoring.printed import PrintedScorer
from agent.execution.scoring.scorer import Artifact
from agent.task.spec import ScoreSpec
from agent.trials.metric import Metric
from agent.trials.trial import Score, Status

AUTORESEARCH = """step 00953 | loss 3.1
---
val_bpb:          0.997900
training_seconds: 300.1
peak_vram_mb:     45060.2
"""


def scored(log: str, goal: Literal["minimise", "maximise"] = "minimise") -> Score:
    metric = Metric(name="val_bpb", goal=goal)
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
        "val_bpb: nan", "val_bpb: inf", "val_bpb: -inf", "val_bpb: 1e200", "val_bpb: much", "val_bpb:", "other: 1.0",
        "val_bpb: 1.0\nval_bpb: 0.5", "val_bpb: 1.0\nval_bpb: 1.0", "x val_bpb: 0.3",
    ],
)  # fmt: skip
def test_what_is_not_one_number_is_rejected(summary: str) -> None:
    score = scored(f"train\n---\n{summary}\n")
    assert score.status is Status.REJECTED_SCORE
    assert score.val_loss is None


def test_a_likelihood_may_be_negative_unless_the_task_says_what_can_be_true() -> None:
    assert scored("---\nval_bpb: -3.5\n").val_loss == -3.5
    metric = Metric(name="val_acc", goal="maximise")
    artifact = Artifact(Path("a"), Path("f"), "---\nval_acc: 1.01\n", Path("s"), "r/0001", 1)
    assert PrintedScorer(metric).score(artifact).val_loss == -1.01
    score = PrintedScorer(metric, ScoreSpec(kind="printed", between=(0.0, 1.0))).score(artifact)
    assert (score.status, score.reason) == (Status.REJECTED_SCORE, "`val_acc: 1.01` is not between 0 and 1")


def test_lines_before_the_last_marker_do_not_count() -> None:
    assert scored("\n---\nval_bpb: 0.1\n\n---\nval_bpb: 0.9\n").val_loss == 0.9
    assert scored("val_bpb: 0.1\n").status is Status.REJECTED_SCORE


def found_by(line: str, log: str) -> Score:
    metric = Metric(name="val_loss", goal="minimise")
    return PrintedScorer(metric, ScoreSpec(kind="printed", line=line)).score(
        Artifact(Path("a"), Path("f"), log, Path("s"), "r/0001", 1)
    )


@pytest.mark.parametrize(
    ("line", "log", "value"),
    [
        ("val loss {}", "step 0: train loss 4.2, val loss 4.1\nstep 9: train loss 3.1, val loss 3.25.\n", 3.25),
        ("val loss {}", "val  loss\t1e-3, best\n", 1e-3),
        ("error: {}%", "error: 30 of 100\nerror: 7.5 %\n", 7.5),
        ("loss {}", "gloss 1\nloss 2\nloss 3 apples and loss4\n", 4.0),
        ("{} nats", "2.5 nats\n", 2.5),
        ("{} nats", "loss  1 or \t2.5 nats\n", 2.5),
        ("{}", "   3 4", 4.0),
        ("{} nats", "1-20.5 nats\n", -20.5),
        ("a.c {}", "abc 1\na.c .5\n", 0.5),
        ("Test set: {*} Accuracy: {}", "Accuracy: 1\nTest set: loss 2, Accuracy: 3\nTrain: Accuracy: 4\n", 3.0),
        ("Accuracy: {}/", "Accuracy: 45/100 (45%)\n", 45.0),
        ("val_loss {}", "│   val_loss   │   0.25   │\n", 0.25),
        ("val loss {}", "val loss \u241b[1;32m0.5\u241b[0m\n", 0.5),
        ("val_loss={}", "100%|##| 3/3 [00:01, val_loss=0.31]\n", 0.31),
    ],
)
def test_a_line_finds_the_last_number_that_stands_in_such_text(line: str, log: str, value: float) -> None:
    assert found_by(line, log).val_loss == value


@pytest.mark.parametrize(
    "log", ["loss: 1.0\n", "val loss nan\n", "val loss -1e200\n", "val loss 3x\n", "val loss 1.5x\n", ""]
)
def test_a_line_without_a_usable_number_is_rejected(log: str) -> None:
    assert found_by("val loss {}", log).status is Status.REJECTED_SCORE


@pytest.mark.parametrize(
    ("line", "log", "reason"),
    [
        ("val loss {}", "val loss 0.4\nval loss 0.31s\n", "the log has `val loss 0.31s`"),
        ("val loss {}", "val loss: 0.4\ntook 3 s\n", "the nearest line is `val loss: 0.4`"),
        ("val loss {}", "took 3 s\nbye\n", "its last line is `bye`"),
        (None, "---\nval_loss: tensor([1., 2.])\n", "`val_loss: tensor([1., 2.])` is not a whole number"),
        (None, "val_loss: 0.3\n", "the nearest line is `val_loss: 0.3`"),
    ],
)
def test_what_cannot_be_read_is_shown(line: str | None, log: str, reason: str) -> None:
    score = PrintedScorer(Metric(), ScoreSpec(kind="printed", line=line)).score(
        Artifact(Path("a"), Path("f"), log, Path("s"), "r/0001", 1)
    )
    assert score.status is Status.REJECTED_SCORE
    assert reason in score.reason


def test_a_progress_bar_without_end_of_line_hides_neither_marker_nor_name() -> None:
    assert scored(" 1/3 [00:00]\n 2/3 [00:00]---\nval_bpb: 0.25\n").val_loss == 0.25
    assert scored("---\n 2/3 [00:00]val_bpb: 0.25\n").val_loss == 0.25
    assert scored("---\nbest_val_bpb: 0.25\n").status is Status.REJECTED_SCORE


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("line", ["{}", "{} nats", "loss {}", "loss {} %", "loss {*} 1 {}"])
@pytest.mark.parametrize(
    "log",
    [
        " " * 20_000,
        "loss" + " " * 20_000,
        "1" * 20_000,
        "1" + " " * 20_000,
        "loss 1 " * 3_000,
        "loss " + "[" * 20_000,
        "loss 1" + ",234" * 5_000,
        "loss tensor(1" + ", a=1" * 4_000,
        "loss <tf.Tensor:" * 1_300,
    ],
)
def test_no_log_keeps_us_busy(line: str, log: str) -> None:
    for _ in range(4):
        found_by(line, log)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,235.00", 1235.0),
        ("1,234,567", 1234567.0),
        ("1_000", 1000.0),
        ("1.5,", 1.5),
        ("1e-3.", 0.001),
        ("12.5%", 12.5),
    ],
)
def test_a_number_is_read_whole(text: str, value: float) -> None:
    assert found_by("val loss {}", f"val loss {text}\n").val_loss == value


@pytest.mark.parametrize("text", ["0,5000", "1,234", "1.2.3", "3/4", "12:30", "1,2", "1,23.5"])
def test_a_part_of_a_number_is_no_score(text: str) -> None:
    score = found_by("val loss {}", f"val loss {text}\n")
    assert score.status is Status.REJECTED_SCORE
    assert text[:20] in score.reason


def test_standard_output_counts_before_the_log_of_both_streams() -> None:
    artifact = Artifact(Path("a"), Path("f"), "---\nval_bpb: \nwarning\n0.9\n", Path("s"), "r/0001", 1)
    metric = Metric(name="val_bpb", goal="minimise")
    assert PrintedScorer(metric).score(artifact).val_loss is None
    assert PrintedScorer(metric).score(replace(artifact, stdout="---\nval_bpb: 0.9\n")).val_loss == 0.9
    on_stderr = replace(artifact, log="---\nval_bpb: 0.8\n", stdout="step 1\n")
    assert PrintedScorer(metric).score(on_stderr).val_loss == 0.8


def test_a_progress_bar_that_was_not_ended_hides_no_summary() -> None:
    assert scored("\n 3/3 [00:00]---\nval_bpb: 0.9\n").val_loss == 0.9
    assert scored("-----\nval_bpb: 0.9\n").val_loss is None
