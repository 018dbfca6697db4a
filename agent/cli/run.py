"""The commands that run trials: a search, going on with one, and the noise of a script."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    NAMES_OF_TRACKERS,
    Confirm,
    Gpus,
    Json,
    Profile,
    RunName,
    Runs,
    SandboxKind,
    TaskFolder,
    Weaker,
    full_name,
    given,
    price_of,
    runs_folder,
    sandbox_settings,
    settings_of,
    start_of,
    stored_run,
    whole_name,
)
from agent.cli.run_progress import check_trackers, go
from agent.cli.trust import Trusted, agree_to_run, begin
from agent.execution.sandboxes import DEFAULT_SANDBOX

app = typer.Typer()


@app.command()
def run(
    ctx: typer.Context,
    *,
    task: TaskFolder = None,
    profile: Profile = None,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="centaur, fixed, code-edit, cma-es, local, local-gp, tpe or random.")
    ] = "centaur",
    trials: Annotated[int | None, typer.Option(metavar="N", help="Trials in all, the baseline included.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="24h", help="Training time, as charged to trials.")] = None,
    wall: Annotated[str | None, typer.Option(metavar="8h", help="Time by the clock, for everything.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Seed of the search.")] = 0,
    name: Annotated[str | None, typer.Option(metavar="RUN", help="Name of the run.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="RUN/7", help="Begin with the script of a trial as the baseline.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="RULE", help="two-tier: a fresh run decides about a gain; any: nothing does.")
    ] = None,
    confirm: Confirm = True,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop trials that diverge, or fall hopelessly behind half-way.")
    ] = True,
    final_runs: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of the result under held-out seeds; 3 in a run of 20 or more.")
    ] = None,
    sandbox: SandboxKind = DEFAULT_SANDBOX,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    model: Annotated[
        str | None, typer.Option(metavar="M", envvar="OPENAI_MODEL", help="Model name, or replay:FILE.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", envvar="OPENAI_BASE_URL", help="OpenAI-compatible endpoint.")
    ] = None,
    derived: Annotated[
        bool, typer.Option("--derived/--no-derived", help="Search through the coordinates that the task derives.")
    ] = True,
    hints: Annotated[
        bool, typer.Option("--hints/--no-hints", help="Begin at the values that the task hints at.")
    ] = False,
    llm_share: Annotated[float, typer.Option(metavar="X", help="centaur: share of trials the model decides.")] = 0.3,
    llm_warmup: Annotated[int, typer.Option(metavar="N", help="centaur: trials before the model's first turn.")] = 10,
    llm_every: Annotated[
        int | None, typer.Option(metavar="K", help="centaur: the model decides every k-th trial, not a share.")
    ] = None,
    attempts: Annotated[
        int, typer.Option(metavar="N", help="code-edit: replies of the model per proposal; elsewhere 2.")
    ] = 3,
    price: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="Dollars per million tokens of prompts and of replies.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="Cap on the dollars of model calls.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Cap on the tokens of model calls.")] = None,
    context_tokens: Annotated[int, typer.Option(metavar="N", help="The model's window.")] = 32_768,
    lookahead: Annotated[
        int, typer.Option(metavar="0|1", help="code-edit: think of the next trial while one trains.")
    ] = 0,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the model's replies, for --model replay:FILE.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke/--no-smoke", help="code-edit: rehearse one step of each edit first.")
    ] = True,
    smoke_on: Annotated[
        str, typer.Option(metavar="cpu|gpu", help="code-edit: where to rehearse; gpu waits for the trial there.")
    ] = "cpu",
    edit_format: Annotated[
        str | None, typer.Option(metavar="F", help="code-edit: search-replace, diff, whole-file or lines.")
    ] = None,
    track: Annotated[
        list[str], typer.Option("--track", metavar="TRACKER", help=f"Mirror the run to {NAMES_OF_TRACKERS}.")
    ] = [],  # noqa: B006 (typer copies it)
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Search: propose, train in a sandbox, score, commit or revert, until a budget is spent."""
    from agent.modes.registry import refuse_unused_options, searching_mode
    from agent.store import run_config
    from agent.store.run_config import keep_options
    from agent.store.stored_run import noise_options
    from agent.trials.budget import seconds

    needs_model = searching_mode(mode).needs_model
    refuse_unused_options([mode], given(ctx))
    sandboxed = sandbox_settings(sandbox, accept_unenforced, gpus)
    folder, checked = start_of(task, profile, runs, from_, option="--from")
    begin(checked, from_, runs, trusted=trust)
    if trials is None and budget is None and wall is None:
        trials = run_config.DEFAULT_TRIALS
    train_seconds, wall_seconds = seconds(budget) if budget else None, seconds(wall) if wall else None
    once = checked.budget.charge_seconds
    in_time = [t / once for t in (train_seconds, wall_seconds) if t and once]
    n_trials = min((n for n in (trials, *in_time) if n), default=0)
    dollars, price_source = price_of(price, model, base_url) if needs_model else (None, None)
    config = run_config.checked(
        run_id=name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{run_config.in_a_name(mode)}-s{seed}",
        mode=mode,
        seed=seed,
        of_trial=full_name(runs, from_),
        **settings_of(folder, checked),
        **noise_options(runs_folder(runs), checked),
        **keep_options(checked, keep, final_runs, n_trials=n_trials, on_gpu=gpus is not None),
        confirm=confirm,
        prune=prune and checked.curve is not None,
        trials=trials,
        budget_seconds=train_seconds,
        wall_seconds=wall_seconds,
        **sandboxed,
        model=whole_name(model) if needs_model else None,
        base_url=base_url if needs_model else None,
        derived=derived,
        hints=hints,
        llm_share=llm_share,
        llm_warmup=llm_warmup,
        llm_every=llm_every,
        attempts=attempts,
        price=dollars,
        price_source=price_source,
        max_cost=max_cost,
        max_tokens=max_tokens,
        context_tokens=context_tokens,
        record=str(record.resolve()) if record else None,
        lookahead=lookahead,
        smoke=smoke,
        smoke_on=smoke_on,
        edit_format=edit_format,
        track=tuple(dict.fromkeys(track)),
    )
    check_trackers(config)
    go(config, runs_folder(runs), json_=json_)


