"""Commands for a run that another process works on: say, pause and stop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Json, Runs, print_json, runs_folder, runs_of, stored_run, where
from agent.trials.steering import message_text

if TYPE_CHECKING:
    from agent.store.stored_run import StoredRun

app = typer.Typer()
RunOrComparison = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="Name of a run or comparison; the last run if not given.")
]


@app.command()
def say(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run or comparison.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="At most 500 characters.")],
    *,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Send a message to the model or the client.

    The prompt for the next proposal has the message, and later prompts until there are five newer messages. Write
    lasting advice into notes.md in the task's folder.
    """
    from agent.server import steering

    found = _stored(runs, run_name)
    sent = [steering.say(stored, text, _resume(runs, run_name)) for stored in found]
    if json_:
        documents = [
            {"run": each.run_ids[0], "id": each.message_id, "open_by": each.open_by, "has_reader": each.has_reader}
            for each in sent
        ]
        print_json({"message": message_text(text), "runs": documents})
    else:
        for each in sent:
            print(each.words)


@app.command()
def pause(run_name: RunOrComparison = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Pause a run once its trials in flight have ended.

    It proposes and starts no more trials, but runs the repeats that are due. `agent resume` continues it; a pause
    costs no wall time. Until then, clients of a run of mode submitted do not start it either.

    Exit codes: 0 done, 2 no process works on the run.
    """
    from agent.server import steering

    found = _stored(runs, run_name)
    name = run_name or found[0].run_id
    paused = steering.pause(found, name, _resume(runs, name))
    if json_:
        print_json({"runs": [{"run": each.run_ids[0], "open_by": each.open_by} for each in paused]})
    else:
        for each in paused:
            print(each.words)


@app.command()
def stop(run_name: RunOrComparison = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Stop a run at once.

    As Ctrl-C in the terminal of the run. Trials in flight are stopped, and run again after `agent resume`.

    Exit codes: 0 done, 2 no process works on the run.
    """
    from agent.server import steering

    found = _stored(runs, run_name)
    name, stopped = run_name or found[0].run_id, []
    for each in steering.stop(found, name, _resume(runs, name), where(runs_folder(runs))):
        stopped.append(each)
        if not json_:
            print(each.words)
    if json_:
        print_json({"runs": [{"run": run_id, "pid": each.open_by} for each in stopped for run_id in each.run_ids]})


def _stored(runs: Path, name: str | None) -> "list[StoredRun]":
    """Return the run of that name, the runs of a comparison of that name or, for None, the run started last."""
    if name is None:
        return [stored_run(runs, None)]
    return [stored_run(runs, each) for each in runs_of(runs, name)]


def _resume(runs: Path, name: str) -> str:
    """Return the command that continues the run or comparison of that name."""
    folder = runs_folder(runs)
    command = "agent compare --resume" if name in folder.comparison_ids() else "agent resume"
    return f"{command} {name}{where(folder)}"
