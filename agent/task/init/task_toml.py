"""The files that `agent init` writes: a task.toml with a comment for each guess, and a copy of the script if needed."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from agent.errors import TaskError, UsageError
from agent.task.init.dependencies import HUB_CACHE, Needs
from agent.task.init.script_report import ScriptReport
from agent.task.init.settings.find_settings import BudgetGuess
from agent.task.task import CONFIG_NAME, Task

_WALL_FACTOR, _WALL_EXTRA, _WALL_UNKNOWN = 2, 300, 3600  # seconds; extra time for compiling, loading and evaluating
_WORK_IN = "/tmp/work"


def document(reading: ScriptReport) -> str:
    """Return the text of task.toml."""
    script, needs, metric, machine = reading.edited[0], reading.needs, reading.metrics[0], reading.machine
    memory_gb, cpus = machine.for_one
    text = _template("task.toml").substitute(
        script=_one_line(reading.script.name),
        name=_text(task_name(reading.folder.resolve().name)),
        script_value=_text(script),
        command=_command(script, reading.arguments, needs),
        frozen=_frozen(needs),
        metric=_text(metric.name),
        metric_where=_one_line(f"{metric.where} prints it"),
        goal=_text(metric.goal),
        line=f"line = {_text(metric.line)}  # the last number at {{}} in the log" if metric.line else "",
        environment=_environment(needs, reading.python, reading.libraries),
        budget=_budget(reading.budget),
        wall_seconds=_number(_wall(reading.budget)),
        memory_gb=_number(memory_gb),
        total_gb=_number(machine.total_gb),
        share=f", for a trial on each of its {machine.n_gpus} GPUs" if machine.n_gpus > 1 else "",
        cpus=_number(cpus),
        processes=max(256, math.ceil(16 * cpus)),
        scratch_mb=4096 if "torch" in reading.libraries else 1024,
        keep=_template("takes_seed.toml" if reading.takes_seed else "no_seed.toml").template.strip(),
        space=(reading.space if reading.n_searched else _template("no_space.toml").template).strip(),
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def files_of(reading: ScriptReport) -> dict[str, str]:
    """Return the content of the files to write into the folder, by name; task.toml is last.

    Raises:
        UsageError: `agent run` would refuse the task; the message says why.
    """
    files = {reading.lifted.name: reading.lifted.text} if reading.lifted else {}
    files[CONFIG_NAME] = document(reading)
    _check(reading, files)
    return files


def write(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Write the files, each in one step.

    Raises:
        UsageError: a file exists already and `force` is False, in which case nothing is written; or writing fails.
    """
    there = [name for name in files if (folder / name).exists() or (folder / name).is_symlink()]
    if there and not force:
        raise UsageError(f"{folder / there[-1]} exists already, so nothing was written; --force replaces it")
    for name, text in files.items():
        path = folder / name
        growing = path.with_name(f".{path.name}.new")
        try:
            growing.unlink(missing_ok=True)  # do not follow a link that came with the folder
            with growing.open("xb") as file:
                file.write(text.encode())
            growing.replace(path)
        except OSError as fault:
            raise UsageError(f"{path} cannot be written: {fault.strerror}") from None


def task_name(folder: str) -> str:
    """Return a task's name for the name of its folder: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:40].rstrip("-") or "task"


def _check(reading: ScriptReport, files: Mapping[str, str]) -> None:
    folder = reading.folder
    try:
        wanted = [name for name in (reading.edited[0], *reading.needs.frozen) if name not in files]
        content = {name: (folder / name).read_bytes() for name in wanted}
        Task(folder, content | {name: text.encode() for name, text in files.items()})
    except TaskError as fault:
        raise UsageError(f"{fault}; nothing was written; docs/tasks.md says how to write task.toml by hand") from None
    except UnicodeEncodeError:
        raise UsageError(f"{folder}: the name of a file that the script needs is not UTF-8 text; rename it") from None
    except OSError as fault:
        raise UsageError(f"{fault.filename} cannot be read: {fault.strerror}") from None


def _command(script: str, arguments: Sequence[str], needs: Needs) -> str:
    command = ["python", script, *arguments]
    if not needs.written:
        return _list(command)
    where = _one_line(next(iter(needs.written.values())))
    in_copy = f'cp -r /task {_WORK_IN} && chmod -R u+w {_WORK_IN} && cd {_WORK_IN} && exec "$0" "$@"'
    note = f"  # {where} writes beside itself, but /task is read-only: so it runs in a copy, which is deleted"
    return _list(["sh", "-c", in_copy, *command]) + note


def _frozen(needs: Needs) -> str:
    if not needs.frozen:
        return "# frozen = []  # files that the script needs and that no trial may edit"
    lines = [f"    {_text(name)},  # {_one_line(where)}" for name, where in needs.frozen.items()]
    return "\n".join(["frozen = [  # files that the script needs and that no trial may edit", *lines, "]"])


def _environment(needs: Needs, python: str | None, offline: Iterable[str]) -> str:
    lines = ["[environment]"]
    lines.append(f"python = {_text(python)}" if python else '# python = ".venv/bin/python"  # now: the one of `agent`')
    if needs.mounts:
        lines.append("mounts = [  # the only folders of this machine that the script may read; ~ is /tmp inside")
        for path, where in needs.mounts.items():
            inside = f"/tmp{path[1:]}" if path.startswith("~/") else path
            lines.append(f"    {{ source = {_text(path)}, target = {_text(inside)} }},  # {_one_line(where)}")
        lines.append("]")
    else:
        lines.append('# mounts = [{ source = "~/data", target = "/tmp/data" }]  # other folders that it may read')
    variables = _offline(needs, offline)
    if variables:
        lines += [
            "",
            "[set]  # trials have no network",
            *(f"{name} = {_text(value)}" for name, value in variables.items()),
        ]
    return "\n".join(lines)


def _offline(needs: Needs, libraries: Iterable[str]) -> Mapping[str, str]:
    known = {"wandb": ("WANDB_MODE", "disabled")}
    variables = dict(known[name] for name in libraries if name in known)
    return variables | ({"HF_HUB_OFFLINE": "1"} if HUB_CACHE in needs.mounts else {})


def _budget(budget: BudgetGuess) -> str:
    if not budget.is_known:
        return _template("budget_unknown.toml").template.strip()
    counted = "by its own clock" if budget.unit == "seconds" else "a success is charged the time it took"
    filled = _template("budget.toml").substitute(
        said=_one_line(f"{budget.where}: {budget.as_written}"),
        counted=counted,
        unit=_text(budget.unit),
        amount=_number(budget.amount),
    )
    return filled.strip()


def _wall(budget: BudgetGuess) -> float:
    return math.ceil(_WALL_FACTOR * budget.amount) + _WALL_EXTRA if budget.unit == "seconds" else _WALL_UNKNOWN


def _template(name: str) -> Template:
    return Template((Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, words))}]"


def _text(value: str) -> str:
    """Return a TOML string: a JSON string in which non-ASCII characters are not escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: float) -> str:
    return f"{value:g}" if value < 1e6 else repr(value)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
