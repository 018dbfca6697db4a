"""task.toml is checked strictly, and every complaint names file and line."""

import os
import re
import shutil
from pathlib import Path

import pytest

from agent.errors import TaskError
from agent.task.task import Task
from agent.trials.metric import Metric

BIGRAM = Path(__file__).parents[2] / "tasks" / "bigram_plain"
PREDICTIONS = 'kind = "predictions"\nmeasure = "{}"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BIGRAM, tmp_path / "task", ignore=shutil.ignore_patterns("__pycache__")))


def rewrite(folder: Path, old: str, new: str, name: str = "task.toml") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def line_of(folder: Path, text: str) -> int:
    lines = (folder / "task.toml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_a_profile_lies_over_the_top_level_and_writes_its_values() -> None:
    small, coarse = Task.load(BIGRAM), Task.load(BIGRAM, "coarse")
    assert small.profile == "small"
    assert small.defaults == {"SMOOTHING": 20.0, "MIX": 0.5, "STRIDE": 3, "CHUNK": 256, "ORDER": "forward"}
    assert coarse.defaults == {"STRIDE": 4, "CHUNK": 64}
    assert "STRIDE = 4  # use every n-th pair" in coarse.source
    assert small.digest != coarse.digest
    assert Task.load(BIGRAM).digest == small.digest


def test_a_commits_files_make_the_same_task(folder: Path) -> None:
    task = Task.load(folder)
    assert Task(folder, task.files, task.profile).digest == task.digest


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("wall_seconds = 300", "wall_second = 300", "wall_second = 300", "unknown key"),
        ("memory_gb = 0.1", "memory_gb = -1", "memory_gb = -1", "greater than 0"),
        ('unit = "steps"', 'unit = "parsecs"', "parsecs", "seconds"),
        ('kind = "held_out"', 'kind = "held_out"\nline = "loss {}"', "[score]", "belongs to kind = 'printed'"),
        ('kind = "held_out"', 'kind = "held_out"\nbetween = [0, 1]', "[score]", "belongs to kind = 'printed'"),
        ('kind = "held_out"', 'kind = "printed"\nbetween = [1, 0]', "[score]", "write the lower value first"),
        (
            'kind = "held_out"',
            'kind = "held_out"\nmeasure = "auc"',
            "[score]",
            "measure belongs to kind = 'predictions'",
        ),
        (
            'kind = "held_out"',
            'kind = "predictions"\nmeasure = "R2"',
            'measure = "R2"',
            "one of accuracy,.* not 'R2'$",
        ),
        ('kind = "held_out"', 'kind = "predictions"\nmeasure = 2', "measure = 2", "should be text in quotes, not 2"),
        (
            'kind = "held_out"',
            PREDICTIONS.format("r2"),
            "[score]",
            r"'r2' needs \[metric\] goal = 'maximise', not",
        ),
        (
            'kind = "held_out"',
            PREDICTIONS.format("top_k_accuracy"),
            "[score]",
            "'top_k_accuracy' needs top_k",
        ),
        ('kind = "held_out"', PREDICTIONS.format("log_loss") + "\ntop_k = 5", "[score]", "no other measure has it"),
        ('kind = "held_out"', PREDICTIONS.format("top_k_accuracy") + "\ntop_k = 0", "top_k = 0", "should be 1 or more"),
        ('counted_by = "script"', 'counted_by = "host"', "[budget]", "cannot count steps"),
        ("cpu_factor = 30", "max_cpu_ratio = 4", "[budget]", "max_cpu_ratio = 4 must be below cpu_factor = 4"),
        (
            'unit = "steps"\namount = 4\nnominal_seconds = 1.0\ncounted_by = "script"',
            'unit = "seconds"\namount = 4\nmax_cpu_ratio = 2',
            "[budget]",
            "max_cpu_ratio belongs to counted_by = 'script'",
        ),
        ('goal = "minimise"', 'goal = "smaller"', "smaller", "maximise"),
        ('type = "int"', 'type = "integer"', "STRIDE", "integer"),
        ("low = 0.001, high = 100.0", "low = 100.0, high = 0.001", "SMOOTHING", "low"),
        ("low = 1, high = 8 }\nCHUNK", "low = 4, high = 8 }\nCHUNK", None, "STRIDE"),
        ('name = "bigram"', 'name = "Bi gram"', "Bi gram", "pattern"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, old: str, new: str, where: str | None, what: str) -> None:
    rewrite(folder, old, new)
    with pytest.raises(TaskError, match=what) as caught:
        Task.load(folder)
    place = f"task.toml:{line_of(folder, where)}:" if where else "train.py"
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_table_of_a_profile_is_refused_with_its_line(folder: Path) -> None:
    rewrite(folder, "[profiles.coarse.values]", "[profiles.small.metric]\nname = 'x'\n[profiles.coarse.values]")
    with pytest.raises(TaskError, match=rf"task.toml:{line_of(folder, '[profiles.small.metric]')}: unknown table"):
        Task.load(folder)


@pytest.mark.parametrize("wrong", ["profiles = 3", "profiles.small = 3", "profiles.small.limits = 3"])
def test_a_profile_that_is_no_table_is_refused_with_its_line(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "task.toml").write_text(f"# a task\n{wrong}\n")
    with pytest.raises(TaskError, match=rf"task.toml:2: {wrong.partition(' ')[0]}: it should be a table, not 3$"):
        Task.load(tmp_path)


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaskError, match="'gpu'; choose one of: small, coarse"):
        Task.load(BIGRAM, "gpu")


