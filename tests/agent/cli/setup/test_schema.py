"""`agent schema`: each document that `--json` prints has a version and fits its schema, and no other key."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main

from agent.cli.main import app
from agent.cli.setup.schema import DOCUMENTS, NOTIFICATION, schema_of
from tests import commands
from tests.kill_anywhere.killed_runs import INSTANT

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
Agent = Callable[..., Any]


def strict(schema: Any) -> Any:
    """Return a schema that allows no key besides those that it has."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(part) for key, part in schema.items()}
    return made | ({"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {})


def check(document: Any, command: str) -> None:
    assert document["version"] == 1
    jsonschema.Draft202012Validator(strict(schema_of(command))).validate(document)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task whose metric is called like a key of a trial, a run and a comparison."""
    folder = tmp_path_factory.mktemp("schema")
    shutil.copytree(INSTANT, folder / "task")
    for name, was, now in (
        ("task.toml", 'name = "loss"\ngoal = "minimise"', 'name = "score"\ngoal = "maximise"'),
        ("train.py", "---\\nloss:", "---\\nscore:"),
    ):
        path = folder / "task" / name
        assert was in path.read_text()
        path.write_text(path.read_text().replace(was, now))
    for argv in (
        ("run", "--task", "task", "--mode", "random", "--trials", "4", "--name", "r"),
        ("compare", "--task", "task", "--modes", "random,local", "--seeds", "2", "--trials", "2", "--name", "c"),
    ):
        done = commands.agent(*argv, cwd=folder, env=environment(folder))
        assert done.returncode == 0, done.stderr
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder)}


def printed(place: Path, *argv: str, code: int = 0) -> Any:
    done = commands.agent(*argv, "--json", cwd=place, env=environment(place))
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_each_command_with_json_has_a_schema() -> None:
    with_json = {name for name, each in COMMANDS.items() if any("--json" in option.opts for option in each.params)}
    assert with_json == set(DOCUMENTS) - {NOTIFICATION}
    for command in DOCUMENTS:
        jsonschema.Draft202012Validator.check_schema(schema_of(command))


@pytest.mark.parametrize(
    "argv",
    [
        ("log", "r"), ("log", "r", "--kept"), ("log", "r", "--verify"), ("show", "r/1"), ("best", "r"), ("diff", "r/1"),
        ("space", "task/train.py"), ("replay", "r/1"), ("replay", "r", "--all-kept"), ("compare", "c"),
        ("export", "r", "--out", "exported"), ("config", "--task", "task"), ("say", "r", "hello"),
        ("noise", "--task", "task", "--seeds", "2", "--runs", "others"),
        ("resume", "r", "--trials", "5"), ("attribute", "c-random-s0", "--seeds", "1"),
        ("init", "task", "--force"), ("runs",), ("rm", "r", "--yes"),
    ],
    ids=lambda argv: " ".join(argv[:3]),
)  # fmt: skip
def test_what_a_command_prints_fits_its_schema(place: Path, tmp_path: Path, argv: tuple[str, ...]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place, copy, symlinks=True)
    check(printed(copy, *argv), argv[0])


@pytest.mark.slow
def test_a_run_a_prompt_and_the_findings_of_the_doctor_fit_theirs(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place, copy, symlinks=True)
    replies = copy / "replies.jsonl"
    replies.write_text("")
    check(printed(copy, "run", "--task", "task", "--mode", "random", "--trials", "2", "--name", "s"), "run")
    done = commands.agent("doctor", "--task", "task", "--json", cwd=copy, env=environment(copy))
    check(json.loads(done.stdout), "doctor")


def test_clients_documents_fit_theirs(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(place, copy, symlinks=True)
    words = ("run", "--task", "task", "--mode", "submitted", "--trials", "3", "--name", "s")
    check(printed(copy, *words), "run")
    check(printed(copy, "brief", "s"), "brief")
    check(printed(copy, "budget", "s"), "budget")
    check(printed(copy, "notes", "s"), "notes")
    script = copy / "mine.py"
    script.write_text((copy / "task" / "train.py").read_text().replace("WIDTH = 2.0", "WIDTH = 1.0"))
    verdict = printed(copy, "submit", "s", "--script", "mine.py", "--wait")
    check(verdict, "submit")
    check(printed(copy, "wait", "s", verdict["submission"]), "wait")


def test_no_metrics_name_covers_a_key(place: Path) -> None:
    trial = printed(place, "log", "r")["trials"][0]
    assert trial["value"] == pytest.approx(1.93)
    assert trial["val_loss"] == pytest.approx(-1.93)
    assert trial["score"]["kind"] == "printed"
    assert printed(place, "log", "r")["metric"] == {"name": "score", "goal": "maximise"}


def test_without_a_command_all_schemas_are_printed_and_an_unknown_one_is_refused(place: Path) -> None:
    done = commands.agent("schema", cwd=place, env=environment(place))
    assert set(json.loads(done.stdout)["schemas"]) == set(DOCUMENTS)
    done = commands.agent("schema", "log", cwd=place, env=environment(place))
    assert json.loads(done.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    done = commands.agent("schema", "watch", cwd=place, env=environment(place))
    assert done.returncode == 2
    assert done.stderr.startswith("error: agent watch prints no JSON document; there are those of run, ")
