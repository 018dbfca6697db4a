"""A task: a folder with the script, its frozen files and task.toml. It is validated strictly before anything runs."""

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Params
from agent.edits.source_text import other_encoding
from agent.edits.syntax import parse_script
from agent.errors import EditError, TaskError
from agent.search.memory_model import MemoryModel
from agent.task.curve_format import CurveFormat, compiled
from agent.task.space_table import check_values, read_space
from agent.task.spec import POOL_KEYS, EnvironmentSpec, TaskDocument
from agent.task.task_files import content_of, expanded, read_entries, text_of
from agent.task.toml_lines import hidden_text, line_of, without
from agent.task.validation_errors import UNKNOWN, in_words

CONFIG_NAME = "task.toml"
CANARY_SHARE = 0.015  # of a trial's budget in seconds
CANARY_SECONDS = (1.0, 10.0)  # minimum and maximum
_TABLES = (
    *("data", "score", "budget", "limits", "set", "noise", "keep", "curve", "machine"),
    *("values", "space", "derived", "memory", "hints"),
)

RETIRED: Mapping[tuple[str, str], str] = {
    ("machine", "ignore"): "no loss is corrected for the machine's speed",
    ("machine", "slope"): "no loss is corrected for the machine's speed",
    ("memory", "estimate"): "[memory] terms, fitted to the run's own trials, predict what will not fit",
}
"""Keys of earlier versions, by table and name, and why they have no effect any more. They are ignored."""