def test_broken_toml_is_refused(folder: Path) -> None:
    (folder / "task.toml").write_text("[task\n")
    with pytest.raises(TaskError, match=r"not valid TOML.*line 1"):
        Task.load(folder)


def test_missing_files_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "score.py").unlink()
    with pytest.raises(TaskError, match=r"score.py is missing"):
        Task.load(folder)
    with pytest.raises(TaskError, match=r"has no task.toml"):
        Task.load(tmp_path)


def test_files_outside_the_folder_are_refused(folder: Path) -> None:
    rewrite(folder, '"score.py"]', '"../secret.py"]')
    with pytest.raises(TaskError, match="is outside"):
        Task.load(folder)


def test_a_script_that_does_not_parse_is_refused_with_its_line(folder: Path) -> None:
    rewrite(folder, "def main():", "def main(:", "train.py")
    with pytest.raises(TaskError, match=r"train.py:\d+: does not parse"):
        Task.load(folder)


def test_a_name_of_the_space_that_the_script_lacks_is_refused(folder: Path) -> None:
    rewrite(folder, "STRIDE = 3", "STEP = 3", "train.py")
    with pytest.raises(TaskError, match="STRIDE"):
        Task.load(folder)


@pytest.mark.parametrize(
    ("new", "where", "hidden"),
    [
        ('name = "loss\\u001b[2J"', "metric.name", "ESCAPE"),
        ('name = "loss\u202e"', "metric.name", "RIGHT-TO-LEFT OVERRIDE"),
        ('name = "loss"\n"a\\u200b" = 1', "metric.a", "ZERO WIDTH SPACE"),
    ],
)
def test_a_character_that_nobody_sees_is_refused_with_its_line(folder: Path, new: str, where: str, hidden: str) -> None:
    rewrite(folder, 'name = "val_bpb"', new)
    with pytest.raises(TaskError, match=rf"task.toml:\d+: {where} contains {hidden}"):
        Task.load(folder)


@pytest.mark.parametrize("value", ["1e300", "inf", "nan"])
@pytest.mark.parametrize("limit", ["wall_seconds", "memory_gb"])
def test_a_limit_that_limits_nothing_is_refused(folder: Path, limit: str, value: str) -> None:
    path = folder / "task.toml"
    path.write_text(re.sub(rf"^{limit} = .*$", f"{limit} = {value}", path.read_text(), count=1, flags=re.MULTILINE))
    with pytest.raises(TaskError, match=rf"limits.{limit}: it should be"):
        Task.load(folder)


def test_toml_without_an_end_of_its_depth_is_refused(folder: Path) -> None:
    (folder / "task.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(TaskError, match="not valid TOML"):
        Task.load(folder)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    os.truncate(folder / "train.py", 2**40)
    with pytest.raises(TaskError, match=r"train\.py is larger than"):
        Task.load(folder)


def test_a_script_in_another_encoding_is_refused_with_its_line(folder: Path) -> None:
    path = folder / "train.py"
    path.write_text("# coding: latin-1\n" + path.read_text())
    with pytest.raises(TaskError, match=r"train\.py: line 1 declares the source encoding 'latin-1'"):
        Task.load(folder)


def test_a_metric_to_maximise_is_negated_at_the_border() -> None:
    accuracy = Metric(name="accuracy", goal="maximise")
    assert accuracy.to_loss(0.9) == -0.9
    assert accuracy.display(-0.9) == 0.9
