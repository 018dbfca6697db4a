"""The commands about a folder of runs: `agent runs` lists them, `agent rm` removes some."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Json, Runs, print_json, runs_folder, where
from agent.errors import UsageError
from agent.text import local_now, plural

if TYPE_CHECKING:
    from agent.store.paths import RunsFolder

app = typer.Typer()


@app.command("runs")
def list_runs(*, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """List the runs of a folder.

    Shows what each is doing, its mode, trials, best value with its change from the baseline, time and size.
    """
    from agent.report.runs_table import listed_runs, table, totals
    from agent.report.terminal import columns_of, sentences

    folder = runs_folder(runs)
    listed, comparisons, left = listed_runs(folder), folder.comparison_ids(), _left_commits(folder)
    if json_:
        from agent.server.run_documents import listed_document

        documents = [listed_document(run) for run in listed]
        print_json({"folder": str(folder.root), "runs": documents, "comparisons": comparisons, "left_commits": left})
        return
    columns, option, notes = columns_of(sys.stdout), where(folder), []
    if comparisons:
        notes.append(f"{plural(len(comparisons), 'comparison')}: {', '.join(comparisons)}; `agent compare CMP{option}`")
    if left:
        names = " ".join(left)
        notes.append(f"commits of runs without a folder: {names}; `agent rm {names}{option}` removes them")
    if not listed:
        print("\n".join(sentences([f"there is no run in {folder.root}; start one with `agent run`", *notes], columns)))
        return
    print("\n".join([*table(listed, local_now(), columns), "", *sentences([totals(listed), *notes], columns)]))


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(metavar="RUN", help="Names of runs or comparisons.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Remove runs, with their commits.

    Removes the folder of each run, and its branch and tags from trials.git. What was exported stays.
    """
    from agent.store.run_folders import finish_removals, remove_run

    folder = runs_folder(runs)
    finish_removals(folder)
    chosen = _chosen(folder, names)
    if not yes:
        _ask(folder, chosen)
    for name in chosen:
        remove_run(folder, name)
        if not json_:
            print(f"removed {name}")
    if json_:
        print_json({"removed": chosen})


def _left_commits(folder: "RunsFolder") -> list[str]:
    """Return the names of runs that have commits in the repository, but no folder."""
    from agent.store.git_repo import TrialRepo

    if not folder.repo.exists():
        return []
    return sorted(TrialRepo(folder.repo).run_ids() - {*folder.run_ids()})


def _chosen(folder: "RunsFolder", names: list[str]) -> list[str]:
    """Return the runs to remove, and last the comparisons among the names, each once.

    Raises:
        UsageError: there is no such run, a process has one open, or another run needs a commit of one.
    """
    from agent.cli.options import runs_of
    from agent.store.run_folders import has_commits, runs_that_start_from
    from agent.store.run_lock import holder
    from agent.text import did_you_mean

    known, comparisons = folder.run_ids(), folder.comparison_ids()
    for name in names:
        if name not in (*known, *comparisons) and not has_commits(folder, name):
            raise UsageError(f"there is no run {name!r} in {folder.root}{did_you_mean(name, [*known, *comparisons])}")
    chosen = list(dict.fromkeys(run for name in names for run in runs_of(folder.root, name)))
    for run in chosen:
        if (pid := holder(folder.run(run))) is not None:
            raise UsageError(f"process {pid} works on {run}; end it first: `agent stop {run}{where(folder)}`")
        if others := [other for other in runs_that_start_from(folder, run) if other not in chosen]:
            raise UsageError(
                f"{', '.join(others)} started from a trial of {run} and needs its commit: remove it too, with "
                f"`agent rm {' '.join([run, *others])}{where(folder)}`"
            )
    return [*chosen, *dict.fromkeys(name for name in names if name in comparisons)]


def _ask(folder: "RunsFolder", chosen: list[str]) -> None:
    """Return if a person at the terminal agrees. Raises UsageError if nobody can be asked, or the answer is no."""
    from agent.report.runs_table import listed_runs, table
    from agent.report.terminal import columns_of, sentences

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"nothing was removed: add --yes to remove {', '.join(chosen)}")
    columns = columns_of(sys.stderr)
    listed = [run for run in listed_runs(folder) if run.run_id in chosen]
    others = [name for name in chosen if name not in {run.run_id for run in listed}]
    lines = table(listed, local_now(), columns) if listed else []
    lines += sentences([f"{name}: its commits, or the list of its runs" for name in others], columns)
    print("\n".join(lines), file=sys.stderr)
    if not typer.confirm(f"Remove {plural(len(chosen), 'run')} with all commits?", default=False, err=True):
        raise UsageError("nothing was removed")
