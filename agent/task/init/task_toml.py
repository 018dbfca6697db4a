"""The files that `agent init` writes: a task.toml with a comment for each guess, and a copy of the script if needed."""

import json
import math
import posixpath
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from agent.errors import TaskError, UsageError
from agent.task.init.dependencies import HUB_CACHE, Needs
from agent.task.init.metric.printed_metric import PrintedMetric
from agent.task.init.script_report import ScriptReport
from agent.task.init.settings.budget import BudgetGuess
from agent.task.task import CONFIG_NAME, Task
from agent.task.task_files import read_entries

_SCRATCH_MB = 4096
_WALL_FACTOR, _WALL_EXTRA, _WALL_UNKNOWN = 2, 300, 3600  # seconds; extra time for compiling, loading and evaluating


def document(reading: ScriptReport) -> str:
    """Return the text of task.toml."""
    script, needs, metric, machine = reading.edited[0], reading.needs, reading.metrics[0], reading.machine
    memory_gb, cpus = machine.for_one
    text = _template("task.toml").substitute(
        script=_one_line(reading.script.name),
        read="" if reading.tried else ", but did not run it",
        tried="".join(f"\n# {_one_line(remark)}" for remark in reading.tried.remarks) if reading.tried else "",
        name=_text(task_name(reading.folder.resolve().name)),
        script_value=_text(script),
        command=_command(reading),
        frozen=_frozen(needs),
        metric=_text(metric.name),
        metric_where=_one_line(f"{metric.where} {'writes' if metric.file else 'prints'} it"),
        goal=_text(metric.goal or "minimise"),
        line=_place(metric, posixpath.dirname(reading.script.name) if needs.beside is not None else ""),
        environment=_environment(reading),
        budget=_budget(reading.budget),
        wall_seconds=_number(_wall(reading.budget)),
        memory_gb=_number(memory_gb),
        total_gb=_number(machine.total_gb),
        share=f", for a trial on each of its {machine.n_gpus} GPUs" if machine.n_gpus > 1 else "",
        cpus=_number(cpus),
        processes=max(256, math.ceil(16 * cpus)),
        scratch_mb=_SCRATCH_MB if "torch" in reading.libraries else _SCRATCH_MB // 4,
        keep=_keep(reading),
        space=(reading.space if reading.n_searched else _template("no_space.toml").template).strip(),
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def files_of(reading: ScriptReport, text: str | None = None) -> dict[str, str]:
    """Return the content of the files to write into the folder, by name; task.toml is last.

    Args:
        reading: of the folder.
        text: of task.toml, if it is not `document(reading)`.

    Raises:
        UsageError: `agent run` would refuse the task; the message says why.
    """
    files = {reading.lifted.name: reading.lifted.text} if reading.lifted else {}
    plain = document(reading)
    files[CONFIG_NAME] = plain if text is None else text
    remedy = "docs/tasks.md says how to write task.toml by hand"
    if files[CONFIG_NAME] != plain:
        remedy = "this may be what you have edited in task.toml: change it there, or move the file away to begin anew"
    _check(reading, files, remedy)
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


def task_of(folder: Path, files: Mapping[str, str]) -> Task:
    """Return the task of a folder as it will be once the files are written. Raises TaskError as `Task.load` does."""
    table = tomllib.loads(files[CONFIG_NAME]).get("task", {})
    frozen = table.get("frozen", [])
    names = [table.get("script"), *(frozen if isinstance(frozen, list) else [])]
    content = read_entries(folder, [name for name in names if isinstance(name, str) and name not in files], CONFIG_NAME)
    return Task(folder, content | {name: text.encode() for name, text in files.items()})


def _check(reading: ScriptReport, files: Mapping[str, str], remedy: str) -> None:
    folder = reading.folder
    try:
        task_of(folder, files)
    except TaskError as fault:
        raise UsageError(f"{fault}; nothing was written; {remedy}") from None
    except UnicodeEncodeError:
        raise UsageError(f"{folder}: the name of a file that the script needs is not UTF-8 text; rename it") from None


def _command(reading: ScriptReport) -> str:
    script, modules, needs = reading.edited[0], reading.modules, reading.needs
    if modules.module is not None:
        name = script.removesuffix(".py").replace("/", ".")
        return _list(["python", "-m", name, *reading.arguments]) + "  # it is part of a package"
    if needs.beside is None:
        return _list(["python", script, *reading.arguments])
    place = Path(script)
    inside = f'cd {shlex.quote(str(place.parent))} && exec "$0" "$@"'
    note = f"  # {_one_line(needs.beside)}: its paths are as seen from its own folder"
    return _list(["sh", "-c", inside, "python", place.name, *reading.arguments]) + note


def _keep(reading: ScriptReport) -> str:
    name = "takes_seed.toml" if reading.takes_seed else "no_seed.toml"
    if not reading.takes_seed and reading.tried and "TRAIN_SEED" in reading.edited[1]:
        name = "no_effect_of_seed.toml"
    return _template(name).template.strip()


def _place(metric: PrintedMetric, started_in: str) -> str:
    """Return the keys of [score] that say where the number stands.

    Args:
        metric: the metric.
        started_in: the folder in which the script is started, relative to the task's; empty: in the task's itself.
    """
    if metric.file is not None and metric.key is not None:
        file = posixpath.normpath(posixpath.join(started_in, metric.file))
        keys = f"file = {_text(file)}  # as seen from the task's folder\nkey = {_text(metric.key)}\n"
        return f'{keys}pick = "last"  # or "best", of several values'
    return f"line = {_text(metric.line)}  # the last number at {{}} in the log" if metric.line else ""


def _frozen(needs: Needs) -> str:
    if not needs.frozen:
        return "# frozen = []  # files that the script needs and that no trial may edit"
    lines = [f"    {_text(name)},  # {_one_line(where)}" for name, where in needs.frozen.items()]
    return "\n".join(["frozen = [  # files that the script needs and that no trial may edit", *lines, "]"])


def _environment(reading: ScriptReport) -> str:
    needs, python = reading.needs, reading.python
    lines = ["[environment]"]
    lines.append(f"python = {_text(python)}" if python else '# python = ".venv/bin/python"  # now: the one of `agent`')
    lines.append("writable_copy = true  # it runs in a copy of the files, in /tmp: what it writes ends with the trial")
    if needs.mounts:
        lines.append("mounts = [  # the only folders of this machine that the script may read; ~ is /tmp inside")
        for path, where in needs.mounts.items():
            inside = f"/tmp{path[1:]}" if path.startswith("~/") else path
            lines.append(f"    {{ source = {_text(path)}, target = {_text(inside)} }},  # {_one_line(where)}")
        lines.append("]")
    else:
        lines.append('# mounts = [{ source = "~/data", target = "/tmp/data" }]  # other folders that it may read')
    notes = [(name, value, "trials have no network") for name, value in _offline(needs, reading.libraries).items()]
    notes += [(name, value, "where its own modules are") for name, value in _python_path(reading).items()]
    notes += [(name, value, "given by --args") for name, value in reading.environment.items()]
    if notes:
        lines += ["", "[set]", *(f"{name} = {_text(value)}  # {why}" for name, value, why in notes)]
    return "\n".join(lines)


def _offline(needs: Needs, libraries: Iterable[str]) -> Mapping[str, str]:
    known = {"wandb": ("WANDB_MODE", "disabled")}
    variables = dict(known[name] for name in libraries if name in known)
    return variables | ({"HF_HUB_OFFLINE": "1"} if HUB_CACHE in needs.mounts else {})


def _python_path(reading: ScriptReport) -> Mapping[str, str]:
    """Return PYTHONPATH if the script imports modules of the folder that Python would not find beside it."""
    roots, needs = reading.modules.roots, reading.needs
    if needs.beside is not None:  # the script is started in its own folder
        roots = tuple(posixpath.relpath(root, posixpath.dirname(reading.script.name)) for root in roots)
    return {"PYTHONPATH": ":".join(roots)} if roots else {}


def _budget(budget: BudgetGuess) -> str:
    if not budget.is_known:
        return _template("budget_unknown.toml").template.strip()
    counted = "by its own clock" if budget.unit == "seconds" else "a success is charged the time it took"
    filled = _template("budget.toml").substitute(
        stated=_one_line(f"{budget.where}: {budget.as_written}"),
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
