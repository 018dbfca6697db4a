"""`agent log`: the trials of a run, or with `--verify` what disagrees with its journal."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import (
    DEFAULT_RUNS, Json, Runs, cache_folder, can_redraw, print_json, run_and_trial, runs_folder, shows_colour,
    where,
)
from agent.errors import UsageError
from agent.text import inert, plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.store.stored_run import StoredRun
    from agent.trials.trial import Trial

app = typer.Typer()


@app.command()
def log(
    run_name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Name of a run, or of a trial; the last run if not given.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each trial that ends.")] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Only trials that became the incumbent.")] = False,
    status: Annotated[
        str | None, typer.Option(metavar="S", help="Only trials with this status, e.g. crashed, or provisional.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="2h|DATE", help="Only trials started since then, e.g. 2h, or 2026-11-22.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N trials and their repeats.")
    ] = None,
    graph: Annotated[bool, typer.Option("--graph", help="Add git's graph of the commits.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Check git and files against the journal instead.")] = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """List the trials of a run.

    RUN may also be the name of a trial, such as RUN/7 or RUN/best: then its rows are listed. With --follow, the command
    ends when the run ends.

    Exit codes: with --verify, 1 if journal, git and files disagree.
    """
    from agent.report.trial_table import trial_filter

    if verify:
        _verify(runs, run_name, json_)
        return
    if follow and json_:
        raise UsageError("--follow prints rows as they come, and --json one document at the end: give one of them")
    fits = trial_filter(kept=kept, status=status, since=since, now=datetime.now(UTC))
    stored, number = run_and_trial(runs, run_name)
    wanted = fits if number is None else lambda trial: trial.number == number and fits(trial)
    if json_:
        from agent.server.run_documents import log_document

        print_json(log_document(stored, cache_folder(), wanted, last if number is None else 1))
        return
    is_filtered = bool(kept or status or since or last is not None or number is not None)
    if follow:
        stored = _follow(stored, wanted, last)
    else:
        _rows(stored, wanted if is_filtered else None, last)
    _closing(stored, graph=graph)


def _rows(stored: "StoredRun", fits: "Callable[[Trial], bool] | None", last: int | None) -> None:
    """Print the rows of all trials, or of those that fit, and of their repeats; None: with all events between them."""
    from agent.report import trial_table
    from agent.report.steering import messages
    from agent.report.terminal import columns_of
    from agent.store.run_lock import holder
    from agent.trials.repeat import Repeat
    from agent.trials.trial import Trial

    history, timeline, metric = stored.history, stored.history.timeline, stored.metric
    colour, is_open = shows_colour(sys.stdout), holder(stored.paths) is not None
    # Each line shows the change from the incumbent at that time, which may be a trial that is not listed.
    heading, *every = trial_table.trial_lines(history, timeline, stored.hashes, metric, colour, is_open=is_open)
    if fits is None:
        lines = list(messages.with_events(every, timeline, history, metric, colour))
    else:
        about = [stored.trial(one.trial) if isinstance(one, Repeat) else one for one in timeline]
        fitting = [one.number for one in timeline if isinstance(one, Trial) and fits(one)]
        listed = fitting if last is None else fitting[-last:]
        lines = [line for line, trial in zip(every, about, strict=True) if trial.number in listed]
    columns = columns_of(sys.stdout)
    shown = [trial_table.fitted_row(line, metric, columns) for line in [heading, *lines]]
    print("\n".join([f"run {stored.heading}", *shown]))


def _follow(stored: "StoredRun", fits: "Callable[[Trial], bool]", last: int | None) -> "StoredRun":
    """Print the rows of the trials that have ended and that end, until the run ends; return it as it is then."""
    from agent.report.live.watch import follow_rows
    from agent.report.terminal import columns_of
    from agent.report.trial_table import fitted_row

    print(f"run {stored.heading}")
    return follow_rows(
        stored,
        lambda line: print(fitted_row(line, stored.metric, columns_of(sys.stdout)), flush=True),
        fits,
        n_first=last,
        colour=shows_colour(sys.stdout),
    )


def _closing(stored: "StoredRun", *, graph: bool) -> None:
    """Print the summary of a run, what was interrupted and, if the user wants it, the graph of its commits."""
    from agent.report import run_summary
    from agent.report.slices import pool_size
    from agent.report.terminal import columns_of, sentences
    from agent.report.runs_table import resume_hints, state_word
    from agent.store.run_lock import holder

    pool, added = pool_size(stored, cache_folder()), stored.added_lines
    closing = run_summary.summary(stored.history, stored.metric, stored.keeper, pool, added)
    closing += resume_hints(stored, state_word(stored, holder(stored.paths)), where(stored.runs))
    print("\n".join(["", *sentences(closing, columns_of(sys.stdout))]))
    if graph:
        print(f"\n{stored.repo.graph(stored.run_id, len(stored.history.trials))}", end="")


def _verify(runs: Path, run_name: str | None, json_: bool) -> None:
    """Print what disagrees with the journal of a run; exit with 1 if anything does."""
    from agent.analysis.consistency import check_consistency
    from agent.store.stored_run import run_named

    folder = runs_folder(runs)
    run_id = run_named(folder, run_name)
    is_shown = can_redraw(sys.stderr)
    findings = check_consistency(folder, run_id, _show_step if is_shown else lambda _step: None)
    if is_shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if json_:
        print_json({"run": run_id, "disagreements": findings.disagreements, "notes": findings.notes})
    else:
        for line in (*findings.disagreements, *findings.notes):
            print(inert(line))  # a stranger may have chosen the file names
        n_wrong = len(findings.disagreements)
        print(f"run {run_id}: " + (plural(n_wrong, "disagreement") if n_wrong else "journal, git and files agree"))
    if findings.disagreements:
        raise typer.Exit(1)


def _show_step(step: str) -> None:
    """Show what is being checked, on the same line as the step before."""
    print(f"\r\x1b[Kchecking {step}", end="", file=sys.stderr, flush=True)
