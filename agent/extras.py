"""The optional packages: which extra brings which modules, what needs them, and the message where one is missing.

pyproject.toml lists the same extras with the versions of their packages; tests/test_packaging.py compares the two.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec

from agent.errors import MissingRequirementError


@dataclass(frozen=True)
class Extra:
    """One extra of the package."""

    name: str
    modules: tuple[str, ...]  # that it brings, as they are imported
    needed_by: str  # for the table in docs/install.md


_ROWS = (
    Extra("torch", ("torch", "rustbpe", "tiktoken"), "the bundled task, and other tasks that import PyTorch"),
    Extra("report", ("matplotlib", "optuna"), "`--png` of `agent report` and `agent compare`; parameter importance"),
    Extra("serve", ("starlette", "uvicorn", "sse_starlette"), "`agent serve`"),
    Extra("optuna", ("optuna",), "modes `tpe` and `optuna:NAME`"),
    Extra("local", ("xllamacpp",), "the embedded model's server; its weights: see the page on models"),
    Extra("mcp", ("mcp",), "`agent mcp`"),
    Extra("mlflow", ("mlflow",), "`--track mlflow`"),
    Extra("tensorboard", ("tensorboardX",), "`--track tensorboard`"),
    Extra("wandb", ("wandb",), "`--track wandb`"),
    Extra("dataframe", ("pandas",), "`to_dataframe()` of `agent.api`"),
    Extra("parquet", ("pyarrow",), "parquet files as the text of the bundled task"),
    Extra("ray", ("ray",), "`--on ray`"),
    Extra("socks", ("socksio",), "a model endpoint behind a SOCKS proxy"),
)
EXTRAS = {row.name: row for row in _ROWS}

_NO_MODULE = re.compile(r"No module named '(\w+)")


def install_line(extra: str) -> str:
    """Return the command that installs an extra."""
    assert extra in EXTRAS
    return f"pip install 'autocentaur[{extra}]'"


def install_hint(message: str) -> str:
    """Return what to add to Python's message about a missing module; empty if no extra brings that module."""
    found = _NO_MODULE.search(message)
    extra = next((row for row in _ROWS if found and found[1] in row.modules), None)
    return f": {install_line(extra.name)}" if extra is not None else ""


def missing_modules(extra: str) -> tuple[str, ...]:
    """Return the modules of an extra that this program's interpreter does not find."""
    return tuple(name for name in EXTRAS[extra].modules if find_spec(name) is None)


def require_extra(extra: str, needed_by: str, instead: str = "") -> None:
    """Return if the modules of an extra are installed.

    Args:
        needed_by: what needs them, as the subject of the message.
        instead: what works without them, for the end of the message; empty: nothing.

    Raises:
        MissingRequirementError: one is not installed; the message has the command that installs it.
    """
    missing = missing_modules(extra)
    if missing:
        *first, last = missing
        what = f"{', '.join(first)} and {last}, which are" if first else f"{last}, which is"
        lack = f"{needed_by} needs {what} not installed: {install_line(extra)}"
        raise MissingRequirementError(f"{lack}; {instead}" if instead else lack)