@app.command()
def resume(
    run_name: RunName = None,
    *,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="Raise the trials in all, the baseline included.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="24h", help="Raise the training time.")] = None,
    wall: Annotated[str | None, typer.Option(metavar="8h", help="Raise the time by the clock.")] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="Raise the cap on dollars.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Raise the cap on tokens.")] = None,
    task: Annotated[
        Path | None, typer.Option("--task", metavar="DIR", help="Where the task lies now, if it was moved.")
    ] = None,
    accept_changed: Annotated[
        list[str], typer.Option("--accept-changed", metavar="WHAT", help="Go on although this has changed, e.g. torch.")
    ] = [],  # noqa: B006 (typer copies it)
    mode: Annotated[str | None, typer.Option(hidden=True)] = None,
    seed: Annotated[int | None, typer.Option(hidden=True)] = None,
    profile: Annotated[str | None, typer.Option(hidden=True)] = None,
    sandbox: Annotated[str | None, typer.Option(hidden=True)] = None,
    model: Annotated[str | None, typer.Option(hidden=True)] = None,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Go on with a run that was interrupted, exactly where its journal ends. Budgets may be raised."""
    from agent.run.opening import ResumeOptions
    from agent.run.resume import refuse_changes
    from agent.trials.budget import seconds

    stored = stored_run(runs, run_name)
    asked = {"mode": mode, "seed": seed, "profile": profile, "sandbox": sandbox, "model": model}
    refuse_changes(stored.config, asked)
    agree_to_run(stored, task.resolve() if task else None, trusted=trust)
    caps = {
        "trials": trials,
        "budget_seconds": seconds(budget) if budget else None,
        "wall_seconds": seconds(wall) if wall else None,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
    }
    options = ResumeOptions(caps, tuple(accept_changed), str(task.resolve()) if task else None)
    go(stored.config, runs_folder(runs), options=options, json_=json_)


@app.command()
def noise(
    trial: Annotated[
        str | None, typer.Argument(metavar="[RUN/7]", help="A trial to run under several seeds, not the baseline.")
    ] = None,
    *,
    task: TaskFolder = None,
    profile: Profile = None,
    seeds: Annotated[int, typer.Option(metavar="K", min=2, help="How many training seeds.")] = 5,
    name: Annotated[str | None, typer.Option(metavar="RUN", help="Name of the run.")] = None,
    sandbox: SandboxKind = DEFAULT_SANDBOX,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    trust: Trusted = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Measure the noise: the baseline, or a trial, under several training seeds, and its standard deviation."""
    from agent.modes.registry import NOISE
    from agent.store import run_config

    sandboxed = sandbox_settings(sandbox, accept_unenforced, gpus)
    folder, checked = start_of(task, profile, runs, trial, option="a trial")
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
