"""Commands for a run that another process works on: say, pause and stop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Json, Runs, print_json, runs_folder, runs_of, stored_run, where
from agent.errors import AgentError, UsageError
from agent.text import plural

if TYPE_CHECKING:
    from agent.store.stored_run import StoredRun

app = typer.Typer()
WAIT_SECONDS = 60.0
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
    from agent.modes.registry import find_mode
    from agent.run.steering.user_input import SAY
    from agent.store.inbox.inbox import Inbox
    from agent.store.run_lock import holder
    from agent.trials.steering import message_text

    message, documents = message_text(text), []
    for stored in _stored(runs, run_name):
        run_id, mode = stored.run_id, find_mode(stored.config.mode)
        message_id = Inbox(stored.paths.inbox).put(SAY, text=message)
        asks, awaits = mode is not None and mode.needs_model, mode is not None and mode.awaits_submissions
        pid = holder(stored.paths)
        documents.append({"run": run_id, "id": message_id, "open_by": pid, "has_reader": asks or awaits})
        if json_:
            continue
        when = "before the next proposal" if pid is not None else f"once `{_resume(runs, run_name)}` proposes again"
        if asks:
            print(f"{run_id}: the model reads it {when}")
        elif awaits:
            print(f"{run_id}: clients read it with their next `agent brief`, and with each verdict")
        else:
            print(f"{run_id}: mode {stored.config.mode} asks no model, so no model reads it; it is recorded {when}")
    if json_:
        print_json({"message": message, "runs": documents})


@app.command()
def pause(run_name: RunOrComparison = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Pause a run once its trials in flight have ended.

    It proposes and starts no more trials, but runs the repeats that are due. `agent resume` continues it; a pause
    costs no wall time. Until then, clients of a run of mode submitted do not start it either.

    Exit codes: 0 done, 2 no process works on the run.
    """
    from agent.run.steering.user_input import PAUSE, is_pause_requested
    from agent.store.inbox.inbox import Inbox
    from agent.store.run_lock import holder

    at_work = [(stored, holder(stored.paths)) for stored in _stored(runs, run_name)]
    found = [(stored, pid) for stored, pid in at_work if pid is not None or _awaits_submissions(stored)]
    if not found:
        raise _nobody(runs, run_name)
    for stored, pid in found:
        is_asked = is_pause_requested(stored.paths)
        if not is_asked:
            Inbox(stored.paths.inbox).put(PAUSE)
        if pid is None:
            if not json_:
                continues = f"`{_resume(runs, run_name or stored.run_id)}` continues it"
                print(f"{stored.run_id}: paused; what clients submit waits until {continues}")
            continue
        history = stored.history
        n_left = sum(not trial.waits_for_approval for trial in history.in_flight.values())
        n_left += history.repeating is not None
        after = f"once {plural(n_left, 'trial')} in flight and repeats that are due have ended"
        if not json_:
            again = "already " if is_asked else ""
            print(f"{stored.run_id}: {again}pauses {after}; `{_resume(runs, run_name or stored.run_id)}` continues it")
    if json_:
        print_json({"runs": [{"run": stored.run_id, "open_by": pid} for stored, pid in found]})


@app.command()
def stop(run_name: RunOrComparison = None, *, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Stop a run at once.

    As Ctrl-C in the terminal of the run. Trials in flight are stopped, and run again after `agent resume`.

    Exit codes: 0 done, 2 no process works on the run.
    """
    from agent.run.steering.user_input import PAUSE, discard_pause_requests
    from agent.store.inbox.inbox import Inbox
    from agent.store.run_lock import holder, stop_holder

    stopped: dict[int, list[str]] = {}
    for stored in _stored(runs, run_name):
        pid = holder(stored.paths)
        if pid is not None:
            if _awaits_submissions(stored):  # a client that waits would start it again at once
                Inbox(stored.paths.inbox).put(PAUSE)
            stopped.setdefault(pid, []).append(stored.run_id)
    if not stopped:
        raise _nobody(runs, run_name)
    for pid, run_ids in stopped.items():
        try:
            has_ended = stop_holder(runs_folder(runs).run(run_ids[0]), WAIT_SECONDS)
        except UsageError:  # no signal was sent, so nothing is paused either
            for run_id in run_ids:
                discard_pause_requests(runs_folder(runs).run(run_id))
            raise
        if not has_ended:
            raise AgentError(
                f"process {pid}, which works on {run_ids[0]}, got the signal to stop, but has not ended within "
                f"{WAIT_SECONDS:g} s; a second `agent stop` ends it without waiting for its jobs"
            )
        if not json_:
            print(f"stopped process {pid}; `{_resume(runs, run_name or run_ids[0])}` continues {', '.join(run_ids)}")
    if json_:
        print_json({"runs": [{"run": run_id, "pid": pid} for pid, names in stopped.items() for run_id in names]})


def _awaits_submissions(stored: "StoredRun") -> bool:
    from agent.modes.registry import find_mode

    mode = find_mode(stored.config.mode)
    return mode is not None and mode.awaits_submissions


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


def _nobody(runs: Path, name: str | None) -> UsageError:
    name = name or stored_run(runs, None).run_id
    return UsageError(f"no process of this machine works on {name}; `{_resume(runs, name)}` continues it")
