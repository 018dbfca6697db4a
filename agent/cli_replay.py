"""The commands that take a run further: run its trials again, and carry its results elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli_shared import (
    DEFAULT_RUNS,
    Gpus,
    Json,
    Runs,
    TaskFolder,
    Weaker,
    cache_folder,
    print_json,
    runs_folder,
    task_folder,
)
from agent.errors import JournalError, NotReplayableError, RepoError, UsageError

if TYPE_CHECKING:
    from agent.comparison import Replayed
    from agent.lookup import Found
    from agent.replay import Place

app = typer.Typer()

Repository = Annotated[
    Path | None, typer.Option("--repo", metavar="DIR", help="Clone of a trials.git to take the commit from.")
]


@app.command()
def replay(
    what: Annotated[
        str | None, typer.Argument(metavar="[COMMIT|RUN/7]", help="A trial by name or by hash; a RUN with --all-kept.")
    ] = None,
    *,
    all_kept: Annotated[bool, typer.Option("--all-kept", help="Every kept trial of the run.")] = False,
    seed: Annotated[int | None, typer.Option(metavar="S", min=0, help="Another training seed.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Score the test split as well.")] = False,
    task: TaskFolder = None,
    repo: Repository = None,
    sandbox: Annotated[
        str | None, typer.Option(metavar="KIND", help="bubblewrap, or docker; as recorded if not given.")
    ] = None,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Run a trial again from its commit, and say whether its result holds: exit 0 yes, 1 no, 4 it cannot run here."""
    from agent.lookup import open_source

    if sandbox not in (None, "bubblewrap", "docker"):
        raise UsageError(f"--sandbox {sandbox}: there are bubblewrap and docker")
    if what is None and not all_kept:
        raise UsageError("name what to replay: the hash of a commit, RUN/7, or a RUN with --all-kept")
    with _unreadable_is_not_replayable():
        source = open_source(runs_folder(runs), repo, Path.cwd())
        found = source.kept(what) if all_kept else [source.trial(what or "")]

    def place(trial: "Found") -> "Place":
        from agent.replay import Place

        return Place(
            replays=trial.replays,
            task_folder=task.resolve() if task else trial.task_folder or task_folder(None),
            cache=cache_folder(),
            variables=dict(os.environ),
            say=lambda line: print(line, file=sys.stderr, flush=True),
            compiled=trial.compiled,
            sandbox=sandbox,
            accept_unenforced=frozenset([*accept_unenforced, *trial.accept_unenforced]),
            gpus=tuple(gpus.split(",")) if gpus else trial.gpus,
            train_seed=seed,
            test=test,
        )

    with _unreadable_is_not_replayable():
        replays = list(_replayed(found, place, table=all_kept and not json_))
    metric = found[0].recorded.task(Path()).metric
    if json_:
        documents = [replayed.to_json(metric) for replayed in replays]
        print_json({"replays": documents} if all_kept else documents[0])
    elif all_kept:
        held = [replayed.reproduced for replayed in replays]
        print(f"{held.count(True)} of {len(held)} kept trials reproduced; evidence in {found[0].replays}")
    else:
        print(replays[0].told(metric))
    if not all(replayed.reproduced for replayed in replays):
        raise typer.Exit(1)


@contextmanager
def _unreadable_is_not_replayable() -> Iterator[None]:
    """Exit with 4 where a journal or a repository cannot be read: 1 says that a result does not hold."""
    try:
        yield
    except (JournalError, RepoError) as error:
        raise NotReplayableError(str(error)) from error


def _replayed(found: "list[Found]", place: "Callable[[Found], Place]", *, table: bool) -> "Iterator[Replayed]":
    """Replay one trial after the other; with `table`, print a line as soon as each is done."""
    from agent.comparison import heading, row
    from agent.replay import replay as run_again

    if table:
        print(heading())
    for trial in found:
        replayed = run_again(trial.recorded, place(trial))
        if table:
            print(row(replayed, trial.recorded.task(Path()).metric), flush=True)
        yield replayed
