"""The commands that decide about a trial that waits for approval."""

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Json, Runs, TrialArgument, print_json, stored_trial, where

app = typer.Typer()


@app.command()
def approve(trial: TrialArgument, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Approve a proposed trial, so that it runs.

    The trial waits for a decision in a run of `agent run --approve`.
    """
    _decide(runs, trial, is_approved=True, reason="", json_=json_)


@app.command()
def refuse(
    trial: TrialArgument,
    *,
    because: Annotated[
        str, typer.Option("--because", metavar="TEXT", help="The reason; the proposer reads it too.")
    ] = "",
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Refuse a proposed trial, so that it does not run.

    The trial waits for a decision in a run of `agent run --approve`.
    """
    _decide(runs, trial, is_approved=False, reason=because, json_=json_)


def _decide(runs: Path, name: str, *, is_approved: bool, reason: str, json_: bool) -> None:
    from agent.run.steering.approvals import decide
    from agent.store.run_lock import holder

    stored, number = stored_trial(runs, name)
    decide(stored, number, is_approved=is_approved, reason=reason)
    pid = holder(stored.paths)
    if json_:
        print_json({"run": stored.run_id, "trial": number, "is_approved": is_approved, "open_by": pid})
        return
    next_step = f"process {pid} acts on it" if pid is not None else (
        f"no process works on the run: `agent resume {stored.run_id}{where(stored.runs)}` continues it"
    )  # fmt: skip
    print(f"trial {number} of {stored.run_id} is {'approved' if is_approved else 'refused'}; {next_step}")
