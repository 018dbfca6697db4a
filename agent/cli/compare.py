"""`agent compare`: several modes under several seeds on one task, made in turns, and the tables of what came of it."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import (
    DEFAULT_RUNS,
    Confirm,
    Force,
    Gpus,
    Json,
    Profile,
    Runs,
    SandboxKind,
    TaskFolder,
    Weaker,
    given,
    host_of,
    price_of,
    print_json,
    runs_folder,
    sandbox_settings,
    settings_of,
    start_of,
    where,
    whole_name,
)
from agent.cli.report import refuse_other_files, write_report
from agent.cli.trust import Trusted, begin
from agent.errors import AgentError, BudgetSpentError, UsageError
from agent.execution.sandboxes import DEFAULT_SANDBOX
from agent.task.score_kinds import is_self_reported
from agent.text import counted
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from agent.analysis.comparison import Comparison
    from agent.report.live_screen import Screen
    from agent.run.ending import End
    from agent.run.open_run import Run
    from agent.store.git_repo import TrialRepo
    from agent.store.paths import RunPaths, RunsFolder
    from agent.store.run_config import RunConfig
    from agent.task.task import Task


app = typer.Typer()


@app.command()
def compare(
    ctx: typer.Context,
    shown: Annotated[
        str | None, typer.Argument(metavar="[CMP]", help="A comparison to show; the last one if not given.")
    ] = None,
    *,
    modes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Modes to compare; centaur:echo is the control of centaur.")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Seeds of the search for each mode, from 0 on.")] = 5,
    trials: Annotated[int | None, typer.Option(metavar="N", help="Trials of each run, the baseline included.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="24h", help="Training time of each run, as charged.")] = None,
    wall: Annotated[str | None, typer.Option(metavar="8h", help="Time by the clock that each run may use.")] = None,
    name: Annotated[
        str | None, typer.Option(metavar="CMP", help="Name of the comparison; its runs are CMP-MODE-sSEED.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="CMP", help="Go on with a comparison; its budgets may be raised.")
    ] = None,
    minus: Annotated[
        str | None, typer.Option(metavar="MODE", help="Mode that the others are held against; the first if not given.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page about all the runs as well.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write its first chart as a picture as well.")
    ] = None,
    task: TaskFolder = None,
    profile: Profile = None,
    keep: Annotated[
        str | None, typer.Option(metavar="RULE", help="two-tier: a fresh run decides about a gain; any: nothing does.")
    ] = None,
    confirm: Confirm = True,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop trials that diverge, or fall hopelessly behind half-way.")
    ] = True,
    final_runs: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of each result under held-out seeds; 3 from 20 trials on.")
    ] = None,
    sandbox: SandboxKind = DEFAULT_SANDBOX,
    accept_unenforced: Weaker = [],  # noqa: B006 (typer copies it)
    gpus: Gpus = None,
    model: Annotated[
        str | None, typer.Option(metavar="M", envvar="OPENAI_MODEL", help="Model name of all modes that ask one.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", envvar="OPENAI_BASE_URL", help="OpenAI-compatible endpoint.")
    ] = None,
    context_tokens: Annotated[int, typer.Option(metavar="N", help="The model's window.")] = 32_768,
    price: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="Dollars per million tokens of prompts and of replies.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(metavar="USD", help="Cap on the model calls of each run.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Cap on the tokens of each run.")] = None,
    llm_share: Annotated[float, typer.Option(metavar="X", help="centaur: share of trials the model decides.")] = 0.3,
    llm_warmup: Annotated[int, typer.Option(metavar="N", help="centaur: trials before the model's first turn.")] = 10,
    derived: Annotated[
        bool, typer.Option("--derived/--no-derived", help="Search through the coordinates that the task derives.")
    ] = True,
    trust: Trusted = False,
    force: Force = False,
    runs: Runs = DEFAULT_RUNS,
    json_: Json = False,
) -> None:
    """Compare modes on a task: --modes begins or goes on, --resume goes on, and without them the tables are shown."""
    from agent.analysis import comparison as comparisons
    from agent.modes.registry import refuse_unused_options
    from agent.trials.budget import seconds

    folder, more = runs_folder(runs), _Written(report, png, force)
    refuse_other_files(report, png, force=force)
    caps = {
        "trials": trials,
        "budget_seconds": seconds(budget) if budget else None,
        "wall_seconds": seconds(wall) if wall else None,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
    }
    if [shown, modes, resume].count(None) < 2:
        raise UsageError("give one of CMP (to show it), --modes (to begin) and --resume CMP (to go on)")
    if modes is not None:
        if trials is None and budget is None and wall is None:
            raise UsageError("say how much each run may spend: --trials N, --budget 24h or --wall 8h")
        base = _base(
            name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-compare",
            (task, profile, runs), keep, final_runs, confirm=confirm, prune=prune, price=price, trust=trust, **caps,
            **sandbox_settings(sandbox, accept_unenforced, gpus),
            model=whole_name(model), base_url=base_url, context_tokens=context_tokens, llm_share=llm_share,
            llm_warmup=llm_warmup, derived=derived,
        )  # fmt: skip
        comparison = comparisons.begun(folder, base, modes, seeds)
        refuse_unused_options(comparison.modes, given(ctx))
        _run(comparison, folder, minus, more, json_=json_)
    elif resume is not None:
        _run(comparisons.load(folder, resume).raised(caps), folder, minus, more, json_=json_)
    elif any(value is not None for value in (*caps.values(), name, task, profile)):
        raise UsageError(
            "say which modes to compare, as in --modes random,tpe,cma-es; --resume CMP with a higher --trials goes on"
        )
    else:
        _tell(comparisons.load(folder, shown), folder, minus, more, json_=json_)


class _Written:
    """What is to be written about a comparison beside its tables."""

    def __init__(self, page: Path | None, png: Path | None, force: bool) -> None:
        self.page, self.png, self.force = page, png, force


def _base(
    name: str,
    start: tuple[Path | None, str | None, Path],
    keep: str | None,
    final_runs: int | None,
    *,
    prune: bool,
    price: str | None,
    trust: bool,
    **options: Any,
) -> "RunConfig":
    """Return what all runs of a comparison share, as the configuration of one."""
    from agent.store.run_config import checked, keep_options
    from agent.store.stored_run import noise_options

    folder, task = start_of(*start, None, option="")
    begin(task, None, start[2], trusted=trust)
    once = task.budget.charge_seconds
    in_time = [cap / once for cap in (options["budget_seconds"], options["wall_seconds"]) if cap and once]
    n_trials = min((n for n in (options["trials"], *in_time) if n), default=0)
    dollars, price_source = price_of(price, options["model"], options["base_url"])
    return checked(
        run_id=name,
        mode="random",
        **settings_of(folder, task),
        **noise_options(runs_folder(start[2]), task),
        **keep_options(task, keep, final_runs, n_trials=n_trials, on_gpu=bool(options["gpus"])),
        prune=prune and task.curve is not None,
        price=dollars,
        price_source=price_source,
        **options,
    )


def _run(comparison: "Comparison", runs: "RunsFolder", minus: str | None, more: _Written, *, json_: bool) -> None:
    """Make all the runs in turns, and tell what came of them."""
    from agent.analysis.comparison_runs import in_turns, opened
    from agent.analysis.unseen.common_slice import compare_on_slice, finish, reserve
    from agent.report.live_screen import Live, Screen
    from agent.run.ending import Ending

    _check_reference(comparison, minus)
    width = max(len(name) for names in comparison.run_ids().values() for name in names)
    live = Live(quiet=json_)

    def observer_for(task: "Task", paths: "RunPaths", repo: "TrialRepo") -> "Screen":
        label = f"{paths.run_id:{width}}  "
        return Screen(task.metric, paths, lambda number: repo.tag(paths.run_id, number), live, label)

    def say(line: str) -> None:
        print(line, file=sys.stderr if json_ else sys.stdout, flush=True)

    def ended(run: "Run", end: "End") -> None:
        say(f"{run.run_id:{width}}  ended: {end.reason}")

    go_on = f"agent compare --resume {comparison.name}{where(runs)}"
    with opened(comparison, runs, host_of(say, live.replying), observer_for) as open_runs:
        n_before = _n_done(open_runs)
        say(f"comparison {comparison.name}: {counted(len(open_runs), 'run')}, one trial of each in turn")
        try:
            is_opened = finish(comparison, runs, open_runs, say)
            ends = in_turns(open_runs, ended, lambda: reserve(comparison, runs, open_runs))
            failed = [run_id for run_id, end in ends.items() if end.ending is Ending.BASELINE_FAILED]
            is_opened |= not failed and compare_on_slice(comparison, runs, open_runs, say)
        except KeyboardInterrupt:
            say(f"interrupted; go on with `{go_on}`")
            raise
        except (AgentError, SandboxError, OSError):
            say(f"stopped; all that has ended is in the journals: go on with `{go_on}`")
            raise
        finally:
            live.close()
        n_after = _n_done(open_runs)
    if failed:
        raise AgentError(f"{failed[0]}: {ends[failed[0]].reason}; `agent show {failed[0]}/0{where(runs)}` has its log")
    say("")
    _tell(comparison, runs, minus, more, json_=json_)
    if n_after == n_before and not is_opened:
        raise BudgetSpentError(
            f"nothing is left to run; `agent compare --resume {comparison.name} --trials N` adds to it"
        )


def _n_done(runs: "list[Run]") -> int:
    return sum(len(run.history.results) + len(run.history.slices) for run in runs)


def _tell(comparison: "Comparison", runs: "RunsFolder", minus: str | None, more: _Written, *, json_: bool) -> None:
    """Print the tables, and write the page and the picture if they are wanted."""
    from agent.analysis.comparison_statistics import State, figures
    from agent.analysis.unseen.common_slice import on_common_slice
    from agent.analysis.unseen.slice_file import has_slices
    from agent.report.comparison_text import document, told
    from agent.report.terminal import columns_of
    from agent.store.stored_run import StoredRun

    _check_reference(comparison, minus)
    there = set(runs.run_ids())
    names = [name for each in comparison.run_ids().values() for name in each if name in there]
    stored = [StoredRun.find(runs, name) for name in names]
    if not any(run.history.trials for run in stored):
        raise UsageError(f"{comparison.name} has no finished trial yet; `agent compare --resume {comparison.name}`")
    rows = figures(comparison, stored, minus)
    metric, option = stored[0].metric, where(runs)
    unseen = on_common_slice(comparison, runs, stored)
    if json_:
        print_json(document(comparison, rows, metric, unseen))
    else:
        self_reported, columns = _is_self_reported(stored), columns_of(sys.stdout)
        lines = told(comparison, rows, metric, unseen, self_reported=self_reported, columns=columns)
        print("\n".join(lines))
        if any(run.state is State.GOING_ON for row in rows for run in row.runs):
            print(f"go on: agent compare --resume {comparison.name}{option}")
        elif unseen is None and all(map(has_slices, stored)):
            print(f"no slice was opened for these results yet: agent compare --resume {comparison.name}{option}")
        print(f"next: agent report {comparison.name}{option} · agent log {names[0]}{option}")
    if more.page is not None or more.png is not None:
        begun = [run.run_id for run in stored if run.history.trials]
        write_report(runs, begun, more.page, more.png, quiet=json_, force=more.force)


def _is_self_reported(stored: list[Any]) -> bool:
    scores = [trial.outcome.score for run in stored for trial in run.history.trials[:1] if trial.outcome]
    return any(score is not None and is_self_reported(score.kind) for score in scores)


def _check_reference(comparison: "Comparison", minus: str | None) -> None:
    if minus is not None and minus not in comparison.modes:
        raise UsageError(f"--minus {minus}: the comparison has the modes {', '.join(comparison.modes)}")
