"""What commands print about a run of mode centaur-code: the parts of each kind of turn, and what numbers changed."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.cli.setup.schema import schema_of
from tests.agent.modes.centaur_code.test_runs import replies
from tests.kill_anywhere.killed_runs import INSTANT, Zygote


def printed(here: Zygote, *argv: str) -> Any:
    """Return the document of a command, which fits its schema."""
    assert here.agent(*argv, "--json") == 0, here.said
    document = json.loads(here.said[here.said.index("{\n") :])
    jsonschema.Draft202012Validator(schema_of(argv[0])).validate(document)
    return document


@pytest.mark.slow
def test_log_best_and_attribute_have_the_parts_of_structure_and_numbers(warm: Zygote, tmp_path: Path) -> None:
    here = warm.within(tmp_path)
    model = ["--model", replies(here.folder), "--name", "r"]
    run = printed(here, "run", "--task", str(INSTANT), "--mode", "centaur-code", *model, "--trials", "6")
    structure, numbers = run["turns"]
    assert (structure["kind"], numbers["kind"]) == ("structure", "numbers")
    assert structure["trials"] + numbers["trials"] == 5
    loss = {trial["number"]: trial["val_loss"] for trial in run["trials"]}
    assert structure["gain"] + numbers["gain"] == pytest.approx(loss[0] - loss[run["incumbent"]])
    for argv in (("log", "r"), ("best", "r"), ("attribute", "r", "--seeds", "1")):
        assert printed(here, *argv)["turns"] == run["turns"]


@pytest.mark.slow
def test_a_run_of_another_mode_has_none(warm: Zygote, tmp_path: Path) -> None:
    here = warm.within(tmp_path)
    other = printed(here, "run", "--task", str(INSTANT), "--mode", "random", "--trials", "2", "--name", "other")
    assert other["turns"] == []


@pytest.mark.slow
def test_show_lists_the_constants_that_a_tuning_trial_changed(warm: Zygote, tmp_path: Path) -> None:
    """They are those in its title, which its parent's script has; the task's space, if any, has only some of them."""
    here, task = warm.within(tmp_path), tmp_path / "plain"
    task.mkdir()
    toml = (INSTANT / "task.toml").read_text()
    (task / "task.toml").write_text(toml[: toml.index("[space]")])
    (task / "train.py").write_text((INSTANT / "train.py").read_text())
    model = ["--model", replies(here.folder), "--name", "r"]
    printed(here, "run", "--task", str(task), "--mode", "centaur-code", *model, "--trials", "2")
    first = printed(here, "show", "r/1")
    assert (first["origin"], first["params"]) == ("searcher", None)
    assert here.agent("show", "r/1") == 0
    changed = re.findall(r"^  (\w+) .* → ", here.said, re.MULTILINE)
    assert changed
    assert set(changed) == set(re.findall(r"(\w+) \S+→", first["title"]))
