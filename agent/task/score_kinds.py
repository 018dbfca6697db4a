"""The kinds of score, one row each: what `[score] kind` in task.toml stands for, and all that differs between kinds.

A kind is a file in agent/execution/scoring that has `open_scorer(inputs)`, and a row here. This file imports nothing
slow: the commands that only read a run use the rows too.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

METRIC_FILES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Endings of the files that a metric can be in."""


@dataclass(frozen=True)
class ScoreKind:
    """One kind of score."""

    name: str  # in task.toml
    module: str  # has `open_scorer(inputs)`, see agent.execution.scoring.scorer
    recorded_as: str  # in journals and commits
    keys: frozenset[str] = frozenset()  # keys of [score] that belong to it alone
    needs: frozenset[str] = frozenset()  # those of them that a task must give
    is_self_reported: bool = False  # the script prints it: nothing checks it, and what the script saves is not read
    needs_data: bool = True  # [data] prepare, which also makes the test split
    compares_labels: bool = False  # the host compares answers with labels; such examples are divided into slices
    takes_pool: bool = False  # slices are made of a pool of text
    rehearses: bool = False  # a smoke job scores a few training sequences as well
    script_functions: tuple[str, ...] = ()  # that scoring calls, so that no edit may remove them
    unseen: str = "unseen text"  # what slices are of, in words

    @property
    def display_name(self) -> str:
        """What a person reads for it."""
        return "self-reported" if self.is_self_reported else self.recorded_as


HELD_OUT = ScoreKind(
    "held_out",
    "agent.execution.scoring.audited",
    "audited",
    takes_pool=True,
    rehearses=True,
    script_functions=("load",),
)
PREDICTIONS = ScoreKind(
    "predictions",
    "agent.execution.scoring.predictions",
    "predictions",
    keys=frozenset({"measure"}),
    needs=frozenset({"measure"}),
    compares_labels=True,
    unseen="unseen examples",
)
PRINTED = ScoreKind(
    "printed",
    "agent.execution.scoring.printed",
    "printed",
    keys=frozenset({"line", "between", "file", "key", "pick"}),
    is_self_reported=True,
    needs_data=False,
)
SCORE_KINDS = {row.name: row for row in (HELD_OUT, PREDICTIONS, PRINTED)}


def find_score_kind(name: str) -> ScoreKind | None:
    """Return the kind that task.toml, a journal or a commit calls so; None if this version has none of that name."""
    return next((row for row in SCORE_KINDS.values() if name in (row.name, row.recorded_as)), None)


def is_self_reported(name: str) -> bool:
    """Return whether a score of that kind is what a script printed."""
    row = find_score_kind(name)
    return row is not None and row.is_self_reported


def check_metric_file(file: str, key: str | None, line: str | None) -> None:
    """Raise ValueError unless the keys of [score] name one value in one file that the script can write."""
    path = PurePosixPath(file)
    if path.suffix.lower() not in METRIC_FILES or ".." in path.parts or file.startswith("-") or "\0" in file:
        kinds = f"{', '.join(METRIC_FILES[:-1])} or {METRIC_FILES[-1]}"
        raise ValueError(f"file should be the path of a {kinds} file where the script runs, without .., not {file!r}")
    if not key:
        raise ValueError("file needs key, the name of the value in it, e.g. key = 'val_loss'")
    if line is not None:
        raise ValueError("file and line cannot both be given: the metric is in one place")
