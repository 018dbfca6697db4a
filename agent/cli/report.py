"""The commands that show a whole run: the HTML page, and the live view."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    Force,
    RunName,
    Runs,
    can_redraw,
    run_and_trial,
    runs_folder,
    runs_of,
    shows_colour,
    stored_run,
    where,
)
from agent.errors import UsageError
from agent.extras import require_extra
from agent.text import plural

if TYPE_CHECKING:
    from agent.store.paths import RunsFolder


app = typer.Typer()


@app.command()
def report(
    run_names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs of one task, comparisons or trials; the last run if not given."),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write the page to; RUN.html if not given.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Also write the first chart as a picture, for slides.")
    ] = None,
    force: Force = False,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Write an HTML page about runs.

    It shows one run, or compares several; for a trial such as RUN/best it prints the address of its place on the page.
    The page is one file, which loads nothing else.
    """
    if png is not None:
        require_extra("report", "--png")
    named = [_named(runs, name) for name in run_names or ()]
    chosen = list(dict.fromkeys(run for found, _ in named for run in found)) or [stored_run(runs, None).run_id]
    path = out or Path(f"{chosen[0] if len(chosen) == 1 else 'report'}.html")
    comparison = run_names[0] if run_names and len(run_names) == 1 else None
    write_report(runs_folder(runs), chosen, path, png, force=force, comparison=comparison)
    for found, number in named:
        if number is not None:
            print(f"{found[0]}/{number}: {path}#t{chosen.index(found[0])}/{number}")


def _named(runs: Path, name: str) -> tuple[list[str], int | None]:
    """Return the runs that an argument means and, if it names a trial, the number of the trial."""
    if name in runs_folder(runs).comparison_ids():
        return runs_of(runs, name), None
    stored, number = run_and_trial(runs, name)
    return [stored.run_id], number


def write_report(
    runs: "RunsFolder",
    names: list[str],
    page: Path | None,
    png: Path | None,
    *,
    quiet: bool = False,
    force: bool = False,
    reference: str | None = None,
    comparison: str | None = None,
) -> None:
    """Write a page about some runs, its first chart as a picture, or both, and print the paths unless `quiet`.

    Without `force`, they replace only files that this command wrote.

    Args:
        reference: of several runs, the mode with which the others are compared; the first one if None.
        comparison: name of the comparison whose runs these are, or of the only run; None: of neither.

    Raises:
        UsageError: a run has no finished trial, the runs are of several tasks, or a file cannot be written.
    """
    from agent.files import write_over
    from agent.report.html.chapters import overview
    from agent.report.html.charts.picture import PICTURE_MARK
    from agent.report.html.charts.picture import png as png_of
    from agent.report.html.on_page import comparison_on_page, on_page, refuse_different_tasks
    from agent.report.html.page import PAGE_MARK, render
    from agent.store.stored_run import StoredRun

    refuse_other_files(page, png, force=force)
    found = [on_page(StoredRun.find(runs, name)) for name in names]
    refuse_different_tasks(found)
    notes = []
    try:
        if page is not None:
            whole = comparison_on_page(runs, comparison) if comparison is not None else None
            text = render(found, datetime.now(UTC), reference=reference, comparison=whole)
            data = text.encode(errors="backslashreplace")  # a name may hold any byte
            write_over(page, data, PAGE_MARK, force=force)
            trials = plural(sum(len(run.trials) for run in found), "trial")
            notes.append(f"{page}: {len(data) / 1e6:.1f} MB, {trials}")
        if png is not None:
            write_over(png, png_of(overview(found)), PICTURE_MARK, force=force)
            notes.append(str(png))
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename}: {error.strerror}; name a file in an existing folder"
        ) from None
    if not quiet:
        print("\n".join(notes))


def refuse_other_files(page: Path | None, png: Path | None, *, force: bool) -> None:
    """Raise UsageError if a page or a picture would replace a file that this command did not write, unless `force`."""
    from agent.files import refuse_taken
    from agent.report.html.charts.picture import PICTURE_MARK
    from agent.report.html.page import PAGE_MARK

    for path, mark in ((page, PAGE_MARK), (png, PICTURE_MARK)):
        if path is not None:
            refuse_taken(path, mark, force=force)


@app.command()
def watch(run_name: RunName = None, *, runs: Runs = DEFAULT_RUNS) -> None:
    """Follow a run from another terminal.

    It only reads the run, and ends when the run ends. Ctrl-C leaves it.

    Exit codes: 0 the run is done, paused or waits; 1 it was interrupted, gave up or failed.
    """
    from agent.report.live.watch import follow
    from agent.report.runs_table import WENT_WELL

    stored = stored_run(runs, run_name)
    colour, moves = shows_colour(sys.stdout), can_redraw(sys.stdout)
    state = follow(stored, colour=colour, moves=moves, option=where(stored.runs))
    if state not in WENT_WELL:
        raise typer.Exit(1)
