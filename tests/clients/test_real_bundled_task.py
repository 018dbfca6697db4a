"""The four real programs on the bundled task: six trials each, of a scripted model, in our sandbox."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from agent.resources import folder
from agent.trials.trial import Status
from tests.clients.install import Client
from tests.clients.proposing import Host, edit, one_plan_for_each

pytestmark = [pytest.mark.long, pytest.mark.parametrize("name", ["codex", "claude", "opencode", "gemini"])]

BUNDLED = folder("train_template")
IMPROVEMENT = r"""sed -i \
 -e 's/^        self.head = Linear(WIDTH, vocab_size)/&\n        self.bias = nn.Parameter(torch.zeros(vocab_size))/' \
 -e 's/^        logits = self.head(normalise(x)).float()/& + self.bias/' \
 -e 's/^        Adam(\[model.mix\], .*/&\n        Adam([model.bias], 0.1),/' train.py && ./check"""
UNDONE = r"""sed -i -e '/^        self.bias = /d' -e 's/ + self.bias//' -e '/^        Adam(\[model.bias\]/d' train.py"""
CRASH = r"sed -i 's/^        logits = .*/&\n        logits = softcap(logits, 15)/' train.py && ./check"
MENDED = "sed -i '/softcap/d' train.py"


def value(name: str, number: float) -> str:
    """Return a command that sets a value of the script."""
    return f"sed -i 's/^{name} = [0-9.]*/{name} = {number}/' train.py"


@pytest.fixture
def host(name: str, installed: Callable[[str], Client], tmp_path: Path, cache: Path) -> Host:
    """A machine on which `agent prepare` has prepared the bundled task."""
    prepared = [path for path in user_cache_path("autocentaur").glob("tiny-gpt-*") if path.is_dir()]
    if not prepared:
        pytest.skip("the data of the bundled task is not prepared: run `agent prepare`")
    for path in prepared:
        if not (cache / path.name).exists():
            shutil.copytree(path, cache / path.name)
    return Host(tmp_path, cache, name, installed(name))


def test_six_trials(host: Host) -> None:
    name = host.name
    plans = [
        edit(name, IMPROVEMENT, title="the output layer has a bias"),
        edit(name, CRASH, f"{MENDED} && {value('WARMDOWN_RATIO', 0.6)} && ./check", title="a longer warmdown"),
        edit(name, f"{UNDONE} && {value('WARMDOWN_RATIO', 0.5)}", title="as at the start"),
        edit(name, "echo 'print(\"val_bpb: 0.0\")' >> train.py", title="a perfect loss"),
        edit(name, value("MATRIX_LR", 0.005), title="matrices learn slowly"),
        edit(name, "rm train.py", title="remove it"),
    ]
    with host.model(one_plan_for_each(plans)) as model:
        code, printed = model.run("--trials", "7", "--no-confirm", task=BUNDLED)
    assert (code, model.endpoint.faults) == (0, []), printed
    baseline, improved, mended, copied, cheat, worse, removed = host.trials
    assert [trial.proposal.title for trial in host.trials[1:]] == [
        *("the output layer has a bias", "a longer warmdown", "as at the start"),
        *("a perfect loss", "matrices learn slowly", "remove it"),
    ]
    assert [trial.status for trial in host.trials] == [
        *(Status.OK, Status.OK, Status.OK, Status.DUPLICATE, Status.OK, Status.OK, Status.INVALID_EDIT)
    ]
    assert improved.kept
    assert improved.val_loss is not None
    assert baseline.val_loss is not None
    assert improved.val_loss < baseline.val_loss
    shown = host.run.trial(2).llm.read_text()
    assert "NameError" in shown
    assert "ok: one step ran" in shown
    assert "softcap" not in mended.proposal.edit.apply("")
    assert copied.proposal.copied_from == "trial 0"
    assert not cheat.kept
    assert cheat.val_loss is not None
    assert cheat.val_loss > 1.0  # what it printed counts for nothing
    assert worse.val_loss is not None
    assert worse.val_loss > improved.val_loss
    assert "it was deleted" in removed.proposal.reason
    print(f"{name}: baseline {baseline.val_loss}, improved {improved.val_loss}, mended {mended.val_loss}")
