"""The commands that read a run: its result, trials and prompts. Only `best --verify` runs jobs."""

import sys
import tomllib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    Json,
    RunName,
    Runs,
    cache_folder,
    host_of,
    model_key,
    print_json,
    runs_folder,
    stored_run,
    stored_trial,
)
from agent.cli.trust import Trusted, agree_to_run
from agent.errors import UsageError
from agent.text import inert, plural

if TYPE_CHECKING:
    from agent.store.stored_run import StoredRun
    from agent.trials.trial import Trial


app = typer.Typer()


@app.command()
def log(
    run_name: RunName = None,
    *,
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

    Exit codes: with --verify, 1 if journal, git and files disagree.
    """
    from agent.report import run_summary, trial_table
    from agent.report.slices import pool_size
    from agent.report.steering import messages
    from agent.report.terminal import columns_of, row, sentences
    from agent.report.trial_table import trial_filter
    from agent.store.run_lock import holder
    from agent.store.stored_run import interrupted
    from agent.trials.repeat import Repeat
    from agent.trials.trial import Trial

    if verify:
        _verify(runs, run_name, json_)
        return
    fits = trial_filter(kept=kept, status=status, since=since, now=datetime.now(UTC))
    stored = stored_run(runs, run_name)
    if json_:
        from agent.server.run_documents import log_document

        print_json(log_document(stored, cache_folder(), fits, last))
        return
    history, timeline = stored.history, stored.history.timeline
    is_open = holder(stored.paths) is not None
    # Each line shows the change from the incumbent at that time, which may be a trial that is not listed.
    colour = sys.stdout.isatty()
    heading, *every = trial_table.trial_lines(history, timeline, stored.hashes, stored.metric, colour, is_open=is_open)
    about = [stored.trial(one.trial) if isinstance(one, Repeat) else one for one in timeline]
    fitting = [one.number for one in timeline if isinstance(one, Trial) and fits(one)]
    listed = fitting if last is None else fitting[-last:]
    if kept or status or since or last is not None:
        lines = [line for line, trial in zip(every, about, strict=True) if trial.number in listed]
    else:
        lines = list(messages.with_events(every, timeline, history, stored.metric, colour))
    pool = pool_size(stored, cache_folder())
    closing = run_summary.summary(stored.history, stored.metric, stored.keeper, pool)
    columns = columns_of(sys.stdout)
    shown = [row(line, columns, trial_table.spared(stored.metric)) for line in [heading, *lines]]
    print("\n".join([f"run {stored.heading}", *shown, "", *sentences(closing, columns)]))
    if history.in_flight and not is_open:
        print("\n".join(interrupted(history, stored.run_id)))
    if graph:
        print(f"\n{stored.repo.graph(stored.run_id, len(stored.history.trials))}", end="")


@app.command()
def show(
    trial: str,
    *,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Print the prompts and replies, not only their length.")
    ] = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Show one trial.

    TRIAL is RUN/7, or 7 for the last run. Prints its outcome, evidence, parameters, diff and the end of its log.
    """
    stored, number = stored_trial(runs, trial)
    if json_:
        from agent.server.run_documents import trial_document

        print_json(trial_document(stored, number))
        return
    from agent.report.trial_details import describe

    print(describe(stored, stored.trial(number), colour=sys.stdout.isatty(), exchange=exchange))


@app.command()
def prompt(trial: str, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Print the prompt for a trial.

    TRIAL is RUN/8, or 8 for the last run: a past trial or the next one.
    """
    from agent.analysis.prompt_preview import preview_messages

    stored, number = stored_trial(runs, trial)
    messages = preview_messages(stored, number, model_key())
    if json_:
        print_json([{"role": message.role, "content": message.content} for message in messages])
        return
    for message in messages:
        print(f"----- {message.role} -----\n{inert(message.content)}")


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


@app.command()
def diff(
    trial: str,
    other: Annotated[str | None, typer.Argument(help="Trial to compare with; the parent if not given.")] = None,
    *,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Print what a trial changed.

    Compares its files with its parent's, or with another trial's.
    """
    from agent.server.run_documents import MOST_TEXT, difference

    stored, number = stored_trial(runs, trial)
    old = None if other is None else stored_trial(runs, other)
    found = difference(stored, number, old, MOST_TEXT if json_ else None)
    if json_:
        print_json(asdict(found))
        return
    print(inert(found.diff) or f"no difference between {found.old} and {found.new}", end="" if found.diff else "\n")


@app.command()
def best(
    run_name: RunName = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Score it once on data that no job has seen, or else on the test split.")
    ] = False,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Show the result of a run.

    Prints whether it is confirmed, repeated or neither, and where its script is.
    """
    from agent.report import run_summary
    from agent.report.slices import pool_size
    from agent.report.terminal import columns_of, sentences

    stored = stored_run(runs, run_name)
    shown = stored.best
    if shown is None:
        raise UsageError(f"{stored.run_id} has no trial with a loss yet")
    if verify:
        agree_to_run(stored, None, trusted=trust)
    verified = _verified(stored, shown, json_) if verify else None
    if json_:
        from agent.server.run_documents import best_document

        document = best_document(stored, cache_folder())
        print_json(document if verified is None else {**document, verified.scored_on: verified.document})
        return
    closing = run_summary.summary(stored.history, stored.metric, stored.keeper, pool_size(stored, cache_folder()))
    print("\n".join([f"run {stored.heading}", *sentences(closing, columns_of(sys.stdout))]))
    print(f"the files of trial {shown.number}: {stored.paths.trial(shown.number).files}")
    print(f"its commit: {stored.hashes.get(shown.number, '')} in {stored.runs.repo}")
    if verified is not None:
        print("\n".join(verified.lines))


@dataclass(frozen=True)
class _Verified:
    """The output of `best --verify`."""

    scored_on: str  # what the result was scored on: "slice" or "test"
    document: dict[str, Any]
    lines: list[str]


def _verified(stored: "StoredRun", shown: "Trial", json_: bool) -> _Verified:
    """Score the result of a run on a slice of unseen data or, if there is none to open, on the test split."""
    from agent.analysis.test_split import verified_on_test
    from agent.analysis.unseen.verified_slice import remarks, verified_on_slice, why_not_on_slice
    from agent.report.slices import unseen

    def say(line: str) -> None:
        print(line, file=sys.stderr if json_ else sys.stdout, flush=True)

    why_not = why_not_on_slice(stored)
    if not why_not:
        on_slice = verified_on_slice(stored, host_of(say))
        return _Verified(
            "slice",
            on_slice.to_json(),
            [on_slice.describe(stored.metric, unseen(stored.history)), *remarks(stored, on_slice)],
        )
    if stored.config.pool is not None:
        say(f"no slice of the pool is opened: {why_not}")
    on_test = verified_on_test(stored, shown, host_of(say))
    return _Verified("test", on_test.to_json(), [on_test.describe(stored.metric)])


def _verify(runs: Path, run_name: str | None, json_: bool) -> None:
    """Print what disagrees with the journal of a run; exit with 1 if anything does."""
    from agent.analysis.consistency import check_consistency
    from agent.store.stored_run import run_named

    folder = runs_folder(runs)
    run_id = run_named(folder, run_name)
    findings = check_consistency(folder, run_id)
    if json_:
        print_json({"run": run_id, "disagreements": findings.disagreements, "notes": findings.notes})
    else:
        for line in (*findings.disagreements, *findings.notes):
            print(inert(line))  # a stranger may have chosen the file names
        n_wrong = len(findings.disagreements)
        print(f"run {run_id}: " + (plural(n_wrong, "disagreement") if n_wrong else "journal, git and files agree"))
    if findings.disagreements:
        raise typer.Exit(1)
