"""train.py: it stops at its budget, repeats itself exactly, fails early, and gives back what it trained."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.execution.early_stopping import pruner_of
from agent.task.task import Task
from agent.trials.learning_curve import LearningCurve
from tests.late import Late
from tests.train_template.conftest import SEQ_LEN, TEMPLATE, VOCAB, job_environment

torch, functional = Late("torch"), Late("torch.nn.functional")
TOKENS_PER_STEP = 512


@pytest.fixture
def run(train: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Return a function that trains in this process, for (unit, amount, seed), and returns (summary, artifact)."""

    def train_once(unit: str, amount: float, seed: int = 0) -> tuple[dict[str, float], Path]:
        artifact = tmp_path / f"{unit}-{amount}-{seed}"
        for name, value in job_environment(data, artifact, unit, amount, seed).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        train.main()
        _, summary = capsys.readouterr().out.split("---\n")
        return {name: float(value) for name, value in re.findall(r"(\w+): (\S+)", summary)}, artifact

    return train_once


def weights(artifact: Path) -> dict[str, Any]:
    return torch.load(artifact, weights_only=True)["weights"]


def test_script_is_at_most_350_lines() -> None:
    assert len((TEMPLATE / "train.py").read_text().splitlines()) <= 350


@pytest.mark.parametrize(("unit", "amount", "n_steps"), [("steps", 3, 3), ("tokens", 4 * TOKENS_PER_STEP + 1, 4)])
def test_counted_budget_pays_for_whole_steps_only(run, unit: str, amount: float, n_steps: int) -> None:
    summary, _ = run(unit, amount)
    assert summary["num_steps"] == n_steps
    assert summary["tokens_M"] == pytest.approx(n_steps * TOKENS_PER_STEP / 1e6, abs=5e-4)


def test_twice_the_work_pays_for_twice_the_steps(run) -> None:
    few, many = run("work", 0.4)[0]["num_steps"], run("work", 0.8)[0]["num_steps"]
    assert few >= 1
    assert many in (2 * few, 2 * few + 1)


def test_progress_lines_are_the_curve_that_the_task_declares(
    train: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, value in job_environment(data, tmp_path / "artifact", "steps", 12, 0).items():
        monkeypatch.setenv(name, value)
    train.main()
    rule = pruner_of(Task.load(TEMPLATE), 0, ())
    assert rule is not None
    points = [point for line in capsys.readouterr().out.splitlines() if (point := rule.form.point(line)) is not None]
    assert [point.share for point in points] == pytest.approx([step / 12 for step in range(12)], abs=1e-3)
    curve = LearningCurve.of(points)
    assert curve is not None
    assert curve.half is not None
    assert curve.end is not None


def test_budget_of_seconds_stops_the_training(run) -> None:
    summary, _ = run("seconds", 0.3)
    assert summary["num_steps"] >= 1
    assert summary["training_seconds"] >= 0.3


def test_budget_below_one_step_fails_before_training(run, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("tokens", TOKENS_PER_STEP - 1)
    assert stopped.value.code == 1
    assert "FAIL: one step costs 512 tokens" in capsys.readouterr().out


def test_same_seed_gives_the_same_weights_and_another_seed_others(run, tmp_path: Path) -> None:
    first, again, other = run("steps", 3, 1)[1], None, run("steps", 3, 2)[1]
    kept = weights(first)
    again = run("steps", 3, 1)[1]
    assert all(torch.equal(kept[name], weight) for name, weight in weights(again).items())
    assert not torch.equal(kept["head.weight"], weights(other)["head.weight"])


def test_training_lowers_the_loss_below_a_uniform_guess(run) -> None:
    summary, _ = run("steps", 40)
    assert summary["train_loss"] < 0.8 * torch.tensor(VOCAB).log().item()


def test_loaded_model_sees_no_later_token_and_matches_the_training_forward(run, train: ModuleType) -> None:
    _, artifact = run("steps", 20)
    predict = train.load(str(artifact))
    tokens = torch.randint(VOCAB, (3, SEQ_LEN), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % VOCAB
    with torch.inference_mode():
        logits, others = predict(tokens), predict(changed)
        assert logits.shape == (3, SEQ_LEN, VOCAB)
        torch.testing.assert_close(logits[:, :9], others[:, :9])
        assert not torch.allclose(logits[:, 9:], others[:, 9:])

        model = train.GPT(VOCAB, SEQ_LEN)
        model.load_state_dict(weights(artifact))
        expected = model(tokens[:, :-1], tokens[:, 1:])
        loss = functional.cross_entropy(predict(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(loss, expected)


def edited(tmp_path: Path, **values: float) -> Path:
    """Return a copy of train.py with these constants."""
    source = (TEMPLATE / "train.py").read_text()
    for name, value in values.items():
        source, n = re.subn(rf"^{name} = \S+", f"{name} = {value}", source, flags=re.MULTILINE)
        assert n == 1
    script = tmp_path / "train.py"
    script.write_text(source)
    return script


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"UNEMBEDDING_LR": 1000.0}, "FAIL: diverged: loss"),
        ({"TOTAL_BATCH_SIZE": 500}, "FAIL: TOTAL_BATCH_SIZE 500 is"),
    ],
)
def test_hopeless_run_says_fail_and_exits_1(tmp_path: Path, data: Path, values: dict[str, float], message: str) -> None:
    output = tmp_path / "artifact"
    environment = job_environment(data, output, "steps", 20)
    command = [sys.executable, edited(tmp_path, **values)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert message in ran.stdout
    assert not output.exists()


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 1.0), (0.5, 1.0), (0.75, 0.5), (1.0, 0.0)], ids=["start", "flat", "falling", "end"]
)
def test_learning_rate_is_flat_then_falls(train: ModuleType, progress: float, factor: float) -> None:
    assert train.lr_factor(progress) == pytest.approx(factor)


def test_orthogonalised_matrix_has_singular_values_near_1(train: ModuleType) -> None:
    matrices = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0))
    singular_values = torch.linalg.svdvals(train.Muon.orthogonalise(matrices))
    assert singular_values.min() > 0.5
    assert singular_values.max() < 1.3
