"""A metric in a file that the script writes: real jobs write it, and the host reads what a sandbox hands out."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.execution.executor import Attempt, Executor
from agent.execution.scoring.metric_file import MOST_BYTES, read_metric_file
from agent.execution.scoring.printed import PrintedScorer
from agent.store.paths import TrialPaths
from agent.task.spec import ScoreSpec
from agent.task.task import Task
from agent.trials.metric import Metric
from agent.trials.trial import Outcome, Status
from sandbox.job import Sandbox

ROWS = '{"step": 1, "val/loss": 0.4}\n{"step": 2, "val/loss": 0.3}\n{"step": 3, "val/loss": 0.35}\n'
TASK = """[task]
name = "t"
command = ["sh", "-c", "mkdir /tmp/work && cd /tmp/work && python -I -S /task/train.py"]
[metric]
name = "val_loss"
[score]
kind = "printed"
file = "out/metrics.jsonl"
key = "val/loss"
[budget]
amount = 1.0
[limits]
wall_seconds = 60
memory_gb = 0.25
output_mb = {output_mb}
"""


def outcome(sandbox: Sandbox, folder: Path, code: str, *, output_mb: int = 16) -> Outcome:
    """Return the outcome of a script that writes the file as `code` says."""
    source = "import os\nos.mkdir('out')\nos.chdir('out')\n" + code
    text = TASK.format(output_mb=output_mb)
    task = Task(folder, {"task.toml": text.encode(), "train.py": source.encode()})
    scorer = PrintedScorer(task.metric, task.score)
    box = Executor(task, None, sandbox, scorer, {}, folder / "compiled.tar", {})
    return box.run(Attempt(source, TrialPaths(folder / "1"), "r/1", 1, train_seed=0, baseline=None))


def test_the_last_value_of_the_file_is_the_score(sandbox: Sandbox, tmp_path: Path) -> None:
    found = outcome(sandbox, tmp_path, f"open('metrics.jsonl', 'w').write({ROWS!r})\n")
    assert (found.status, found.val_loss, found.reason) == (Status.OK, 0.35, "")
    assert found.score is not None
    assert found.score.kind == "printed"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("pass", "the script wrote no file out/metrics.jsonl"),
        ("os.symlink('/etc/passwd', 'metrics.jsonl')", "is a symbolic link"),
        ("os.symlink('nowhere', 'metrics.jsonl')", "is a symbolic link"),
        ("os.mkfifo('metrics.jsonl')", "is a folder, a pipe or a device"),
        ("os.mkdir('metrics.jsonl')", "is a folder, a pipe or a device"),
        ("open('metrics.jsonl', 'wb').write(bytes(range(256)))", "is not UTF-8 text"),
        (f"open('metrics.jsonl', 'w').write('x' * {MOST_BYTES + 1})", "is larger than 8 MiB"),
        ("open('metrics.jsonl', 'w').write('{\"val/loss\": NaN}')", "is nan, which is not a finite number"),
        ("open('metrics.jsonl', 'w').write('{\"loss\": 1}')", "has no value of 'val/loss'; it has loss"),
        ("open('metrics.jsonl', 'w')", "has no value of 'val/loss'"),
    ],
)
def test_what_is_no_such_file_is_a_rejected_score(sandbox: Sandbox, tmp_path: Path, code: str, reason: str) -> None:
    found = outcome(sandbox, tmp_path, code)
    assert found.status is Status.REJECTED_SCORE
    assert reason in found.reason


def test_a_file_that_the_output_cannot_hold_is_refused_as_a_whole(sandbox: Sandbox, tmp_path: Path) -> None:
    code = f"open('metrics.jsonl', 'w').write({ROWS!r}.ljust(2**20))\n"
    found = outcome(sandbox, tmp_path, code, output_mb=1)
    assert (found.status, "or than output_mb" in found.reason) == (Status.REJECTED_SCORE, True)


def test_a_script_that_fails_fails_as_it_would_without_the_file(sandbox: Sandbox, tmp_path: Path) -> None:
    found = outcome(sandbox, tmp_path, f"open('metrics.jsonl', 'w').write({ROWS!r})\nraise SystemExit(3)\n")
    assert (found.status, found.reason[:6]) == (Status.CRASHED, "exit 3")


def value(folder: Path, file: str, text: str, key: str, pick: str = "last", *, goal: str = "minimise") -> float:
    content = text.encode()
    (folder / "artifact").write_bytes(f"file {len(content)}\n".encode() + content)
    spec = ScoreSpec.model_validate({"kind": "printed", "file": file, "key": key, "pick": pick})
    return read_metric_file(folder / "artifact", spec, Metric(goal=goal))  # type: ignore[arg-type]


CSV = "epoch, val_loss,train_loss\n0,0.5,\n1,,0.9\n2,0.25,0.8\n3,nan,0.7\n4,0.3,\n"
HISTORY = json.dumps({"log_history": [{"loss": 1.0}, {"eval_loss": 0.5}, {"eval_loss": 0.4}, {"runtime": 3}]})


@pytest.mark.parametrize(
    ("file", "text", "key", "pick", "goal", "expected"),
    [
        ("m.jsonl", ROWS, "val/loss", "last", "minimise", 0.35),
        ("m.jsonl", ROWS, "val/loss", "best", "minimise", 0.3),
        ("m.jsonl", ROWS, "val/loss", "best", "maximise", 0.4),
        ("m.jsonl", '{"val": {"loss": 0.5}}\n\n', "val/loss", "last", "minimise", 0.5),
        ("m.jsonl", '{"val": {"loss": "tensor(0.5)"}}', "val.loss", "last", "minimise", 0.5),
        ("m.json", '{"a.b": {"c/d": 2}}', "a.b.c/d", "last", "minimise", 2.0),
        ("m.json", '{"history": {"val_loss": [3, 1, 2]}}', "history.val_loss", "best", "minimise", 1.0),
        ("m.json", '[{"v": 3}, {"v": 1}]', "v", "last", "minimise", 1.0),
        ("m.json", '{"v": 3}\n{"v": 1}\n', "v", "last", "minimise", 1.0),
        ("trainer_state.json", HISTORY, "log_history.eval_loss", "last", "minimise", 0.4),
        ("m.csv", CSV, "val_loss", "last", "minimise", 0.3),
        ("m.csv", CSV, "val_loss", "best", "minimise", 0.25),
        ("m.csv", "\ufeffa,b\n1,2\n", "a", "last", "minimise", 1.0),
        ("m.tsv", "a\tb\n1\t2,000.5\n", "b", "last", "minimise", 2000.5),
    ],
)
def test_a_value_is_found_in_each_kind_of_file(
    tmp_path: Path, file: str, text: str, *, key: str, pick: str, goal: str, expected: float
) -> None:
    assert value(tmp_path, file, text, key, pick, goal=goal) == expected


@pytest.mark.parametrize(
    ("file", "text", "key", "reason"),
    [
        ("m.jsonl", '{"v": 1}\n{"v": 0.', "v", "line 2 is not JSON"),
        ("m.jsonl", '{"v": "0.31s"}', "v", "v is '0.31s', which is no number"),
        ("m.jsonl", '{"v": true}', "v", "v is 'True', which is no number"),
        ("m.json", "[" * 100_000, "v", "m.json is nested too deeply"),
        ("m.json", "[" * 700 + "]" * 700, "v", "m.json is nested too deeply"),
        ("m.jsonl", '{"v": ' + "[" * 700 + "]" * 700 + "}", "v", "m.jsonl"),
        ("m.json", "loss = 1", "v", "is not JSON"),
        ("m.csv", 'a\n"1\n', "b", "has no value of 'b'"),
        ("m.csv", "a\n1.2.3\n", "a", "a is '1.2.3', which is no number"),
        ("m.csv", "a\n" + "1" * 200_000, "a", "not a table"),
        ("m.csv", "", "a", "has no value of 'a'"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, file: str, text: str, key: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        value(tmp_path, file, text, key)


@pytest.mark.parametrize(
    "given",
    [
        {"file": "m.txt", "key": "v"}, {"file": "../m.json", "key": "v"}, {"file": "m.json"}, {"key": "v"},
        {"pick": "best"},
        {"file": "m.json", "key": "v", "line": "v {}"}, {"file": "m.json", "key": "v", "pick": "mean"},
        {"file": "-m.json", "key": "v"},
    ],
)  # fmt: skip
def test_a_table_that_names_no_one_value_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        ScoreSpec.model_validate({"kind": "printed", **given})