class Task:
    """A validated task with one profile applied; all that a run needs to know, read once."""

    def __init__(
        self, folder: Path, files: Mapping[str, bytes], profile: str | None = None, *, as_is: bool = False
    ) -> None:
        """Validate a task given as its files.

        Args:
            folder: where the files are from, for messages.
            files: at least task.toml, the script and the frozen files, by relative path.
            profile: name of the profile; None: the task's default.
            as_is: use the script unchanged, as it ran in a trial, without writing the profile's values into it.

        Raises:
            TaskError: something is missing or invalid; the message has file and line.
        """
        self.folder = folder
        text = text_of(_required(folder, files, CONFIG_NAME), folder / CONFIG_NAME)
        document, self.profile, self.profiles, self.retired = _parse(folder / CONFIG_NAME, text, profile)
        self.name = document.task.name
        self.script = document.task.script
        self.frozen_entries = document.task.frozen  # as written: files and folders
        kept = {CONFIG_NAME, self.script}
        self.frozen = expanded(self.frozen_entries, files, {*kept, *document.data.pool_files})
        self.command = document.task.command
        self.metric = document.metric
        self.score = document.score
        self.environment = _placed(document.environment, folder)
        self.data = document.data
        self.budget = document.budget
        self.limits = document.limits
        self.variables = document.set
        self.noise = document.noise
        self.keep = document.keep
        self.curve = document.curve
        self.machine = document.machine
        self._memory = document.memory
        missing = [name for name in (self.script, *self.frozen, *self.data.pool_files) if name not in files]
        if missing:
            raise TaskError(f"{folder}: {missing[0]} is missing, but {CONFIG_NAME} names it")
        script = text_of(files[self.script], folder / self.script, keeps_mark=True)
        if not as_is and (encoding := other_encoding(script)):
            raise TaskError(f"{folder / self.script}: {encoding}")
        self.source = _baseline(folder / self.script, script, {} if as_is else document.values)
        self.space = read_space(folder / CONFIG_NAME, text, document, self.profile, self.source, as_is=as_is)
        check_values(folder / self.script, self.source, self.space)
        self.hints = document.hints  # the start values of --hints
        if not as_is:  # hints complete the baseline's values, not those of a trial
            self._check_hints(text)
        self._check_pool(text)
        self.no_pool = ""  # why a task read from a commit has no pool, although its folder may declare one
        self.pool_files = {name: files[name] for name in self.data.pool_files}  # no job and no commit sees them
        own = {CONFIG_NAME: without(text, _is_of_pool).encode(), self.script: self.source.encode()}
        self.files = {name: files[name] for name in sorted({*kept, *self.frozen})} | own

    @classmethod
    def load(cls, folder: Path, profile: str | None = None) -> "Task":
        """Read and validate the task in `folder`. Raises TaskError as the constructor does."""
        if not (folder / CONFIG_NAME).is_file():
            raise TaskError(f"{folder} has no {CONFIG_NAME}: give the folder of a task with --task DIR")
        content = content_of(folder / CONFIG_NAME)
        document, *_ = _parse(folder / CONFIG_NAME, text_of(content, folder / CONFIG_NAME), profile)
        names = (document.task.script, *document.task.frozen, *document.data.pool_files)
        files = {**read_entries(folder, names, CONFIG_NAME), CONFIG_NAME: content}
        return cls(folder, files, profile)

    @property
    def canary_seconds(self) -> float:
        """Duration of one canary."""
        share = CANARY_SHARE * self.budget.amount
        return self.machine.seconds or min(max(share, CANARY_SECONDS[0]), CANARY_SECONDS[1])

    @property
    def curve_format(self) -> CurveFormat | None:
        """How the script prints its learning curve; None if the task declares none."""
        return None if self.curve is None else CurveFormat(compiled(self.curve.pattern), self.budget.amount)

    def _check_hints(self, text: str) -> None:
        """Raise TaskError unless the hints, completed by the script's own values, are a point of the space."""
        names = self.space.names if self.space else ()
        problems = [f"{name}: is not a name of the space" for name in self.hints if name not in names]
        if self.space is not None and not problems:
            problems = self.space.validate({**self.defaults, **self.hints})
        if problems:
            line = line_of(text, ("profiles", str(self.profile), "hints"), ("hints",))
            raise TaskError(f"{self.folder / CONFIG_NAME}:{line}: hints.{problems[0]}")

    def _check_pool(self, text: str) -> None:
        """Raise TaskError if the pool cannot be used, or is not separate from the rest of the task."""
        own = {os.path.normpath(name) for name in (CONFIG_NAME, self.script, *self.frozen)}
        shared = [name for name in self.data.pool_files if os.path.normpath(name) in own]
        inside = any(_is_of_pool(keys) for keys in _paths(tomllib.loads(without(text, _is_of_pool))))
        if shared:
            key, what = "pool_files", f"every job would see {shared[0]}; give the pool a separate file"
        elif inside:
            key, what = (
                "pool",
                "write each key of the pool on its own line, so that the task's digest stays the same",
            )
        elif self.data.pool and not (self.data.prepare and self.score.row.takes_pool):
            key, what = (
                "pool",
                "a pool needs score.kind = 'held_out' and [data] prepare: it is text, like val.bin",
            )
        else:
            return
        line = line_of(text, ("profiles", str(self.profile), "data", key), ("data", key))
        raise TaskError(f"{self.folder / CONFIG_NAME}:{line}: data.{key}: {what}")

    def memory_model(self) -> MemoryModel | None:
        """Return a new model that predicts memory; None if the task declares no terms for it."""
        if self.space is None or not self._memory:
            return None
        return MemoryModel.from_table(self._memory, self.space.names, self.limits.memory_gb)

    @property
    def digest(self) -> str:
        """Hash of what defines this task and profile: files, baseline script, profile name; not the pool."""
        state = hashlib.sha256(str(self.profile).encode())
        for name, content in sorted(self.files.items()):
            state.update(f"\0{name}\0{len(content)}\0".encode() + content)
        return state.hexdigest()[:16]

    @property
    def defaults(self) -> Params:
        """The baseline's value of every name of the space; empty without a space."""
        return read_constants(self.source, self.space.names) if self.space else {}


def _is_of_pool(keys: tuple[str, ...]) -> bool:
    """Whether a path of keys of task.toml concerns the pool; such keys do not count in the task's digest."""
    return keys[-2:-1] == ("data",) and keys[-1] in POOL_KEYS and len(keys) == (4 if keys[0] == "profiles" else 2)


