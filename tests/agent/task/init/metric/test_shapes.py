"""Scripts in the shapes that other people write: what is found in each, and that it is what the script prints."""

import ast
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.scoring.scorer import Artifact
from agent.task.init.host import HostResources
from agent.task.init.metric.printed_metric import PrintedMetric, find_metrics
from agent.task.init.python_file import Source
from agent.task.init.script_report import InitOptions, read_script
from agent.task.printed_number import values_in
from agent.task.spec import ScoreSpec
from agent.trials.metric import Metric
from agent.trials.trial import Score, Status

SCRIPTS = Path(__file__).parents[4] / "scripts" / "metrics"
LOSS = (0.1 - 0.3) ** 2


@dataclass(frozen=True)
class Reading:
    """What `agent init` should find in a script, and the number that a run of it has."""

    name: str
    goal: str
    place: str  # as --metric names it
    value: float
    is_test: bool = False
    of_training: bool = False


SHAPES = {
    "coloured": Reading("val_loss", "minimise", "valLoss={}", LOSS),
    "console": Reading("validation_f1", "maximise", "validation F1 {}", 1 - LOSS),
    "csv_table": Reading("val_loss", "minimise", "logs/metrics.csv:val_loss", LOSS),
    "episodes": Reading("episodic_return", "maximise", "episodic_return={}", 32 - LOSS, of_training=True),
    "imagenet_meters": Reading("val_acc_1", "maximise", "* Acc@1 {}", 31.5),
    "in_pieces": Reading("val_loss", "minimise", "val loss {}", LOSS),
    "items_in_a_loop": Reading("valid_rmse", "minimise", "valid_rmse {}", LOSS),
    "joined_items": Reading("val_loss", "minimise", "val_loss: {}", LOSS),
    "json_document": Reading("validation_rmse", "minimise", "results.json:validation.rmse", LOSS),
    "json_lines": Reading("val_miou", "maximise", "metrics.jsonl:val/miou", 1 - LOSS),
    "logging_arguments": Reading("valid_loss", "minimise", "valid loss: {}", LOSS),
    "named_by_an_argument": Reading("val_psnr", "maximise", "[val] psnr: {}", 20 - LOSS),
    "own_progress_bar": Reading("test_loss", "minimise", "Test loss: {}", LOSS, is_test=True),
    "print_on_rank_0": Reading("val_loss", "minimise", "val_loss:{}", LOSS),
    "printed_dict": Reading("eval_accuracy", "maximise", "'eval_accuracy': {}", 0.8),
    "progress_bar": Reading("val_loss", "minimise", "val_loss={}", LOSS),
    "resume_only": Reading("valid_error", "minimise", "valid error: {}", LOSS),
    "same_words_in_training": Reading("val_accuracy", "maximise", "valid: epoch {*} accuracy: {}", 1 - LOSS),
    "splits_in_a_loop": Reading("val_loss", "minimise", "val loss {}", LOSS),
    "test_set_of_digits": Reading("test_average_loss", "minimise", "Test set: Average loss: {}", LOSS, is_test=True),
    "thousands": Reading("test_mae", "minimise", "test MAE {}", 1235.0, is_test=True),
    "top_k_accuracy": Reading("val_acc_1", "maximise", "Acc@1 {}", 31.5),
    "value_and_mean": Reading("test_loss", "minimise", "Test: {*} Loss {*} ({}", LOSS, is_test=True),
    "valid_and_test": Reading("valid_loss", "minimise", "valid loss {}", LOSS),
}
FRAMEWORKS = {
    "hf_trainer": ("transformers", Reading("eval_loss", "minimise", "'eval_loss': {}", 0.5949)),
    "lightning_module": ("lightning", Reading("val_loss", "minimise", "val_loss {}", 0.6239)),
}


def found(name: str) -> PrintedMetric:
    code = (SCRIPTS / f"{name}.py").read_text()
    return find_metrics(Source(f"{name}.py", code, ast.parse(code)))[0]


def scored(metric: PrintedMetric, log: str, folder: Path) -> Score:
    """Return the score of a script that printed `log` in a folder."""
    table = {"line": metric.line} if metric.line else {}
    if metric.file is not None:
        content = (folder / metric.file).read_bytes()
        (folder / "artifact").write_bytes(f"file {len(content)}\n".encode() + content)
        table = {"file": metric.file, "key": metric.key}
    assert metric.goal is not None
    scorer = PrintedScorer(Metric(metric.name, metric.goal), ScoreSpec.model_validate({"kind": "printed", **table}))
    return scorer.score(Artifact(folder / "artifact", folder, log, folder, "r/1", 1))


def run(name: str, folder: Path) -> str:
    """Return what a script prints in a folder, as the log of a job has it: both streams, a carriage return a line."""
    command = [sys.executable, SCRIPTS / f"{name}.py"]
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    return done.stdout.replace("\r", "\n")


