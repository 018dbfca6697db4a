"""`agent init` and `agent space`: a first task.toml for a training script, or its search space alone."""

import shlex
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import Gpus, Json, SandboxKind, Weaker, fail, print_json
from agent.cli.own_script.task_writer import TaskWriter
from agent.cli.own_script.try_now import DEFAULT_TRY_BUDGET, try_now
from agent.errors import UsageError
from agent.execution.sandboxes import DEFAULT_SANDBOX
from agent.text import inert

if TYPE_CHECKING:
    from agent.analysis.try_script.try_script import TryResult
    from agent.task.init.metric.direction import Goal
    from agent.task.init.metric.printed_metric import PrintedMetric
    from agent.task.init.script_report import ScriptReport


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
        str | None,
        typer.Option(
            metavar="TEXT", help="NAME printed after ---, the printed text: 'val loss {}', or FILE:KEY of a file."
        ),
    ] = None,
    goal: Annotated[
        str | None, typer.Option(metavar="GOAL", help="minimise or maximise the metric; its name says it if not given.")
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
    try_: Annotated[
        bool, typer.Option("--try", help="Run the script in the sandbox, and correct the guesses by what is seen.")
    ] = False,
    try_budget: Annotated[
        str, typer.Option(metavar="10m", help="With --try: wall time of all its runs together.")
    ] = DEFAULT_TRY_BUDGET,
    sandbox: SandboxKind = DEFAULT_SANDBOX,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    json_: Json = False,
) -> None:
    """Write a task.toml for a training script.

    The script is read, and run only with --try. The task.toml has comments, and `agent run` takes it unchanged.

    Exit codes: with --try, 1 if the script does not run in the sandbox yet.
    """
    from agent.task.init.host import HostResources, chosen_interpreter
    from agent.task.init.script_report import NO_METRIC, InitOptions, read_script
    from agent.trials.budget import seconds

    try:
        arguments = tuple(shlex.split(args))
    except ValueError as fault:
        raise UsageError(f"--args {args!r}: {fault}; quote it as for a shell") from None
    interpreter = chosen_interpreter(folder, python) if python is not None else None
    ask = _ask_goal if _can_ask(json_) else None
    options = InitOptions(script, metric, goal, ask, arguments, block, interpreter)
    writer = TaskWriter(folder, options, force=force)
    longest = seconds(try_budget, "--try-budget")
    try:
        reading = read_script(folder, options, HostResources.here(), needs_metric=not try_)
        is_complete = reading.metrics[0] != NO_METRIC
        if is_complete:
            writer.write(reading)
        else:
            writer.refuse_existing()
    except RecursionError:
        raise UsageError(f"{folder}: the script or a file that it names is nested too deeply; simplify it") from None
    document: dict[str, Any] = {}
    if is_complete:
        document = _described(reading, writer) if json_ else {}
        if not json_:
            _print(reading, writer)
            try_ = try_ or _wants_to_try(try_budget)
    tried = None
    if try_:
        settings = (sandbox, tuple(accept_unenforced), gpus)
        tried = try_now(reading, writer.task, longest, settings, options, json_=json_)
        if tried.is_ok:
            writer.force = True
            writer.write(tried.reading, is_base=not is_complete)
            reading = tried.reading
            document = _described(reading, writer)
    if json_:
        print_json({**document, "tried": tried.to_json() if tried else None})
    elif tried:
        _print_tried(tried, writer)
    if tried and not tried.is_ok:
        state = f"{folder / 'task.toml'} is as init read it" if is_complete else "nothing was written"
        fail(f"the script does not run in the sandbox yet, and {state}; {tried.failures[-1]}", 1)
    if not json_:
        print("\n" + "\n".join(_next_steps(reading, is_tried=tried is not None)))


def _described(reading: "ScriptReport", writer: TaskWriter) -> dict[str, Any]:
    from agent.task.init.advice import checks, guesses

    found = [asdict(guess) for guess in guesses(reading)]
    return {"written": writer.written, "kept": writer.remarks, "guesses": found, "check": list(checks(reading))}


def _print(reading: "ScriptReport", writer: TaskWriter) -> None:
    from agent.task.init.advice import checks, guesses
    from agent.text import one_line

    found = list(guesses(reading))
    width = max((len(guess.value) for guess in found if len(guess.value) <= 44), default=0)
    print(f"wrote {' and '.join(writer.written)}; nothing was run")
    print("\n".join([*(one_line(remark) for remark in writer.remarks), ""]))
    for guess in found:
        print(f"  {guess.about:7} {one_line(guess.value):{width}}  {one_line(guess.why)}")
    print("\ncheck:")
    for check in checks(reading):
        print(f"  - {one_line(check)}")


def _print_tried(tried: "TryResult", writer: TaskWriter) -> None:
    from agent.text import one_line, plural

    print(f"\ntried in {plural(tried.n_runs, 'run')}:")
    for line in (*tried.seen, *tried.failures):
        print(f"  - {one_line(line)}")
    if tried.is_ok:
        print(f"\nwrote {' and '.join(writer.written)} again, as it ran")


def _wants_to_try(budget: str) -> bool:
    """Ask on a terminal whether to try the script now."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return typer.confirm(f"\nRun it in the sandbox now, to check these guesses (at most {budget})?", default=False)


def _can_ask(json_: bool) -> bool:
    """Return whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not json_


def _ask_goal(metric: "PrintedMetric") -> "Goal":
    """Return the user's answer to the question in which direction a metric improves."""
    from agent.text import one_line

    question = f"{metric.where} {one_line(metric.place)}: is a higher or a lower value better? (higher/lower)"
    while True:
        answer = typer.prompt(question).strip().lower()
        if answer in ("higher", "maximise", "h"):
            return "maximise"
        if answer in ("lower", "minimise", "l"):
            return "minimise"


def _next_steps(reading: "ScriptReport", *, is_tried: bool) -> list[str]:
    from agent.task.init.host import has_gpu

    task = shlex.quote(str(reading.folder))
    gpus = " --gpus 0" if reading.needs.uses_gpu and has_gpu() else ""
    steps = []
    if not is_tried:
        steps.append(f"agent init {task} --try --force{gpus}    # run it once, and correct these guesses")
    mode = "random" if reading.n_searched else "code-edit"
    steps.append(f"agent run --task {task} --mode {mode} --trials 3{gpus}    # does it run at all?")
    if reading.n_searched:
        steps.append(f"agent run --task {task} --mode cma-es --wall 8h{gpus}    # a night")
    return [f"{'next:' if index == 0 else '     '} {step}" for index, step in enumerate(steps)]


@app.command()
def space(script: Path, *, json_: Json = False) -> None:
    """Propose a [space] table for task.toml.

    It is derived from the script's ALL_CAPS constants, and meant to be edited.
    """
    from agent.task.init.settings.suggest_space import proposed_space

    try:
        source = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{script} cannot be read as text: {fault}") from None
    table = proposed_space(source)
    if json_:
        print_json(tomllib.loads(table))
        return
    print(inert(table), end="")
