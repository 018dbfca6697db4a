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
    from agent.server.steering import decide_trial

    stored, number = stored_trial(runs, name)
    resume = f"agent resume {stored.run_id}{where(stored.runs)}"
    decided = decide_trial(stored, number, resume, is_approved=is_approved, reason=reason)
    if json_:
        document = {"run": stored.run_id, "trial": number, "is_approved": is_approved, "open_by": decided.open_by}
        print_json(document)
    else:
        print(decided.words)
