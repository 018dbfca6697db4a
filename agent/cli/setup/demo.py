"""The command `agent demo`: a short search on the small task that ships with the program, without torch or a model."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Runs, runs_folder, where
from agent.cli.run import checked_options
from agent.cli.run_progress import go
from agent.cli.search_options.definitions import RunOptions
from agent.cli.setup.settings import settings_for
from agent.execution.sandboxes import DEFAULT_SANDBOX

app = typer.Typer()

TASK, PROFILE = "examples/digits", "demo"
MODE = "local-gp"


@app.command()
def demo(
    ctx: typer.Context,
    *,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="Trials, baseline included.")] = 8,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Watch a search of half a minute.

    It tunes a small NumPy script that reads pictures of digits. Real trials run in the sandbox, without a network, a
    model or a GPU, and the run stays in the folder of runs like any other.
    """
    from agent.resources import folder

    name = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    options = RunOptions(task=folder(TASK), profile=PROFILE, mode=MODE, trials=trials, name=name, runs=runs)
    sandbox = settings_for(ctx, None, trusted=False).get("sandbox", DEFAULT_SANDBOX)
    config, _ = checked_options({}, replace(options, sandbox=sandbox))
    print("a small classifier of digits: each trial trains it in a sandbox under other hyperparameters, and this")
    print("program scores it on pictures whose labels the script never sees", flush=True)
    go(config, runs_folder(runs), json_=False)
    option = where(runs_folder(runs))
    print("\nthat was a whole run; now:")
    for command, about in (
        (f"agent log {name}{option}", "its trials, each a commit"),
        (f"agent report {name}{option}", "an HTML page about it"),
        ("agent init FOLDER", "your own script: writes its task.toml"),
        (f"agent run --task FOLDER --mode {MODE} --wall 8h", "your own night"),
    ):
        print(f"  {command:48}  {about}")
