"""Consent to what a stranger's task does on this machine: the user is asked once, and the answer is remembered."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import cache_folder, config_folder, load_task, runs_folder
from agent.cli.search_options.panels import TASK, option
from agent.errors import TaskError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from agent.store.stored_run import StoredRun
    from agent.store.trust import Trust
    from agent.task.host_commands.host_code import HostStep
    from agent.task.task import Task


app = typer.Typer()

Trusted = Annotated[
    bool,
    option(
        TASK,
        "Agree to what the task runs outside of the sandbox.",
        "--trust",
        envvar="AUTOCENTAUR_TRUST",
    ),
]


@app.command()
def trust(folder: Path) -> None:
    """Agree to what a task does on this machine.

    FOLDER is a task, a clone or a folder of runs. Prints what it runs outside of the sandbox, and the settings in it.
    """
    from agent.cli.setup.settings_files import step_of, task_settings
    from agent.task.host_commands.host_code import host_steps
    from agent.text import inert

    found = list(_tasks_in(folder))
    if not found:
        raise UsageError(f"{folder} is not a task, a folder of runs or a clone of a trials.git; name one of these")
    known = _store()
    n_steps = 0
    for task in found:
        steps = host_steps(task)
        n_steps += len(steps)
        if steps:
            known.remember(steps)
            print(inert("\n".join([f"{task.name}, in {task.folder}:", *(f"  {step.line}" for step in steps)])))
    if settings := task_settings(folder.resolve()):
        step = step_of(settings, folder.resolve())
        known.remember([step])
        n_steps += 1
        print(inert(f"{folder}: {step.line}"))
    saved = f"trusted until one of these changes: {known.file}"
    print(saved if n_steps else "it runs nothing outside of a sandbox")


def agree(
    task: "Task",
    folder: Path,
    *,
    trusted: bool,
    data_are_here: bool = False,
    by_init: "Collection[HostStep] | None" = None,
) -> None:
    """Return if the user agrees to what a task does on this machine; ask, if there is a terminal.

    Args:
        folder: the argument of `agent trust` for this task.
        trusted: whether the user has agreed with this command.
        data_are_here: whether the data exist, so that no command prepares them.
        by_init: steps of `agent init`, which need no question; None: another command asks.

    Raises:
        UsageError: the user has not agreed.
    """
    from agent.task.host_commands.host_code import give_consent, host_steps

    steps = host_steps(task, with_data=not data_are_here)
    of_others = [step for step in steps if step not in (by_init or ())]
    why = f"{task.name} is not trusted yet, and would do this outside of the sandbox"
    _ask(of_others, why, folder, trusted=trusted, has_option=by_init is None)
    give_consent(steps)


def agree_to_settings(step: "HostStep", folder: Path, *, trusted: bool) -> None:
    """Return if the user agrees to what the settings in a task's folder are. Raises UsageError as `agree` does."""
    _ask([step], f"{folder.name} is not trusted yet", folder, trusted=trusted)


def is_agreed(step: "HostStep") -> bool:
    """Return whether the user has agreed to a step before."""
    return not _store().lacking([step])


def _ask(steps: "Iterable[HostStep]", why: str, folder: Path, *, trusted: bool, has_option: bool = True) -> None:
    """Return if the user agrees to steps, or has agreed before; ask, if there is a terminal, and remember it.

    Args:
        why: the beginning of the message, before the steps.
        has_option: whether the command has the option --trust.
    """
    from agent.text import inert

    known = _store()
    lacking = known.lacking(steps)
    if lacking and not trusted:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            what = inert("; ".join(step.line for step in lacking))
            option = " or add --trust" if has_option else ""
            raise UsageError(f"{why}: {what}. Check it, then run `agent trust {_from_here(folder)}`{option}")
        print(f"{inert(why)} ({inert(str(folder))}):", file=sys.stderr)
        for step in lacking:
            print(f"  {inert(step.line)}", file=sys.stderr)
        if not typer.confirm("Do you trust it?", default=False, err=True):
            raise UsageError("nothing was run")
    with suppress(OSError):  # it cannot be saved: the next command asks again
        known.remember(lacking)


def recall(task: "Task") -> None:
    """Let this process do outside of the sandbox what the user agreed to in an earlier command."""
    from agent.task.host_commands.host_code import give_consent, host_steps

    steps = host_steps(task)
    lacking = _store().lacking(steps)
    give_consent(step for step in steps if step not in lacking)


def begin(task: "Task", of_trial: str | None, runs: Path, *, trusted: bool) -> None:
    """Return if a run may start with a task, or with that of another run's trial. Raises UsageError like `agree`."""
    agree(task, task.folder if of_trial is None else runs, trusted=trusted)


def agree_to_run(stored: "StoredRun", task_folder: Path | None, *, trusted: bool) -> None:
    """Return if the user agrees to what the task of a run does on this machine.

    Args:
        task_folder: where the task is now, if it was moved.

    Raises:
        UnsafeFileError: the run, which will be written to, holds links, FIFOs or devices.
        UsageError: the user has not agreed.
        TaskError: there is no such task.
    """
    from agent.files import refuse_unsafe
    from agent.store.stored_run import load_task as task_of
    from agent.task.corpus import find_corpus

    refuse_unsafe(stored.paths.root)
    task = load_task(task_folder, stored.config.profile) if task_folder else task_of(stored.config, stored.runs)
    folder, here = task_folder or stored.runs.root, find_corpus(task, cache_folder()) is not None
    agree(task, folder, trusted=trusted, data_are_here=here)


def refuse_other_interpreter(task: "Task") -> None:
    """Raise UsageError if a commit names an interpreter that the task's own task.toml does not, trusted or not."""
    from agent.task.host_commands.host_code import is_own_interpreter

    named = task.environment.python
    if named is None or is_own_interpreter(named):
        return
    try:
        own = load_task(task.folder, task.profile).environment.python
    except TaskError:
        own = None
    if own != named:
        raise UsageError(
            f"the commit of {task.name} names the interpreter {named}, and an interpreter never comes from a commit: "
            "give the folder of the task, whose task.toml names it too, with --task DIR"
        )


def made_here(steps: "Collection[HostStep]") -> None:
    """Remember as trusted what this user's `agent init` wrote by itself, without what an earlier task.toml had."""
    with suppress(OSError):  # it cannot be saved: the next command asks
        _store().remember(steps)


def _from_here(folder: Path) -> str:
    """Return a folder as the user would type it."""
    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))


def _store() -> "Trust":
    from agent.store.trust import Trust

    return Trust(config_folder() / "trusted.json")


def _tasks_in(folder: Path) -> "Iterator[Task]":
    """Yield the task in a folder; in a folder of runs or a clone, the task of each run."""
    from agent.resources import folder as shipped
    from agent.store.git_repo import TrialRepo, trailers
    from agent.store.stored_run import StoredRun
    from agent.store.stored_run import load_task as task_of
    from agent.store.trust import profiles_of
    from agent.task.task import CONFIG_NAME, Task

    runs = runs_folder(folder)
    if (folder / CONFIG_NAME).is_file():
        yield from profiles_of(folder.resolve())
    elif runs.run_ids():
        for name in runs.run_ids():
            yield task_of(StoredRun.find(runs, name).config, runs)
    else:
        repo = TrialRepo.containing(folder)
        for tag in repo.baselines() if repo is not None else ():
            facts = trailers(repo.message(tag)) if repo is not None else {}
            files = repo.read(tag) if repo is not None else {}
            yield Task(shipped("train_template").resolve(), files, facts.get("Profile"), as_is=True)
