"""A metric in a file that the script wrote: how the sandbox hands it out, and how the host reads it."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from agent.errors import UnsafeFileError
from agent.execution.working_copy import folder_of
from agent.files import plain_file
from agent.task.printed_number import whole_number
from agent.task.spec import ScoreSpec
from agent.task.task import Task
from agent.trials.metric import Metric
from sandbox.job import OUTPUT, Job

MOST_BYTES = 8 << 20
"""Largest size of the file."""
_MOST_KEYS = 8  # of the file, in a message

# Runs in the sandbox after the script, so that links and pipes are resolved where only the job's own files are. The
# first line of the output says what was found; the content of a plain file follows. $0: the file, $1: the copy.
_HAND_OUT = f"""
copy=$1
shift
"$@"
code=$?
cd "$copy" 2>/dev/null && {{ [ -e "$0" ] || [ -L "$0" ]; }} || cd /task
if [ -L "$0" ]; then echo link
elif [ -f "$0" ] && [ ! -r "$0" ]; then echo unreadable
elif [ -f "$0" ]; then echo file $(wc -c <"$0"); head -c {MOST_BYTES} "$0"
elif [ -e "$0" ]; then echo special
else echo missing; fi >{OUTPUT} 2>/dev/null
exit $code
"""
_PROBLEMS = {
    "missing": "the script wrote no file {}; the log may say why",
    "link": "{} is a symbolic link; let the script write the file itself",
    "special": "{} is a folder, a pipe or a device, not a plain file",
    "unreadable": "{} cannot be read",
}


def hands_out_metric_file(job: Job, task: Task) -> Job:
    """Return a training job that puts the file with the metric, in place of a saved model, into its output.

    The file is looked for in the writable copy of the task's files and, if it is not there, in /task. The job is
    returned unchanged if the metric is in no file.
    """
    file = task.score.file
    return job if file is None else replace(job, argv=("sh", "-c", _HAND_OUT, file, folder_of(task), *job.argv))


def read_metric_file(output: Path, spec: ScoreSpec, metric: Metric) -> float:
    """Return the metric in the file that a job handed out: its last value, or its best finite one.

    Args:
        output: the output file of a job of `hands_out_metric_file`. A script may have written it itself.
        spec: has the name of the file, the key and which value counts.

    Raises:
        ValueError: there is no such file or no such number; the message says why.
    """
    assert spec.file is not None
    assert spec.key is not None, "the table [score] was checked"
    try:
        with plain_file(output).open("rb") as file:
            content = file.read(MOST_BYTES + 64)
    except (OSError, UnsafeFileError):
        content = b""
    first, _, content = content.partition(b"\n")
    found, _, size = first.decode(errors="replace").partition(" ")
    if found != "file":
        raise ValueError(_PROBLEMS.get(found, _PROBLEMS["missing"]).format(spec.file))
    if size.strip() != str(len(content)):
        limits = f"{MOST_BYTES >> 20} MiB, or than output_mb in [limits]"
        raise ValueError(f"{spec.file} is larger than {limits}, or the script still wrote to it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ValueError(f"{spec.file} is not UTF-8 text (byte {fault.start})") from None
    try:
        values = list(_values(text, spec.file, spec.key))
        if not values:
            raise ValueError(f"{spec.file} has no value of {spec.key!r}{_has(text, spec.file)}")
    except RecursionError:
        raise ValueError(f"{spec.file} is nested too deeply") from None
    if spec.pick == "last":
        return values[-1]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        raise ValueError(f"{spec.file}: no value of {spec.key!r} is a finite number")
    return metric.display(min(metric.to_loss(value) for value in finite))


def _values(text: str, file: str, key: str) -> Iterator[float]:
    for where, row in _rows(text, file):
        for found in _at(row, key):
            value = _number(found)
            if value is None:
                raise ValueError(f"{file}, {where}: {key} is {str(found)[:40]!r}, which is no number")
            yield value


def _rows(text: str, file: str) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a file with their places. Raises ValueError if it is not what its name says."""
    form = PurePosixPath(file).suffix.lower()
    if form in (".csv", ".tsv"):
        yield from _table(text, file, "\t" if form == ".tsv" else ",")
        return
    if form == ".json":
        try:
            yield "the document", json.loads(text)
        except ValueError as fault:
            if "\n{" not in text.strip():  # otherwise documents that json.dump appended, one a line
                raise ValueError(f"{file} is not JSON: {fault}") from None
        else:
            return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as fault:
                raise ValueError(f"{file}, line {number} is not JSON: {fault}") from None


def _table(text: str, file: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        names = [name.strip() for name in next(rows, [])]
        for number, row in enumerate(rows, 2):
            yield f"line {number}", {name: cell.strip() for name, cell in zip(names, row, strict=False) if cell.strip()}
    except csv.Error as fault:
        raise ValueError(f"{file} is not a table of comma-separated values: {fault}") from None


def _at(row: Any, key: str) -> Iterable[Any]:
    """Return the values of a key, `val/loss` or `val.loss`, which may be nested; lists are rows of their own."""
    if isinstance(row, list):
        return [value for item in row for value in _at(item, key)]
    if not isinstance(row, dict):
        return []
    if key in row:
        found = row[key] if isinstance(row[key], list) else [row[key]]  # a list: one value an epoch
        return [value for value in found if value is not None]
    for place, sign in enumerate(key):
        if sign in "./" and (inner := row.get(key[:place])) is not None:
            return _at(inner, key[place + 1 :])
    return []


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return whole_number(value)
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return math.inf


def _has(text: str, file: str) -> str:
    """Return which keys the last row has, in words."""
    names: list[Any] = []
    for _, row in _rows(text, file):
        names = list(row) if isinstance(row, dict) else names
    shown = ", ".join(str(name)[:40] for name in names[:_MOST_KEYS])
    return f"; it has {shown}" if shown else ""
