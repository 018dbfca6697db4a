"""What a script reports against what the host measured, and seeds that a script fixes."""

from dataclasses import replace

import pytest

from agent.edits.guard import fixed_seeds
from agent.execution.judge import METRIC_EDIT, far_below_flags, metric_edit_flags, reported_flags, seed_flags
from agent.task.spec import ScoreSpec
from agent.trials.metric import Metric
from agent.trials.trial import Outcome, Status
from sandbox.job import Execution, StoppedBy

METRIC = Metric(name="val_bpb")
SEEN = Execution(0, StoppedBy.ITSELF, 12.0, 11.0, 0.5, 100, False)
BASELINE = Outcome(Status.OK, 2.0, wall_seconds=12.0, reported={"training_seconds": 9.0})


@pytest.mark.parametrize(
    ("reported", "flagged"),
    [
        ({}, None),
        ({"training_seconds": 9.5}, None),
        ({"training_seconds": 8.0, "peak_memory_mb": 600.0, "val_bpb": 2.01}, None),
        ({"training_seconds": 1.0}, "reports 1.0 s of training; the host measured a job of 12.0 s"),
        ({"training_seconds": 300.0}, "reports 300.0 s of training; the host measured a job of 12.0 s"),
        ({"peak_memory_mb": 5120.0}, "reports a memory peak of 5.00 GiB; the host measured 0.50 GiB"),
        ({"val_bpb": 0.5}, "reports val_bpb 0.5; the score is 2"),
    ],
)
def test_a_report_that_the_host_contradicts_is_flagged(reported: dict[str, float], flagged: str | None) -> None:
    expected = () if flagged is None else (flagged,)
    assert reported_flags(reported, SEEN, 2.0, METRIC, BASELINE) == expected


def test_a_metric_to_maximise_is_compared_as_it_is_shown() -> None:
    accuracy = Metric(name="accuracy", goal="maximise")
    assert reported_flags({"accuracy": 0.9}, SEEN, -0.9, accuracy, None) == ()
    assert reported_flags({"accuracy": 0.99}, SEEN, -0.9, accuracy, None) != ()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch\ntorch.manual_seed(SEED)", ()),
        ("torch.manual_seed(int(os.environ['TRAIN_SEED']))", ()),
        ("torch.manual_seed(1337)", ("torch.manual_seed(1337)",)),
        (
            "def f():\n    rng = np.random.default_rng(7)\n    random.seed(0)",
            ("np.random.default_rng(7)", "random.seed(0)"),
        ),
        ("g = torch.Generator().manual_seed(3)", ("torch.Generator().manual_seed(3)",)),
        ("seed(None)", ()),
    ],
)
def test_seeds_that_are_literals_are_found(source: str, found: tuple[str, ...]) -> None:
    assert set(fixed_seeds(source)) == set(found)


def test_only_what_the_edit_added_is_flagged() -> None:
    parent = "x = default_rng(5)\ns = os.environ['TRAIN_SEED']\n"
    assert seed_flags(parent, parent) == ()
    assert seed_flags(parent + "random.seed(1)\n", parent) == ("fixes its own seed: random.seed(1)",)
    assert seed_flags("x = default_rng(5)\n", parent) == ("fixes its own seed: it no longer reads TRAIN_SEED",)


def test_the_hosts_clock_decides_whatever_is_reported() -> None:
    slow = replace(SEEN, wall_seconds=60.0)
    assert reported_flags({"training_seconds": 9.0}, slow, 2.0, METRIC, BASELINE)


@pytest.mark.parametrize(
    ("loss", "incumbent", "sigma", "flag"),
    [
        (2.8, 3.7, 0.001, "24% better than the incumbent: read its diff before you believe it"),
        (3.4, 3.7, 0.001, None),  # 300 sigma, and 8 %
        (2.8, 3.7, 0.1, None),  # 24 %, and 9 sigma
        (4.8, 3.7, 0.001, None),
        (-0.99, -0.8, 0.001, "24% better than the incumbent: read its diff before you believe it"),  # an accuracy
        (-0.5, 0.0, 0.001, None),
    ],
)
def test_a_loss_that_is_far_below_the_incumbents_is_flagged(
    loss: float, incumbent: float, sigma: float, flag: str | None
) -> None:
    assert far_below_flags(loss, incumbent, sigma) == (() if flag is None else (flag,))


@pytest.mark.parametrize("deep", ["a" + ".b" * 900 + ".manual_seed(7)", "manual_seed(7, x" + "+x" * 900 + ")"])
def test_a_seed_within_deep_code_is_found(deep: str) -> None:
    assert seed_flags(f"if x: {deep}\n", "x = 1\n") == ("fixes its own seed: manual_seed(7, …)",)


def test_a_metric_that_is_computed_too_deeply_to_be_compared_is_flagged() -> None:
    score = ScoreSpec.model_validate({"kind": "printed", "line": "val loss {}"})
    baseline = "x = 1.0\nvalue = x\nprint(f'val loss {value}')\n"
    deep = baseline.replace("value = x", "value = x" + " + x" * 900)
    assert metric_edit_flags(deep, baseline, score, METRIC) == (
        f"{METRIC_EDIT}: it is nested too deeply to be compared",
    )
    assert metric_edit_flags(deep, deep, score, METRIC) == ()
