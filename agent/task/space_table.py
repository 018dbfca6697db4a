"""The search space that a task declares: [space] with its constraints, [derived], and the script's own values in it."""

from pathlib import Path

from agent.edits.assignments import all_constants, read_constants
from agent.errors import EditError, TaskError
from agent.search.memory_model import MemoryModel
from agent.search.space import SearchSpace
from agent.task.spec import TaskDocument
from agent.task.toml_lines import line_of

CONSTRAINTS = "constraints"
"""The key of [space] that is no parameter."""


def read_space(
    path: Path, text: str, document: TaskDocument, profile: str | None, source: str | None
) -> SearchSpace | None:
    """Return the space, None if the task declares none.

    Args:
        path: of task.toml, for messages.
        text: of task.toml.
        document: task.toml with one profile applied.
        profile: its name.
        source: the script, whose constants the constraints may name; None: leave the constraints out. They are a rule
            for proposals, and a trial's script may have changed what made them necessary.

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
        constants = {} if source is None else all_constants(source, any_case=True)
        space = SearchSpace.from_tables(tables, document.derived, [] if source is None else texts, constants)
        if document.memory:
            MemoryModel.from_table(document.memory, space.names, document.limits.memory_gb)
        return space
    except ValueError as error:
        keys = tuple(str(error).partition(":")[0].split("."))
        line = line_of(text, ("profiles", str(profile), *keys), keys)
        raise TaskError(f"{path}:{line}: {error}") from error


def check_values(path: Path, source: str, space: SearchSpace | None) -> None:
    """Raise TaskError if the own values of the script at `path` are not a point of the space."""
    try:
        own = read_constants(source, space.names) if space else {}
    except EditError as error:
        raise TaskError(f"{path}: {error}") from error
    problems = space.validate(own) if space else []
    if problems:
        raise TaskError(f"{path}: the script's own values are outside the space: {problems[0]}")
