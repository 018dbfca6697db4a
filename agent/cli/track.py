"""`agent track`: a run mirrored to an experiment tracker."""

import os
import select
import signal
import sys
from typing import Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, RunName, Runs, stored_run
from agent.text import counted

app = typer.Typer()
LAST_SECONDS = 120
"""How long a tracker that follows a run may go on after its end: a server that does not answer is given up then."""
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
}


@app.command()
def track(
    run_name: RunName = None,
    *,
    to: Annotated[str, typer.Option("--to", metavar="TRACKER", help="mlflow, tensorboard or wandb (offline).")],
    uri: Annotated[
        str | None, typer.Option(metavar="URI", help="mlflow: server or store, if not MLFLOW_TRACKING_URI.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Bring a tracker up to a run, going on or ended. Asked again, it adds what is new and nothing twice."""
    from agent.report.trackers import mirror

    # Nothing of a run is sent anywhere but to the tracker, and a server that does not answer is not waited for long.
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    stored = stored_run(runs, run_name)
    mirror.check_kind(to)
    with mirror.alone(stored.paths, to, wait=follow):  # the process of an earlier run of it ends by itself
        tracker = mirror.open_tracker(to, stored.paths, uri)
        if follow:
            n_trials = mirror.follow(stored, tracker, _ended, lambda line: print(line, flush=True))
        else:
            n_trials = mirror.mirror(stored, tracker)
        print(f"{counted(n_trials, 'trial')} of {stored.run_id} are in {to}: {tracker.close()}")


def _ended(seconds: float) -> bool:
    """Wait so long and return whether the search has closed its end of our stdin; then the time that is left begins."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return False
    signal.alarm(LAST_SECONDS)
    return True
