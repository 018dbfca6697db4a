"""The search space that a task declares: [space] with its constraints, [derived], and the script's own values in it."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.edits.assignments import all_constants, read_constants
from agent.edits.edit import Params
from agent.errors import EditError, TaskError
from agent.search.memory_model import MemoryModel
from agent.search.space import SearchSpace
from agent.task.spec import TaskDocument
from agent.task.toml_lines import line_of

CONSTRAINTS = "constraints"
"""The key of [space] that is no parameter."""


def read_space(
    path: Path, text: str, document: TaskDocument, profile: str | None, source: str, *, as_is: bool = False
) -> SearchSpace | None:
    """Return the space, None if the task declares none.

    Args:
        path: of task.toml, for messages.
        text: of task.toml.
        document: task.toml with one profile applied.
        profile: its name.
        source: the script, whose constants the constraints may name.
        as_is: the script ran in a trial, and may have changed what made a constraint necessary: those that it does not
            meet, or whose names it lacks, are left out.

    Raises:
        TaskError: a table is wrong; the message has file and line.
    """
    tables = {name: table for name, table in document.space.items() if name != CONSTRAINTS or isinstance(table, dict)}
    texts = document.space[CONSTRAINTS] if CONSTRAINTS in document.space.keys() - tables.keys() else []
    try:
        if not tables:
            if texts:
                raise ValueError("space.constraints: there is no name beside them; declare the names to search")
            return None
        constants = all_constants(source, any_case=True) if texts else {}
        if as_is:
            space = _with_those_met(SearchSpace.from_tables(tables, document.derived), texts, constants)
        else:
            space = SearchSpace.from_tables(tables, document.derived, texts, constants)
        if document.memory:
            MemoryModel.from_table(document.memory, space.names, document.limits.memory_gb)
        return space
    except EditError as error:
        raise TaskError(f"{path.parent / document.task.script}: {error}") from error
    except ValueError as error:
        keys = tuple(str(error).partition(":")[0].split("."))
        line = line_of(text, ("profiles", str(profile), *keys), keys)
        raise TaskError(f"{path}:{line}: {error}") from error


def _with_those_met(space: SearchSpace, texts: Any, constants: Params) -> SearchSpace:
    """Return the space with the constraints that a script's own values meet."""
    met = []
    for text in texts if isinstance(texts, list) else []:
        with suppress(ValueError):
            constraint = space.constraint(text, constants)
            if constraint.names and constants.keys() >= {*constraint.names} and constraint.holds(constants):
                met.append(constraint)
    return replace(space, constraints=tuple(met))


def check_values(path: Path, source: str, space: SearchSpace | None) -> None:
    """Raise TaskError if the own values of the script at `path` are not a point of the space."""
    try:
        own = read_constants(source, space.names) if space else {}
    except EditError as error:
        raise TaskError(f"{path}: {error}") from error
    problems = space.validate(own) if space else []
    if problems:
        raise TaskError(f"{path}: the script's own values are outside the space: {problems[0]}")