def check(name: str, expected: Reading, folder: Path) -> None:
    metric = found(name)
    reading = (metric.name, metric.goal, metric.option, metric.is_test, metric.of_training)
    assert reading == (expected.name, expected.goal, expected.place, expected.is_test, expected.of_training)
    score = scored(metric, run(name, folder), folder)
    assert score.status is Status.OK, score.reason
    assert score.evidence["printed"] == pytest.approx(expected.value, rel=2e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_the_metric_of_each_shape_is_found_and_is_what_the_script_prints(name: str, tmp_path: Path) -> None:
    check(name, SHAPES[name], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_a_library_prints_is_found(name: str, tmp_path: Path) -> None:
    library, expected = FRAMEWORKS[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install -e '.[frameworks]'")
    check(name, expected, tmp_path)


def test_a_direction_that_no_word_says_is_asked(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text((SCRIPTS / "unknown_direction.py").read_text())
    machine = HostResources(4.0, 8.0, 2)
    with pytest.raises(UsageError, match=r"is a higher or a lower `val zorp: \{\}` better \(train.py:\d+\)\?"):
        read_script(tmp_path, InitOptions(), machine)
    asked = read_script(tmp_path, InitOptions(ask_goal=lambda metric: "maximise"), machine)
    given = read_script(tmp_path, InitOptions(goal="maximize"), machine)
    assert [one.metrics[0].goal for one in (asked, given)] == ["maximise", "maximise"]
    with pytest.raises(UsageError, match="--goal up: write minimise or maximise"):
        read_script(tmp_path, InitOptions(goal="up"), machine)


def test_a_script_without_a_metric_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text((SCRIPTS / "no_metric.py").read_text())
    with pytest.raises(UsageError, match="prints no recognisable validation metric"):
        read_script(tmp_path, InitOptions(), HostResources(4.0, 8.0, 2))


ONLY_BATCHES = (SCRIPTS / "imagenet_meters.py").read_text().replace("progress.display_summary()", "pass")


@pytest.mark.parametrize(
    ("code", "added"),
    [
        (
            (SCRIPTS / "columns_of_a_table.py").read_text(),
            'train.py:7 shows val_loss without its name; add its name, too: print(f"val_loss: {val_loss:.6f}")',
        ),
        (
            'rows = []\nrows.append([1, results["val_acc"]])\nprint(tabulate(rows, headers=["epoch", "val_acc"]))\n',
            "train.py:2 shows results['val_acc'] without its name; add its name, too: "
            "print(f\"val_acc: {results['val_acc']:.6f}\")",
        ),
        (
            "val_losses = [1.0]\nprint(epoch, np.mean(val_losses))\n",
            'train.py:2 shows np.mean(val_losses) without its name; add its name, too: '
            'print(f"val_losses: {np.mean(val_losses):.6f}")',
        ),
        (
            ONLY_BATCHES,
            'train.py:56 shows losses.avg without its name; add its name, too: print(f"val_loss: {losses.avg:.6f}")',
        ),
    ],
)  # fmt: skip
def test_a_value_without_its_name_is_refused_with_the_line_to_add(tmp_path: Path, code: str, added: str) -> None:
    (tmp_path / "train.py").write_text(code)
    with pytest.raises(UsageError) as refused:
        read_script(tmp_path, InitOptions(), HostResources(4.0, 8.0, 2))
    assert str(refused.value) == f"{tmp_path / 'train.py'} prints no validation metric with its name: {added}"


@pytest.mark.parametrize(
    ("format_", "line", "row"),
    [("", "val_loss {}", "val_loss  0.31"), (', tablefmt="github"', "val_loss | {}", "| val_loss   |   0.31 |")],
)
def test_rows_of_tabulate_are_found(format_: str, line: str, row: str) -> None:
    code = f'from tabulate import tabulate\nprint(tabulate([["epoch", 3], ["val_loss", loss]]{format_}))\n'
    metric = find_metrics(Source("train.py", code, ast.parse(code)))[0]
    assert metric.option == line
    assert [one.value for one in values_in(row, line)] == [0.31]


@pytest.mark.parametrize(
    ("code", "name", "goal", "option"),
    [
        ("score = rmsle(y, oof)\nprint(f'Score: {score:.4f}')\n", "score", "minimise", "Score: {}"),
        ("print('CV:', rmsle(y, oof))\n", "cv", "minimise", "CV: {}"),
        ("print('CV ROC AUC: %.4f (+/- %.4f)' % (s.mean(), s.std()))\n", "cv_roc_auc", "maximise", "CV ROC AUC: {}"),
        ("print(f'Epoch: {e:03d}, Val: {best_val_acc:.4f}')\n", "val", "maximise", "Val: {}"),
        ("print(f'OOF score {results[\"mae\"]:.3f}')\n", "oof_score", "minimise", "OOF score {}"),
        ("print(f'val zorp: {loss}')\n", "val_zorp", None, "val zorp: {}"),
        ("print(f'val: {value}')\n", "val", None, "val: {}"),
        (
            "def log(**named):\n    print(', '.join(f'{k}: {shown(v)}' for k, v in named.items()))\n"
            "log(Epoch=epoch, Loss=loss, Val=acc)\n",
            *("val", None, "Val: {}"),
        ),
    ],
)
def test_the_printed_expression_says_the_direction_where_the_label_says_none(
    code: str, name: str, goal: str | None, option: str
) -> None:
    metric = find_metrics(Source("train.py", code, ast.parse(code)))[0]
    assert (metric.name, metric.goal, metric.option) == (name, goal, option)


def test_headers_and_counters_are_no_metrics() -> None:
    code = "print('epoch  train_loss  valid_loss  ' + name)\nprint(f'Test: [{i:>4d}/{n}] done')\n"
    code += "name = 'Test' + suffix\nprint(f'{name}: [{i}/{n}]')\n"
    assert find_metrics(Source("train.py", code, ast.parse(code))) == []


def test_the_table_has_every_script() -> None:
    names = {path.stem for path in SCRIPTS.glob("*.py")}
    assert names == {*SHAPES, *FRAMEWORKS, "unknown_direction", "no_metric", "columns_of_a_table"}
