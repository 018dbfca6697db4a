"""The commands that run trials: run and resume a search, and measure the noise of a script."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.notifications.chosen import OnConfirmed, OnEnd, chosen_commands, folder_of_file
from agent.cli.options import (
    DEFAULT_RUNS,
    Gpus,
    Json,
    Profile,
    Queue,
    RunName,
    Runs,
    SandboxKind,
    TaskFolder,
    Weaker,
    Workers,
    full_name,
    given,
    runs_folder,
    sandbox_settings,
    settings_of,
    start_of,
    stored_run,
    task_folder,
)
from agent.cli.run_progress import check_trackers, go
from agent.cli.search_options.configuration import caps_of, configured
from agent.cli.search_options.definitions import RunOptions
from agent.cli.search_options.panels import GroupedCommand, with_options
from agent.cli.setup.settings import settings_for, use_endpoint_of_user, with_settings
from agent.cli.trust import Trusted, agree_to_run, begin
from agent.execution.sandboxes import DEFAULT_SANDBOX, sandbox_named

if TYPE_CHECKING:
    from agent.store.run_config import RunConfig
    from agent.task.task import Task

app = typer.Typer()


@app.command(cls=GroupedCommand)
@with_options(RunOptions)
def run(ctx: typer.Context, options: RunOptions) -> None:
    """Search until a budget is spent.

    Each trial: propose an edit of the script, train it in a sandbox, score it, and commit or revert. Without a budget,
    a run has 100 trials.

    Exit codes: 0 ended or paused, 1 gave up or the baseline failed, 3 the budget left nothing to run.
    """
    folder = folder_of_file(task_folder(options.task), options.mode, options.from_)
    commands = chosen_commands(options.on_end, options.on_confirmed, folder, trusted=options.trust)
    config, _ = checked_start(ctx, options)
    go(
        config,
        runs_folder(options.runs),
        json_=options.json_,
        is_default_budget=not options.has_budget,
        commands=commands,
    )


def checked_start(ctx: typer.Context, options: RunOptions) -> "tuple[RunConfig, Task]":
    """Return the configuration of a new run and its task, once the user has agreed to the task and its settings.

    Raises:
        UsageError: an option or a setting is wrong, or the user has not agreed.
        TaskError: there is no such task.
        MissingRequirementError: a package is missing that the mode, the task or a tracker needs.
    """
    folder = None if options.from_ is not None else task_folder(options.task)
    return checked_options(given(ctx), with_settings(ctx, options, folder, trusted=options.trust))


def checked_options(written: dict[str, Any], options: RunOptions) -> "tuple[RunConfig, Task]":
    """Return the configuration of a new run and its task, once the user has agreed to the task.

    Args:
        written: those of the options that are given on the command line.

    Raises:
        UsageError: an option is wrong, or the user has not agreed.
        TaskError: there is no such task.
        MissingRequirementError: a package is missing that the mode, the task or a tracker needs.
    """
    from agent.execution.environment import require_packages
    from agent.modes.registry import refuse_unused_options, searching_mode
    from agent.store import run_config

    mode = searching_mode(options.mode)
    if "agent_time" in written:
        written["agent_seconds"] = written.pop("agent_time")
    refuse_unused_options([mode.name], written)
    sandbox_named(options.sandbox)
    folder, task = start_of(options.task, options.profile, options.runs, options.from_, option="--from")
    require_packages(task, options.sandbox)
    begin(task, options.from_, options.runs, trusted=options.trust)
    if not options.has_budget:
        options = replace(options, trials=run_config.DEFAULT_TRIALS)
    made = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{run_config.in_a_name(mode.name)}-s{options.seed}"
    config = configured(
        options, folder, task, run_id=options.name or made, mode=mode.name, needs_model=mode.needs_model
    )
    check_trackers(config)
    return config, task


@app.command()
def resume(
    run_name: RunName = None,
    *,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Raise the total of trials, baseline included.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="24h", help="Raise the training budget.")] = None,
    wall: Annotated[str | None, typer.Option(metavar="8h", help="Raise the wall time.")] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="Raise the limit on cost.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Raise the limit on tokens.")] = None,
    task: Annotated[
        Path | None, typer.Option("--task", metavar="DIR", help="Folder of the task, if it was moved.")
    ] = None,
    accept_changed: Annotated[
        list[str],
        typer.Option("--accept-changed", metavar="WHAT", help="Resume although this has changed, e.g. torch."),
    ] = [],  # noqa: B006 (typer copies it)
    on: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Continue in another part of the cluster: slurm:PARTITION, ray:HOST:PORT."),
    ] = None,
    workers: Workers = None,
    queue: Queue = None,
    mode: Annotated[str | None, typer.Option(hidden=True)] = None,
    seed: Annotated[int | None, typer.Option(hidden=True)] = None,
    profile: Annotated[str | None, typer.Option(hidden=True)] = None,
    sandbox: Annotated[str | None, typer.Option(hidden=True)] = None,
    model: Annotated[str | None, typer.Option(hidden=True)] = None,
    on_end: OnEnd = None,
    on_confirmed: OnConfirmed = None,
    for_client: Annotated[bool, typer.Option("--for-client", hidden=True)] = False,  # see agent.server.runner
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Resume an interrupted run.

    The run continues exactly where its journal ends. Its budgets may be raised, and its workers may be more or fewer.

    Exit codes: as `agent run`.
    """
    from agent.run.opening import ResumeOptions
    from agent.run.resume import refuse_changes

    stored = stored_run(runs, run_name)
    requested = {"mode": mode, "seed": seed, "profile": profile, "sandbox": sandbox, "model": model}
    refuse_changes(stored.config, requested)
    agree_to_run(stored, task.resolve() if task else None, trusted=trust)
    config = stored.config
    own_folder = folder_of_file((task or Path(config.task_folder)).resolve(), config.mode, config.of_trial)
    commands = chosen_commands(on_end, on_confirmed, own_folder, trusted=trust)
    use_endpoint_of_user()
    caps = caps_of(trials, budget, wall, max_cost, max_tokens)
    folder = str(task.resolve()) if task else None
    options = ResumeOptions(caps, tuple(accept_changed), folder, workers, queue, on, for_client)
    go(stored.config, runs_folder(runs), options=options, json_=json_, commands=commands)


@app.command()
def noise(
    ctx: typer.Context,
    trial: Annotated[
        str | None, typer.Argument(metavar="[RUN/7]", help="Trial to run; the baseline if not given.")
    ] = None,
    *,
    task: TaskFolder = None,
    profile: Profile = None,
    seeds: Annotated[int, typer.Option(metavar="K", min=2, help="Number of training seeds.")] = 5,
    name: Annotated[str | None, typer.Option(metavar="RUN", help="Name of the run; its date if not given.")] = None,
    sandbox: SandboxKind = DEFAULT_SANDBOX,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Measure the noise over training seeds.

    Runs the baseline, or another trial, under several training seeds and prints the standard deviation of the loss.
    """
    from agent.modes.registry import NOISE
    from agent.store import run_config

    folder, checked = start_of(task, profile, runs, trial, option="a trial")
    found = settings_for(ctx, folder if trial is None else None, trusted=trust)
    sandboxed = sandbox_settings(found.get("sandbox", sandbox), accept_unenforced, found.get("gpus", gpus))
    begin(checked, trial, runs, trusted=trust)
    config = run_config.checked(
        run_id=name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-noise",
        mode=NOISE,
        of_trial=full_name(runs, trial),
        **settings_of(folder, checked),
        keep="baseline",
        trials=seeds,
        **sandboxed,
    )
    go(config, runs_folder(runs), json_=json_)
