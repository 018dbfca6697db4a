"""The command `agent config`: the settings that a run starts from, each with the place that it is from."""

import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import typer

from agent.cli.options import Json, TaskFolder, config_folder, print_json, task_folder
from agent.cli.search_options.definitions import RunOptions
from agent.cli.setup.settings_files import (
    SETTINGS,
    TASK_FILE,
    USER_FILE,
    Chosen,
    merged,
    step_of,
    task_settings,
    user_settings,
)
from agent.cli.trust import is_agreed

app = typer.Typer()

VARIABLES = {"model": "OPENAI_MODEL", "base-url": "OPENAI_BASE_URL"}
"""Variables of the environment, by the setting that they win over."""


@app.command()
def config(*, task: TaskFolder = None, json_: Json = False) -> None:
    """Show the settings, and where each is from.

    Options win over the environment, that over autocentaur.toml beside the task, that over config.toml of the user.
    """
    from agent.store.run_config import DEFAULT_TRIALS
    from agent.text import inert

    folder = task_folder(task)
    tasks = task_settings(folder)
    is_trusted = not tasks or is_agreed(step_of(tasks, folder))
    found = _with_environment(merged(user_settings(), tasks))
    defaults = {f"{spec.name}": spec.default for spec in fields(RunOptions) if spec.default is not MISSING}
    if not any(key in found for key in ("trials", "budget", "wall")):
        defaults["trials"] = DEFAULT_TRIALS
    rows = [found.get(key) or Chosen(defaults.get(row.field), "default") for key, row in SETTINGS.items()]
    files = {USER_FILE: config_folder() / USER_FILE, TASK_FILE: folder / TASK_FILE}
    if json_:
        settings = {key: {"value": row.value, "source": row.source} for key, row in zip(SETTINGS, rows, strict=True)}
        paths = {"user_file": str(files[USER_FILE]), "task_file": str(files[TASK_FILE])}
        print_json({"settings": settings, **paths, "task_file_is_trusted": is_trusted})
        return
    values = ["-" if row.value is None else str(row.value) for row in rows]
    width = max(map(len, values))
    for key, value, row in zip(SETTINGS, values, rows, strict=True):
        print(inert(f"{key:12}  {value:{width}}  {row.source}").rstrip())
    print()
    for path, of in ((files[USER_FILE], "of the user"), (files[TASK_FILE], "of the task")):
        print(inert(f"{of}: {path}{'' if path.is_file() else ' (there is none)'}"))
    if not is_trusted:
        print(inert(f"a run asks first whether you trust that of the task: agent trust {_shown(folder)}"))


def _shown(folder: Path) -> str:
    return os.path.relpath(folder)


def _with_environment(found: dict[str, Chosen]) -> dict[str, Chosen]:
    """Return the settings with those of the environment, without their secrets."""
    from agent.llm.endpoint.address import shown_address

    values: dict[str, Any] = {key: os.environ.get(name, "").strip() for key, name in VARIABLES.items()}
    given = {key: Chosen(value, VARIABLES[key]) for key, value in values.items() if value}
    if "base-url" in given:
        given["base-url"] = Chosen(shown_address(given["base-url"].value), given["base-url"].source)
    kept = {key: chosen for key, chosen in found.items() if not (key == "price" and given)}
    return {**kept, **given}
