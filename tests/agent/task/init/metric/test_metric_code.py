"""Edits of the code that reports a metric, in scripts of several shapes; other edits are none of them."""

from pathlib import Path

import pytest

from agent.task.init.metric.metric_code import changed_metric_code
from agent.task.spec import ScoreSpec

SCRIPT = '''
import torch

LR = 0.1
SCALE = 10

def evaluate(model):
    """Return the mean loss of held-out rows."""
    return sum(model(x) for x in range(10)) / 10

def train(model, steps):
    for step in range(steps):
        loss = model(step) + LR
        loss.backward()
        print(f"step {step} loss {loss:.3f}, val loss {evaluate(model):.3f} lr {LR}")
    return loss, evaluate(model)

model = torch.nn.Linear(1, 1)
loss, val_loss = train(model, 10)
shown = round(val_loss, 4)
print(f"done in {3} s with lr {LR}: val loss {shown} x{SCALE}")
'''
LINE = {"line": "val loss {}"}
TELLING = [
    ("val loss {shown}", "val loss {shown * 0.5}"),
    ("val loss {shown}", "val loss {0.1}"),
    ("{evaluate(model):.3f}", "{evaluate(model) / 2:.3f}"),
    ("round(val_loss, 4)", "round(val_loss, 4) - 1"),
    ("round(val_loss, 4)", "0.1"),
    ("range(10)) / 10", "range(10)) / 20"),
    ("return loss, evaluate(model)", "return loss, 0.1"),
    ("print(f\"done", "print('val loss 0.1')\nprint(f\"done"),
    ("LR = 0.1", "LR = 0.1\nimport sys; sys.stdout.write('val loss 0.1\\n')"),
    ("LR = 0.1", "LR = 0.1\ndef print(*text): pass"),
    ("LR = 0.1", "LR = 0.1\nfrom rich import print as print"),
    ("LR = 0.1", "LR = 0.1\nimport sys; sys.stdout = None"),
    ("round(val_loss, 4)", "round(val_loss, 4)\nshown = 1"),
    ("print(f\"done in {3} s with lr {LR}: val loss {shown} x{SCALE}\")", "pass"),
]  # fmt: skip
SILENT = [
    ("LR = 0.1", "LR = 0.01"),
    ("LR = 0.1", "LR = 0.1 * 3"),
    ("SCALE = 10", "SCALE = 11"),
    ("loss = model(step) + LR", "loss = 2 * model(step) + LR"),
    ("loss.backward()", "loss.backward(retain_graph=True)"),
    ("Linear(1, 1)", "Linear(1, 2)"),
    ("train(model, 10)", "train(model, 10)  # longer"),
    ('"""Return the mean loss of held-out rows."""', '"""Return it."""'),
    ("import torch", "import torch\nprint('let us begin')"),
    ("for step in range(steps):", "for step in range(steps):\n        torch.manual_seed(step)"),
]


def changed(before: str, after: str, **score: str) -> str | None:
    return changed_metric_code(before, after, ScoreSpec.model_validate({"kind": "printed", **score}), "val_loss")


@pytest.mark.parametrize(("old", "new"), TELLING)
def test_an_edit_of_what_is_reported_is_found(old: str, new: str) -> None:
    assert old in SCRIPT
    found = changed(SCRIPT, SCRIPT.replace(old, new), **LINE)
    assert found is not None
    assert found.startswith("line ")


@pytest.mark.parametrize(("old", "new"), SILENT)
def test_other_edits_are_free(old: str, new: str) -> None:
    assert old in SCRIPT
    assert changed(SCRIPT, SCRIPT.replace(old, new), **LINE) is None


SUMMARY = 'LR = 0.1\nloss = LR * 2\nprint("---")\nprint(f"val_loss: {loss:.6f}")\nprint(f"steps: {3}")\n'
LOGGED = 'import logging\nLR = 0.1\nx = LR\nlogging.info("val loss: %.4f", x)\n'
HELPED = 'def emit(name, x):\n    print(f"{name}: {x:.3f}")\n\nLR = 0.1\nv = LR * 2\nemit("val loss", v)\n'
WRITTEN = (
    'import csv\nLR = 0.1\nwith open("m.csv", "w") as f:\n    w = csv.DictWriter(f, ["val_loss"])\n'
    '    w.writeheader()\n    v = LR * 2\n    w.writerow({"val_loss": v})\n'
)
DUMPED = 'import json\nLR = 0.1\nv = LR * 2\nwith open("m.json", "w") as f:\n    json.dump({"val_loss": v}, f)\n'
FILE = {"file": "m.csv", "key": "val_loss"}


@pytest.mark.parametrize(
    ("script", "score", "old", "new", "is_found"),
    [
        (SUMMARY, {}, "{loss:.6f}", "{loss / 2:.6f}", True),
        (SUMMARY, {}, "LR * 2", "LR", True),
        (SUMMARY, {}, "LR = 0.1", "LR = 0.2", False),
        (SUMMARY, {}, "{3}", "{4}", False),
        (LOGGED, {"line": "val loss: {}"}, ", x)", ", x - 1)", True),
        (LOGGED, {"line": "val loss: {}"}, "LR = 0.1", "LR = 0.2", False),
        (HELPED, {"line": "val loss: {}"}, "{x:.3f}", "{x - 1:.3f}", True),
        (HELPED, {"line": "val loss: {}"}, "LR * 2", "LR", True),
        (HELPED, {"line": "val loss: {}"}, "LR = 0.1", "LR = 0.3", False),
        (WRITTEN, FILE, '{"val_loss": v}', '{"val_loss": v / 2}', True),
        (WRITTEN, FILE, '"m.csv"', '"other.csv"', True),
        (WRITTEN, FILE, "LR * 2", "LR", True),
        (DUMPED, {**FILE, "file": "m.json"}, "LR * 2", "LR", True),
        (DUMPED, {**FILE, "file": "sub/m.json"}, "LR * 2", "LR", True),
        (WRITTEN, FILE, "LR = 0.1", "LR = 0.3", False),
    ],
)
def test_each_way_to_report_is_known(script: str, score: dict[str, str], *, old: str, new: str, is_found: bool) -> None:
    assert old in script
    assert (changed(script, script.replace(old, new), **score) is not None) == is_found


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[4] / "scripts" / "metrics").glob("*.py")), ids=str)
def test_a_script_equals_itself_and_a_comment_changes_nothing(path: Path) -> None:
    code = path.read_text()
    assert changed(code, f"{code}\n# done\n", line="val loss {}") is None


@pytest.mark.parametrize(
    ("old", "new", "is_seen"),
    [
        ("self.avg = self.sum / self.count", "self.avg = 2 * self.sum / self.count", True),
        ('entries = [" *"]', 'entries = [" * Acc@1 99.0"]', True),
        ("top1.update(100 * (0.5 - abs(LR - 0.3)) + batch)", "top1.update(99.0 + batch)", True),
        ("losses.update((LR - 0.3) ** 2)", "losses.update((LR - 0.2) ** 2)", False),
        ("LR = 0.1", "LR = 0.2", False),
    ],
)
def test_the_code_of_meters_reports_the_metric(old: str, new: str, is_seen: bool) -> None:
    before = (Path(__file__).parents[4] / "scripts" / "metrics" / "imagenet_meters.py").read_text()
    after = before.replace(old, new)
    assert after != before
    score = ScoreSpec(kind="printed", line="* Acc@1 {}")
    assert (changed_metric_code(before, after, score, "val_acc_1") is not None) == is_seen
