"""The hand-written edits of examples/edits-night: they apply in any order, and each trains."""

import math
import random
from pathlib import Path

import pytest
import torch

from agent.edits.assignments import Assignments, all_constants
from agent.task.task import Task
from benchmarks.edits_night.edits import FOLDER, HandEdit, read_edits, shuffled
from tests.train_template.conftest import SEQ_LEN, TEMPLATE, VOCAB, job_environment, module_at

SOURCE = (TEMPLATE / "train.py").read_text()
EDITS = read_edits()


def test_there_are_24_edits_of_all_kinds_and_expectations() -> None:
    assert len(EDITS) == len({edit.title for edit in EDITS}) == 24
    kinds = {edit.kind for edit in EDITS}
    assert kinds >= {
        "normalisation",
        "activation",
        "initialisation",
        "optimizer",
        "schedule",
        "data order",
        "averaging",
    }
    assert {edit.expected for edit in EDITS} == {"better", "neutral", "worse"}


def test_the_readme_lists_every_edit_with_its_kind_and_expectation() -> None:
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == 24
    for edit in EDITS:
        names = ", ".join(f"`{name}`" for name in edit.constants())
        assert f"| `{edit.name}` | {edit.kind} | {edit.title} | {names} | {edit.expected} |" in rows


def test_any_of_them_apply_in_any_order_to_one_script() -> None:
    """200 random subsets, each in two random orders, compile to the same script."""
    chance = random.Random(0)
    for _ in range(200):
        chosen = chance.sample(EDITS, chance.randint(1, len(EDITS)))
        sources = []
        for _ in range(2):
            chance.shuffle(chosen)
            source = SOURCE
            for edit in chosen:
                assert not edit.is_in(source)
                source = edit.blocks.apply(source)
            sources.append(source)
        assert sources[0] == sources[1]
        compile(sources[0], "train.py", "exec")
        assert [edit for edit in EDITS if edit.is_in(sources[0])] == sorted(chosen, key=lambda edit: edit.name)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_is_found_and_others_apply_under_other_values(edit: HandEdit) -> None:
    """A searcher has changed every number: those of the task's space, and those that the edit exposes."""
    space = Task.load(TEMPLATE).space
    assert space is not None
    source = edit.blocks.apply(SOURCE)
    added = set(all_constants(source)) - set(all_constants(SOURCE))
    assert added == set(edit.constants())
    values = {name: value for name, value in all_constants(source).items() if name in added or name in space.names}
    assert values.keys() >= set(space.names)
    numbers = {name: value * 2 for name, value in values.items() if not isinstance(value, str)}
    tuned = Assignments({**numbers, "WINDOW_PATTERN": "L"}).apply(source)
    assert edit.is_in(tuned)
    for other in EDITS:
        if other is not edit:
            assert not other.is_in(tuned)
            assert other.is_in(other.blocks.apply(tuned))


def test_the_order_depends_on_the_seed_alone() -> None:
    orders = [[edit.name for edit in shuffled(EDITS, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == [edit.name for edit in EDITS]


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_each_trains_to_a_finite_loss_blind_to_later_tokens(
    edit: HandEdit, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.write_text(edit.blocks.apply(SOURCE))
    for name, value in job_environment(data, tmp_path / "model.pt", "steps", 20).items():
        monkeypatch.setenv(name, value)
    train = module_at(script)
    torch.set_num_threads(1)
    train.main()
    printed = dict(line.split(": ") for line in capsys.readouterr().out.splitlines() if line.count(": ") == 1)
    assert float(printed["train_loss"]) < math.log(VOCAB)
    predict = train.load(str(tmp_path / "model.pt"))
    tokens = torch.arange(SEQ_LEN)[None]
    other = tokens.clone()
    other[:, SEQ_LEN // 2 :] += 7
    with torch.no_grad():
        logits, others = predict(tokens), predict(other)
    assert torch.equal(logits, predict(tokens))
    assert torch.allclose(logits[:, : SEQ_LEN // 2], others[:, : SEQ_LEN // 2], atol=1e-5)
    assert not torch.allclose(logits, others, atol=1e-3)