def _paths(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key of a table and of its nested tables."""
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


def _placed(environment: EnvironmentSpec, folder: Path) -> EnvironmentSpec:
    """Return the environment with its interpreter and mounts as absolute paths, links of mounts resolved."""
    python, above = environment.python, folder.absolute()
    if python is not None and "/" in python:
        python = str(above / os.path.expanduser(python))
    mounts = [
        mount.model_copy(update={"source": os.path.realpath(above / os.path.expanduser(mount.source))})
        for mount in environment.mounts
    ]
    return environment.model_copy(update={"python": python, "mounts": tuple(mounts)})


def _parse(path: Path, text: str, profile: str | None) -> tuple[TaskDocument, str | None, list[str], tuple[str, ...]]:
    """Return the document, the chosen profile, the names of all profiles, and a sentence for each retired key."""
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TaskError(f"{path}: not valid TOML: {error}") from error
    if found := hidden_text(raw):
        keys, hidden = found
        raise TaskError(
            f"{path}:{line_of(text, keys)}: {'.'.join(keys)} contains {hidden}, which is invisible; remove it"
        )
    profiles: dict[str, dict[str, Any]] = raw.pop("profiles", {})
    _check_tables(path, text, raw, profiles)
    chosen = profile or raw.get("task", {}).get("profile")
    if chosen is not None and chosen not in profiles:
        known = ", ".join(profiles) or "none"
        raise TaskError(f"{path}: there is no profile {chosen!r}; choose one of: {known}")
    for table, overlay in profiles.get(chosen, {}).items() if chosen else ():
        if table not in _TABLES:
            line = line_of(text, ("profiles", str(chosen), table))
            raise TaskError(f"{path}:{line}: unknown table [profiles.{chosen}.{table}]; known: {', '.join(_TABLES)}")
        raw[table] = {**raw.get(table, {}), **overlay}
    retired = _drop_retired(raw)
    try:
        return TaskDocument.model_validate(raw), chosen, list(profiles), retired
    except ValidationError as error:
        # A misspelt key is also a missing one; the message about the unknown key helps more.
        first = min(error.errors(), key=lambda fault: fault["type"] not in UNKNOWN)
        where = tuple(str(part) for part in first["loc"])
        line = line_of(text, ("profiles", str(chosen), *where), where)
        raise TaskError(f"{path}:{line}: {'.'.join(where)}: {in_words(first)}") from error


def _drop_retired(raw: Mapping[str, dict[str, Any]]) -> tuple[str, ...]:
    """Remove the retired keys from the data of task.toml; return a sentence for each that was present."""
    found = [(table, key) for table, key in RETIRED if key in raw.get(table, {})]
    for table, key in found:
        del raw[table][key]
    if ("memory", "estimate") in found and "terms" not in raw["memory"]:
        raw["memory"].clear()  # an estimate needed no terms; without terms there is no memory model
    return tuple(
        f"{CONFIG_NAME}: [{table}] {key} has no effect any more and is ignored: {RETIRED[table, key]}"
        for table, key in found
    )


def _check_tables(path: Path, text: str, raw: Mapping[str, Any], profiles: Any) -> None:
    """Raise TaskError unless all known tables, `profiles`, each profile and everything in a profile are tables."""
    tables: list[tuple[tuple[str, ...], Any]] = [(("profiles",), profiles)]
    for name in TaskDocument.model_fields.keys() & raw.keys():
        if not isinstance(raw[name], dict):
            tables.append(((name,), raw[name]))
    while tables:
        keys, value = tables.pop()
        if not isinstance(value, dict):
            raise TaskError(f"{path}:{line_of(text, keys)}: {'.'.join(keys)}: it should be a table, not {value!r}")
        if len(keys) < 3:
            tables += [((*keys, name), inner) for name, inner in value.items()]


def _baseline(path: Path, source: str, values: Params) -> str:
    """Return the script with the profile's values written into it. Raises TaskError if it cannot have them."""
    try:
        parse_script(source)
    except SyntaxError as error:
        raise TaskError(f"{path}:{error.lineno}: does not parse: {error.msg}") from error
    try:
        return Assignments(values).apply(source) if values else source
    except EditError as error:
        raise TaskError(f"{path}: {error}") from error


def _required(folder: Path, files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise TaskError(f"{folder}: {name} is missing")
    return files[name]
