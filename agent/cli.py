"""The command line: parse, call, print. The environment is read in cli*.py alone; nothing slow is imported here."""

import errno
import os
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from agent import cli_attribute, cli_compare, cli_init, cli_read, cli_replay, cli_report, cli_track
from agent.cli_shared import (
    DEFAULT_RUNS,
    Gpus,
    Json,
    Profile,
    RunName,
    Runs,
    SandboxKind,
    TaskFolder,
    Weaker,
    cache_folder,
    full_name,
    load_task,
    price_of,
    print_json,
    runs_folder,
    start_of,
    stored_run,
    task_folder,
    where,
    whole_name,
)
from agent.errors import AgentError, UsageError
from agent.faults import first_fault, in_words
from agent.signals import stop_on_signals

if TYPE_CHECKING:
    from agent.config import RunConfig
    from agent.loop import End
    from agent.open_run import OpenRun
    from agent.paths import RunPaths, RunsFolder
    from agent.repo import TrialRepo
    from agent.session import OnResume
    from agent.task import Task

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,  # plain help: the rich one takes 0.16 s to import
    pretty_exceptions_enable=False,
    help="Let an agent edit a training script in a sandbox; keep what lowers the validation loss.",
)


@app.command()
def run(
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
        str | None, typer.Option(metavar="RULE", help="two-tier: a gain is confirmed by a fresh run; any: never.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop trials that diverge, or fall hopelessly behind half-way.")
    ] = True,
    final_runs: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of the result under held-out seeds; 3 in a run of 20 or more.")
    ] = None,
    sandbox: SandboxKind = "bubblewrap",
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    model: Annotated[
        str | None, typer.Option(metavar="M", envvar="OPENAI_MODEL", help="Model name, replay:FILE, or echo.")
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
    prompt: Annotated[
        str, typer.Option(metavar="P", help="centaur: compact, or paper (the published one, 11,000 tokens).")
    ] = "compact",
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
        list[str], typer.Option("--track", metavar="TRACKER", help="Mirror to mlflow, tensorboard or wandb (offline).")
    ] = [],  # noqa: B006 (typer copies it)
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Search: propose, train in a sandbox, score, commit or revert, until a budget is spent."""
    from agent import config as run_config
    from agent import known_noise
    from agent.budget import seconds
    from agent.keeper import options_of
    from agent.modes import check_mode

    check_mode(mode)
    folder, checked = start_of(task, profile, runs, from_, option="--from")
    if trials is None and budget is None and wall is None:
        trials = run_config.DEFAULT_TRIALS
    train_seconds, wall_seconds = seconds(budget) if budget else None, seconds(wall) if wall else None
    once = checked.budget.charge_seconds
    in_time = [t / once for t in (train_seconds, wall_seconds) if t and once]
    n_trials = min((n for n in (trials, *in_time) if n), default=0)
    dollars, price_source = price_of(price, model, base_url)
    config = run_config.checked(
        run_id=name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{mode}-s{seed}",
        mode=mode,
        seed=seed,
        of_trial=full_name(runs, from_),
        task_folder=str(folder),
        task_name=checked.name,
        task_digest=checked.digest,
        profile=checked.profile,
        metric_name=checked.metric.name,
        metric_goal=checked.metric.goal,
        **known_noise.options_of(runs_folder(runs), checked),
        **options_of(checked, keep, final_runs, n_trials=n_trials, on_gpu=gpus is not None),
        prune=prune and checked.curve is not None,
        trials=trials,
        budget_seconds=train_seconds,
        wall_seconds=wall_seconds,
        sandbox=sandbox,
        accept_unenforced=tuple(accept_unenforced),
        gpus=tuple(gpus.split(",")) if gpus else (),
        model=whole_name(model),
        base_url=base_url,
        derived=derived,
        hints=hints,
        llm_share=llm_share,
        llm_warmup=llm_warmup,
        llm_every=llm_every,
        prompt=prompt,
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
    _check_trackers(config)
    _go(config, runs_folder(runs), json_=json_)


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
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Go on with a run that was interrupted, exactly where its journal ends. Budgets may be raised."""
    from agent.budget import seconds
    from agent.resuming import refuse_changes
    from agent.session import OnResume

    stored = stored_run(runs, run_name)
    asked = {"mode": mode, "seed": seed, "profile": profile, "sandbox": sandbox, "model": model}
    refuse_changes(stored.config, asked)
    caps = {
        "trials": trials,
        "budget_seconds": seconds(budget) if budget else None,
        "wall_seconds": seconds(wall) if wall else None,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
    }
    on_resume = OnResume(caps, tuple(accept_changed), str(task.resolve()) if task else None)
    _go(stored.config, runs_folder(runs), on_resume=on_resume, json_=json_)


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
    sandbox: SandboxKind = "bubblewrap",
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Measure the noise: the baseline, or a trial, under several training seeds, and its standard deviation."""
    from agent import config as run_config
    from agent.modes import NOISE

    folder, checked = start_of(task, profile, runs, trial, option="a trial")
    config = run_config.checked(
        run_id=name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-noise",
        mode=NOISE,
        of_trial=full_name(runs, trial),
        task_folder=str(folder),
        task_name=checked.name,
        task_digest=checked.digest,
        profile=checked.profile,
        metric_name=checked.metric.name,
        metric_goal=checked.metric.goal,
        keep="baseline",
        trials=seeds,
        sandbox=sandbox,
        accept_unenforced=tuple(accept_unenforced),
        gpus=tuple(gpus.split(",")) if gpus else (),
    )
    _go(config, runs_folder(runs), json_=json_)


@app.command()
def prepare(*, task: TaskFolder = None, profile: Profile = None) -> None:
    """Prepare the data of a task now, e.g. before going offline; `agent run` does it when it must."""
    from agent.data import prepare_corpus

    checked = load_task(task_folder(task), profile)
    if not checked.data.prepare:
        raise UsageError(f"{checked.folder}/task.toml has no [data] prepare: there is nothing to prepare")
    corpus = prepare_corpus(checked, cache_folder())
    print(f"{checked.name}: {corpus.sequences('val').shape[0]} validation sequences in {corpus.folder}")


@app.command()
def doctor(*, task: TaskFolder = None, profile: Profile = None, runs: Runs = DEFAULT_RUNS, json_: Json = False) -> None:
    """Check what this machine can do, and say what to do about the rest."""
    from agent.doctor import Endpoint, examine, rendered

    endpoint = Endpoint(
        os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_MODEL"), os.environ.get("OPENAI_API_KEY")
    )
    findings = examine(task_folder(task), profile, cache_folder(), runs_folder(runs), endpoint)
    if json_:
        print_json([finding.to_json() for finding in findings])
    else:
        print(rendered(findings, sys.stdout.isatty()))
    if any(finding.verdict == "missing" for finding in findings):
        raise typer.Exit(4)


app.add_typer(cli_compare.app)
app.add_typer(cli_init.app)
app.add_typer(cli_read.app)
app.add_typer(cli_replay.app)
app.add_typer(cli_report.app)
app.add_typer(cli_track.app)
app.add_typer(cli_attribute.app)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from agent import __version__

        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> NoReturn:
    """Run the command and exit: 0 done, 1 failed, 2 usage, 3 budget spent, 4 something is missing, 130 interrupted."""
    # A caller inside a git hook has GIT_DIR and the like set; they must not lead our git to the user's repository.
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[variable]
    stop_on_signals()
    for stream in (sys.stdout, sys.stderr):  # a character that this terminal or file has not is shown by its number
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    from sandbox.errors import SandboxError

    try:
        code = app(standalone_mode=False)
    except AgentError as error:
        _fail(str(error), error.exit_code)
    except SandboxError as error:
        _fail(str(error), 4)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe is gone, as after `agent log | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"no space left on the disk{where}; make room and go on with `agent resume`", 1)
    except TyperException as error:
        said, fault = error.format_message(), first_fault(error.__cause__)
        if fault is not None:
            said = f"{said.partition(': ')[0]}: {in_words(fault)}"
        _fail(f"{said} (see `agent --help`)", 2)
    sys.exit(code if isinstance(code, int) else 0)  # typer returns the code of typer.Exit, and 130 for Ctrl-C


def _go(config: "RunConfig", runs: "RunsFolder", *, on_resume: "OnResume | None" = None, json_: bool) -> None:
    """Run trials of a new run or, with `on_resume`, of an interrupted one, and end with what came of it."""
    from agent.loop import Ending, run_trials
    from agent.report import text
    from agent.report.screen import Live, Screen
    from agent.session import Surroundings, existing_run, new_run
    from agent.track.companion import tracked
    from sandbox.errors import SandboxError

    live = Live(quiet=json_)

    def screen_of(task: "Task", paths: "RunPaths", repo: "TrialRepo") -> Screen:
        return Screen(task.metric, paths, lambda number: repo.tag(paths.run_id, number), live)

    def say(line: str) -> None:
        print(line, file=sys.stderr if json_ else sys.stdout, flush=True)

    key = os.environ.get("OPENAI_API_KEY")
    around = Surroundings(cache_folder(), key, dict(os.environ), screen_of, say, live.replying)
    go_on = f"agent resume {config.run_id}{where(runs)}"
    opened = new_run(config, runs, around) if on_resume is None else existing_run(config, runs, around, on_resume)
    with opened as open_run:
        say(f"run {config.run_id}: mode {config.mode}, {_what(open_run)}")
        try:
            with tracked(config.track, open_run.paths, say):
                end = run_trials(open_run)
        except KeyboardInterrupt:
            say(f"interrupted; go on with `{go_on}`")
            raise
        except (AgentError, SandboxError, OSError):
            say(f"stopped; all that has ended is in the journal: go on with `{go_on}`")
            raise
        finally:
            live.close()
        history, hashes = open_run.history, open_run.repo.tags(config.run_id)
    if json_:
        rows = [text.trial_json(trial, hashes.get(trial.number), open_run.task.metric) for trial in history.trials]
        document = {"run": config.run_id, "mode": config.mode, "end": end.ending, "reason": end.reason}
        print_json({**document, **text.result_json(history, open_run.keeper), "trials": rows})
    else:
        _closing(config, runs, open_run, end)
    if end.ending is Ending.NOTHING_RAN:
        _fail(f"{end.reason}; `{go_on}` takes a higher --trials, --budget or --wall", 3)
    if end.ending is not Ending.DONE:
        _fail(end.reason, 1)


def _check_trackers(config: "RunConfig") -> None:
    """Raise MissingRequirementError for a tracker whose library is not installed."""
    from agent.track.mirror import check_kind

    for kind in config.track:
        check_kind(kind)


def _closing(config: "RunConfig", runs: "RunsFolder", run: "OpenRun", end: "End") -> None:
    from agent.loop import Ending
    from agent.modes import NOISE
    from agent.report import text
    from agent.report.noise import noise_summary
    from agent.report.terminal import columns_of, sentences

    if end.ending is Ending.BASELINE_FAILED:
        from agent.judge import read_tail

        log_path = run.paths.trial(0).log
        print(f"\nthe end of {log_path}:\n{read_tail(log_path)[-2000:]}", file=sys.stderr)
        return
    print(f"\n{end.reason}")
    metric = run.task.metric
    if config.mode == NOISE:
        print("\n".join(noise_summary(run.history.trials, metric)))
        return
    print("\n".join(sentences(text.summary(run.history, metric, run.keeper), columns_of(sys.stdout))))
    option = where(runs)
    last = f"{config.run_id}/{run.history.trials[-1].number}"
    named = "" if runs.run_ids()[-1] == config.run_id else f" {config.run_id}"  # without a name it is the last run
    print(f"next: agent log{named} --graph{option} · agent show {last}{option} · agent best{named}{option}")


def _what(run: "OpenRun") -> str:
    task = run.task
    profile = f" ({task.profile})" if task.profile else ""
    unit = f"{task.budget.amount:g} {task.budget.unit} a trial, budget: {task.budget.kind}"
    model = f", model {run.model_name}" if run.model_name else ""
    return f"task {task.name}{profile}, {unit}{model}"


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
