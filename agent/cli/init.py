"""`agent init`: a first task.toml for a folder with a training script."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import Json, cache_folder, print_json
from agent.cli.trust import made_here
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.task.init.script_report import ScriptReport
    from agent.task.toml_lines import Keys


app = typer.Typer()


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder with the training script; the current one if not given.")
    ] = Path(),
    *,
    script: Annotated[
        str | None, typer.Option(metavar="FILE", help="The training script, if it is not train.py.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="TEXT", help="NAME printed after ---, or the printed text: 'val loss {}'.")
    ] = None,
    args: Annotated[str, typer.Option(metavar="TEXT", help="Arguments of the script: '--config c.yaml'.")] = "",
    block: Annotated[
        bool | None,
        typer.Option("--block/--no-block", help="Write a copy of the script with its options as constants."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="PATH", help="The interpreter of the trials, if it is not .venv/bin/python.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing task.toml; what you have edited in it is kept.")
    ] = False,
    json_: Json = False,
) -> None:
    """Write a task.toml for a training script.

    The script is read and never run. The task.toml has comments, and `agent run` takes it unchanged.
    """
    from agent.task.init.advice import checks, guesses
    from agent.task.init.host import HostResources, chosen_interpreter
    from agent.task.init.kept_edits import WrittenBefore, with_edits
    from agent.task.init.script_report import InitOptions, read_script
    from agent.task.init.task_toml import document, files_of, write
    from agent.text import one_line

    try:
        arguments = tuple(shlex.split(args))
    except ValueError as fault:
        raise UsageError(f"--args {args!r}: {fault}; quote it as for a shell") from None
    interpreter = chosen_interpreter(folder, python) if python is not None else None
    before = WrittenBefore(cache_folder(), folder)
    try:
        reading = read_script(folder, InitOptions(script, metric, arguments, block, interpreter), HostResources.here())
        plain = document(reading)
        merged = with_edits(reading, plain, before.read(), _asked(metric, script, args, block, python), force=force)
        files = files_of(reading, merged.text)
    except RecursionError:
        raise UsageError(f"{folder}: the script or a file that it names is nested too deeply; simplify it") from None
    write(folder, files, force=force)
    before.save(plain)
    made_here(folder)
    written = [str(folder / name) for name in reversed(files)]
    found, to_check = list(guesses(reading)), list(checks(reading))
    if json_:
        guessed = [asdict(guess) for guess in found]
        print_json({"written": written, "kept": merged.remarks, "guesses": guessed, "check": to_check})
        return
    width = max(len(guess.value) for guess in found if len(guess.value) <= 44)
    print(f"wrote {' and '.join(written)}; nothing was run")
    print("\n".join([*(one_line(remark) for remark in merged.remarks), ""]))
    for guess in found:
        print(f"  {guess.about:7} {one_line(guess.value):{width}}  {one_line(guess.why)}")
    print("\ncheck:")
    for check in to_check:
        print(f"  - {one_line(check)}")
    print("\n" + "\n".join(_next_steps(reading)))


def _asked(
    metric: str | None, script: str | None, args: str, block: bool | None, python: str | None
) -> "frozenset[Keys]":
    """Return the keys of task.toml that the options of this command set."""
    asked: set[Keys] = set()
    if metric is not None:
        asked |= {("metric", "name"), ("metric", "goal"), ("score", "line")}
    if script is not None or args or block is not None:
        asked |= {("task", "script"), ("task", "command")}
    if python is not None:
        asked.add(("environment", "python"))
    return frozenset(asked)


def _next_steps(reading: "ScriptReport") -> list[str]:
    from agent.task.init.host import has_gpu

    task = shlex.quote(str(reading.folder))
    gpus = " --gpus 0" if reading.needs.uses_gpu and has_gpu() else ""
    if not reading.n_searched:
        return [f"next: agent run --task {task} --mode code-edit --trials 3{gpus}    # does it run at all?"]
    return [
        f"next: agent run --task {task} --mode random --trials 3{gpus}    # does it run at all?",
        f"      agent run --task {task} --mode cma-es --wall 8h{gpus}    # a night",
    ]
