"""`agent best`: the result of a run. With `--verify` it runs jobs."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import DEFAULT_RUNS, Json, RunName, Runs, cache_folder, host_of, print_json, printer, stored_run
from agent.cli.trust import Trusted, agree_to_run
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.store.stored_run import StoredRun
    from agent.trials.trial import Trial


app = typer.Typer()


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
    pool, added = pool_size(stored, cache_folder()), stored.added_lines
    closing = run_summary.summary(stored.history, stored.metric, stored.keeper, pool, added)
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

    say = printer(json_=json_)

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
