"""The commands that use a run elsewhere: replay its trials, export it, and log it to a tracker."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    NAMES_OF_SANDBOXES,
    NAMES_OF_TRACKERS,
    Force,
    Gpus,
    Json,
    RunName,
    Runs,
    Weaker,
    cache_folder,
    host_of,
    print_json,
    runs_folder,
    stored_run,
    task_folder,
)
from agent.cli.trust import Trusted, agree, refuse_other_interpreter
from agent.errors import JournalError, NotReplayableError, RepoError, UsageError
from agent.execution.sandboxes import SANDBOXES, sandbox_named
from agent.report.trackers.kinds import TRACKERS
from agent.text import inert, plural

if TYPE_CHECKING:
    from agent.analysis.recorded_trial import LocatedTrial
    from agent.analysis.replay import ReplayOptions
    from agent.analysis.replay_verdict import ReplayResult
    from agent.store.stored_run import StoredRun


app = typer.Typer()
LAST_SECONDS = 120
"""How long the process that logs a run to a tracker may outlive the run, in case its server does not answer."""
Repository = Annotated[
    Path | None, typer.Option("--repo", metavar="DIR", help="Clone of a trials.git to take the commit from.")
]


@app.command()
def replay(
    what: Annotated[
        str | None, typer.Argument(metavar="[COMMIT|RUN/7]", help="Trial, by name or hash; with --all-kept, a RUN.")
    ] = None,
    *,
    all_kept: Annotated[bool, typer.Option("--all-kept", help="Replay every kept trial of the run.")] = False,
    seed: Annotated[int | None, typer.Option(metavar="S", min=0, help="Train with another seed.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Score the test split as well.")] = False,
    task: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the task, for its data; the run's own if not given."),
    ] = None,
    repo: Repository = None,
    sandbox: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help=f"Where to run it: {NAMES_OF_SANDBOXES}; the recorded one if not given.",
            autocompletion=lambda: list(SANDBOXES),
        ),
    ] = None,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Run a trial again and compare the result.

    Runs it from its commit.

    Exit codes: 0 reproduced, 1 not reproduced, 4 cannot run here.
    """
    from agent.analysis.recorded_trial import open_source
    from agent.analysis.replay_verdict import CONFIRMS_NOTHING

    if sandbox is not None:
        sandbox_named(sandbox)
    if what is None and not all_kept:
        raise UsageError("name what to replay: the hash of a commit, RUN/7, RUN/best, or a RUN with --all-kept")
    with _unreadable_is_not_replayable():
        source = open_source(runs_folder(runs), repo, Path.cwd(), seed)
        found = source.kept(what) if all_kept else [source.trial(what or "")]

    def options(trial: "LocatedTrial") -> "ReplayOptions":
        from agent.analysis.replay import ReplayOptions
        from agent.task.corpus import find_corpus

        where = task.resolve() if task else trial.task_folder or task_folder(None)
        wanted = trial.recorded.task(where)
        refuse_other_interpreter(wanted)
        named = task or repo or (runs if trial.task_folder is not None else Path("."))
        agree(wanted, named, trusted=trust, data_are_here=find_corpus(wanted, cache_folder()) is not None)
        return ReplayOptions(
            replays=trial.replays,
            task_folder=where,
            compiled=trial.compiled,
            sandbox=sandbox,
            accept_unenforced=frozenset([*accept_unenforced, *trial.accept_unenforced]),
            gpus=tuple(gpus.split(",")) if gpus else trial.gpus,
            train_seed=seed,
            test=test,
        )

    with _unreadable_is_not_replayable():
        replays = list(_replayed(found, options, table=all_kept and not json_))
    metric = found[0].recorded.task(Path()).metric
    if json_:
        documents = [replayed.to_json(metric) for replayed in replays]
        print_json({"replays": documents} if all_kept else documents[0])
    elif all_kept:
        held = [replayed.reproduced for replayed in replays]
        print(f"{held.count(True)} of {len(held)} kept trials reproduced; evidence in {found[0].replays}")
        if found[0].recorded.on_slices:
            print(CONFIRMS_NOTHING)
    else:
        print(replays[0].describe(metric))
    if not all(replayed.reproduced for replayed in replays):
        raise typer.Exit(1)


