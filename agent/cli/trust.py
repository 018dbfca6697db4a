"""Whether what a stranger's task does on this machine may be done: asked once, and remembered."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import cache_folder, config_folder, load_task, runs_folder
from agent.errors import AgentError, TaskError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.store.stored_run import StoredRun
    from agent.store.trust import Trust
    from agent.task.task import Task


app = typer.Typer()

Trusted = Annotated[
    bool,
    typer.Option(
        "--trust",
        envvar="AUTOCENTAUR_TRUST",
        help="Agree to what the task runs on this machine outside of the sandbox.",
    ),
]


@app.command()
def trust(folder: Path) -> None:
    """Agree to what a task, a clone or a folder of runs does on this machine outside of the sandbox."""
    from agent.store.trust import HostCode
    from agent.text import inert

    found = list(_tasks_in(folder))
    if not found:
        raise UsageError(f"{folder} is no task, no folder of runs and no clone of a trials.git; name one of these")
    known = _store()
    n_named = 0
    for task in found:
        code = HostCode.of(task)
        if code is not None:
            n_named += 1
            known.remember(task)
            print(inert("\n".join([f"{task.name}, in {task.folder}:", *(f"  {line}" for line in code.lines)])))
    print(
        f"trusted, until one of these changes: {known.file}" if n_named else "nothing of it runs outside of a sandbox"
    )


def agree(task: "Task", folder: Path, *, trusted: bool, data_are_here: bool = False, is_named: bool = False) -> None:
    """Return if a task may do on this machine what it names; ask if a person is there to answer.

    Args:
        folder: what the user would name to trust it.
        trusted: the user has said so with this command.
        data_are_here: so that nothing need prepare them.
        is_named: the user has named the task's own folder, so that where nobody can be asked it is only said.

    Raises:
        UsageError: nobody has agreed.
    """
    from agent.store.trust import HostCode
    from agent.text import inert

    code, known = HostCode.of(task, prepares=not data_are_here, pools=not data_are_here), _store()
    if code is None or known.holds(task, code):
        return
    if trusted:
        with suppress(OSError):  # nowhere to remember it: the next command is told again
            known.remember(task)
        return
    what = inert("; ".join(code.lines))
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        if is_named:
            print(f"{task.name} does this outside of the sandbox: {what}", file=sys.stderr)
            with suppress(OSError):
                known.remember(task)
            return
        raise UsageError(
            f"{task.name} is not trusted yet, and would do this outside of the sandbox: {what}. "
            f"Look at it; then `agent trust {_from_here(folder)}`, or --trust"
        )
    print(f"{task.name}, in {task.folder}, would do this outside of the sandbox:", file=sys.stderr)
    for line in code.lines:
        print(f"  {inert(line)}", file=sys.stderr)
    if not typer.confirm("Do you trust it?", default=False, err=True):
        raise UsageError("nothing was run")
    known.remember(task)


def begin(task: "Task", of_trial: str | None, runs: Path, *, trusted: bool) -> None:
    """Return if a run may begin with a task, or with that of another run's trial. Raises UsageError as `agree` does."""
    agree(task, task.folder if of_trial is None else runs, trusted=trusted, is_named=of_trial is None)


def agree_to_run(stored: "StoredRun", task_folder: Path | None, *, trusted: bool) -> None:
    """Return if the task of a run may do what it names, or what one in `task_folder` does, where it lies now.

    Raises:
        UnsafeFileError: there are links, FIFOs or devices anywhere in the run, which is going to be written to.
        UsageError: nobody has agreed.
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
    """Raise UsageError if a commit names an interpreter that the task.toml in its folder does not: trust is no way."""
    named = task.environment.python
    if named is None:
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


def made_here(folder: Path) -> None:
    """Remember that a task is what this user's `agent init` has written."""
    with suppress(OSError, AgentError):  # a task that does not load yet is trusted when it does
        _store().remember(load_task(folder.resolve(), None))


def _from_here(folder: Path) -> str:
    """Return a folder as one would type it."""
    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))


def _store() -> "Trust":
    from agent.store.trust import Trust

    return Trust(config_folder() / "trusted.json")


def _tasks_in(folder: Path) -> "Iterator[Task]":
    """Yield the task of a folder; of a folder of runs or a clone, the task of each run."""
    from agent.resources import folder as shipped
    from agent.store.git_repo import TrialRepo, trailers
    from agent.store.stored_run import StoredRun
    from agent.store.stored_run import load_task as task_of
    from agent.task.task import CONFIG_NAME, Task

    runs = runs_folder(folder)
    if (folder / CONFIG_NAME).is_file():
        task = load_task(folder.resolve(), None)
        yield from (load_task(folder.resolve(), name) for name in task.profiles) if task.profiles else (task,)
    elif runs.run_ids():
        for name in runs.run_ids():
            yield task_of(StoredRun.find(runs, name).config, runs)
    else:
        repo = TrialRepo.containing(folder)
        for tag in repo.baselines() if repo is not None else ():
            facts = trailers(repo.message(tag)) if repo is not None else {}
            files = repo.read(tag) if repo is not None else {}
            yield Task(shipped("train_template").resolve(), files, facts.get("Profile"), as_is=True)
