"""Applies the user's settings to the options of a command; see agent.cli.setup.settings_files."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import typer

from agent.cli.setup.settings_files import SETTINGS, merged, step_of, task_settings, user_settings
from agent.cli.trust import agree_to_settings

_WINNING = ("COMMANDLINE", "ENVIRONMENT")  # sources of an option's value that win over a setting
_Options = TypeVar("_Options")


def with_settings(ctx: typer.Context, options: _Options, folder: Path | None, *, trusted: bool) -> _Options:
    """Return the options of a command, with the settings for those that it has not got. Raises as `settings_for`."""
    found = settings_for(ctx, folder, trusted=trusted)
    known = {spec.name for spec in fields(options)}  # type: ignore[arg-type]
    return replace(options, **{name: value for name, value in found.items() if name in known})  # type: ignore[type-var]


def settings_for(ctx: typer.Context, folder: Path | None, *, trusted: bool) -> dict[str, Any]:
    """Return the settings by parameter of a command, without those that the command line or the environment gives.

    A price is that of the model and the endpoint in the same files, so it goes with either of them.

    Args:
        folder: of the task; None: the command has no task of its own, and only the user's file counts.
        trusted: whether the user has agreed, with this command, to what the file of the task sets.

    Raises:
        UsageError: a file is invalid, or the user has not agreed to that of the task.
    """
    tasks = task_settings(folder) if folder is not None else {}
    if folder is not None and tasks:
        agree_to_settings(step_of(tasks, folder), folder, trusted=trusted)
    use_endpoint_of_user()
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    taken = {name for name, source in sources.items() if source is not None and source.name in _WINNING}
    if taken & {"model", "base_url"}:
        taken.add("price")
    found = {SETTINGS[key].field: each.value for key, each in merged(user_settings(), tasks).items()}
    return {name: value for name, value in found.items() if name not in taken}


def use_endpoint_of_user() -> None:
    """Set OPENAI_BASE_URL to the address in the user's file, unless it is set: coding agents and a resume read it."""
    found = user_settings().get("base-url")
    if found is not None and not os.environ.get("OPENAI_BASE_URL", "").strip():
        os.environ["OPENAI_BASE_URL"] = str(found.value)
