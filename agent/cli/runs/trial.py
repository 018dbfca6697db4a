"""The commands that read one trial: its record, its prompt, and what it changed."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Json, Runs, TrialArgument, model_key, print_json, shows_colour, stored_trial
from agent.text import inert

app = typer.Typer()


@app.command()
def show(
    trial: TrialArgument,
    *,
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Print the prompts and replies, not only their length.")
    ] = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Show one trial.

    Prints its outcome, evidence, parameters, diff and the end of its log.
    """
    stored, number = stored_trial(runs, trial)
    if json_:
        from agent.server.run_documents import trial_document

        print_json(trial_document(stored, number))
        return
    from agent.report.trial_details import describe

    print(describe(stored, stored.trial(number), colour=shows_colour(sys.stdout), exchange=exchange))


@app.command()
def prompt(trial: TrialArgument, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Print the prompt for a trial.

    Of a past trial, or of the next one: its number is one more than that of the last trial.
    """
    from agent.analysis.prompt_preview import preview_messages

    stored, number = stored_trial(runs, trial)
    messages = preview_messages(stored, number, model_key())
    if json_:
        print_json({"messages": [{"role": message.role, "content": message.content} for message in messages]})
        return
    for message in messages:
        print(f"----- {message.role} -----\n{inert(message.content)}")


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="The trial whose changes are shown or, with B, the first.")],
    second: Annotated[str | None, typer.Argument(metavar="[B]", help="The second of two trials to compare.")] = None,
    *,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Print what a trial changed.

    `agent diff A` goes from A's parent to A, and `agent diff A B` from A to B, as in git: lines of B begin with +.
    """
    from agent.server.run_documents import MOST_TEXT, difference

    old = None if second is None else stored_trial(runs, first)
    stored, number = stored_trial(runs, second or first)
    found = difference(stored, number, old, MOST_TEXT if json_ else None)
    if json_:
        print_json(asdict(found))
        return
    print(inert(found.diff) or f"no difference between {found.old} and {found.new}", end="" if found.diff else "\n")