@app.command()
def export(
    run_name: RunName = None,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder; export-RUN in the current one if not given.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="REPO", help="Your repository, which gets a branch, in place of a folder.")
    ] = None,
    branch: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the new branch, with --to.")] = None,
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Path of the script in your repository, with --to.")
    ] = None,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Export the minimal script of `agent attribute` as one commit, with --to.")
    ] = False,
    force: Force = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Export a run to a folder or a branch.

    The folder has a bundle, patches, the best script and a CSV file; the branch of your repository, the kept commits.
    """
    if to is None and (branch is not None or path is not None or minimal):
        raise UsageError("--branch, --path and --minimal need --to REPO")
    if to is not None and out is not None:
        raise UsageError("--out and --to are two exports; call `agent export` once for each")
    stored = stored_run(runs, run_name)
    if to is None:
        _folder(stored, out or Path(f"export-{stored.run_id}"), json_, force)
    elif branch is None:
        raise UsageError(f"name the new branch, e.g. --branch {stored.run_id}")
    else:
        _branch(stored, to, branch, path, json_=json_, minimal=minimal)


def _folder(stored: "StoredRun", out: Path, json_: bool, force: bool) -> None:
    from agent.report.export import export as write

    written = write(stored, out, force=force)
    if json_:
        paths = {name: str(getattr(written, name)) for name in ("folder", "bundle", "script", "table")}
        print_json({**paths, "patches": [str(patch) for patch in written.patches], "best": written.best.number})
        return
    print(inert(f"{written.folder}/"))
    trials = plural(len(stored.history.trials), "trial")
    print(f"  {written.bundle.name:24} {trials}: git clone -b {stored.run_id} FILE")
    if written.patches:
        print(f"  {'patches/':24} {len(written.patches)} kept after the baseline: git am, on the baseline's script")
    print(f"  {written.script.name:24} trial {written.best.number}, {written.best.standing}")
    print(f"  {written.table.name:24} one row per trial, one column per parameter")


def _branch(stored: "StoredRun", to: Path, name: str, path: str | None, *, json_: bool, minimal: bool) -> None:
    from agent.report.user_branch import make_branch

    made = make_branch(stored, to, name, path, minimal=minimal)
    if json_:
        print_json({"branch": made.name, "base": made.base, "commits": list(made.commits)})
        return
    commits = plural(len(made.commits), "commit")
    print(f"branch {made.name} in {to}: {commits} on {made.base[:7]}; nothing else there was touched")
    if made.brings_baseline:
        print("its first commit replaces your script, which differs from the run's baseline, with that baseline")
    print(f"next: git -C {to} log -p {made.base[:7]}..{made.name} · git -C {to} merge {made.name}")


@contextmanager
def _unreadable_is_not_replayable() -> Iterator[None]:
    """Exit with 4 if a journal or a repository cannot be read, because 1 means that a result was not reproduced."""
    try:
        yield
    except (JournalError, RepoError) as error:
        raise NotReplayableError(str(error)) from error


def _replayed(
    found: "list[LocatedTrial]", options: "Callable[[LocatedTrial], ReplayOptions]", *, table: bool
) -> "Iterator[ReplayResult]":
    """Replay one trial after the other; with `table`, print a line as soon as each is done."""
    from agent.analysis.replay import replay as run_again
    from agent.analysis.replay_verdict import heading, row

    host = host_of(lambda line: print(line, file=sys.stderr, flush=True))
    if table:
        print(heading())
    for trial in found:
        replayed = run_again(trial.recorded, options(trial), host)
        if table:
            print(row(replayed, trial.recorded.task(Path()).metric), flush=True)
        yield replayed


@app.command()
def track(
    run_name: RunName = None,
    *,
    to: Annotated[str, typer.Option("--to", metavar="TRACKER", help=f"Tracker: {NAMES_OF_TRACKERS}.")],
    uri: Annotated[
        str | None, typer.Option(metavar="URI", help="Where mlflow writes, in place of MLFLOW_TRACKING_URI.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Bring a tracker up to date with a run.

    The run may still be active. A later call adds only what is new.
    """
    from agent.report.trackers import updating

    stored = stored_run(runs, run_name)
    updating.check_kind(to)
    for name, value in TRACKERS[to].environment.items():
        os.environ.setdefault(name, value)
    with updating.exclusive(stored.paths, to, wait=follow):  # a process that followed the run before ends by itself
        tracker = updating.open_tracker(to, stored.paths, uri)
        if follow:
            n_trials = updating.follow(stored, tracker, _ended, lambda line: print(line, flush=True))
        else:
            n_trials = updating.update(stored, tracker)
        print(f"{plural(n_trials, 'trial')} of {stored.run_id} are in {to}: {tracker.close()}")


def _ended(seconds: float) -> bool:
    """Wait that long and return whether the search has ended, that is, closed our stdin; LAST_SECONDS start then."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return False
    signal.alarm(LAST_SECONDS)
    return True
