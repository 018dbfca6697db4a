"""`agent compare`: interleaves runs of several modes under several seeds on one task, and prints their results."""

import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.notifications.chosen import UserCommands, chosen_commands
from agent.cli.options import (
    can_redraw,
    given,
    host_of,
    load_task,
    print_json,
    printer,
    runs_folder,
    shows_colour,
    start_of,
    task_folder,
    where,
)
from agent.cli.report import refuse_other_files, write_report
from agent.cli.run_progress import workers
from agent.cli.search_options.configuration import caps_in, configured
from agent.cli.search_options.definitions import CompareOptions
from agent.cli.search_options.panels import GroupedCommand, with_options
from agent.cli.setup.settings import use_endpoint_of_user, with_settings
from agent.cli.trust import begin
from agent.errors import AgentError, BudgetSpentError, UsageError
from agent.execution.sandboxes import sandbox_named
from agent.extras import require_extra
from agent.task.score_kinds import is_self_reported
from agent.text import local_now, plural
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from agent.analysis.comparison import Comparison
    from agent.cli.notifications.notifier import Notifier
    from agent.report.live.recorder import WorkRecorder
    from agent.run.ending import End
    from agent.run.open_run import Run
    from agent.store.git_repo import TrialRepo
    from agent.store.paths import RunPaths, RunsFolder
    from agent.task.task import Task
    from agent.text import Say


app = typer.Typer()


@app.command(cls=GroupedCommand)
@with_options(CompareOptions)
def compare(
    ctx: typer.Context,
    options: CompareOptions,
    shown: Annotated[
        str | None, typer.Argument(metavar="[CMP]", help="Comparison to show; the last one if not given.")
    ] = None,
) -> None:
    """Compare modes under several seeds.

    --modes starts a comparison and --resume resumes one. Without them, the tables of a comparison are printed.

    Exit codes: 0 ended or paused, 1 a baseline failed, 3 nothing is left to run.
    """
    from agent.analysis import comparison as comparisons

    folder, more = runs_folder(options.runs), _Written(options.report, options.png, options.force)
    refuse_other_files(options.report, options.png, force=options.force)
    if options.png is not None:
        require_extra("report", "--png")
    caps = caps_in(options)
    if [shown, options.modes, options.resume].count(None) < 2:
        raise UsageError("give only one of CMP (to show it), --modes (to start one) and --resume CMP (to resume it)")
    if options.modes is not None:
        task = task_folder(options.task)
        commands = chosen_commands(options.on_end, options.on_confirmed, task, trusted=options.trust)
        comparison = _begun(with_settings(ctx, options, task, trusted=options.trust), options.modes, folder, given(ctx))
        _run(comparison, folder, options.minus, more, commands, json_=options.json_)
    elif options.resume is not None:
        comparison = comparisons.load(folder, options.resume).raised(caps)
        config = comparison.config
        task = Path(config.task_folder)
        commands = chosen_commands(options.on_end, options.on_confirmed, task, trusted=options.trust)
        use_endpoint_of_user()
        begin(load_task(task, config.profile), None, options.runs, trusted=options.trust)
        _run(comparison, folder, options.minus, more, commands, json_=options.json_)
    elif any(value is not None for value in (*caps.values(), options.name, options.task, options.profile)):
        raise UsageError(
            "name the modes to compare, as in --modes random,tpe,cma-es; or extend a comparison with --resume CMP"
        )
    else:
        _tell(comparisons.load(folder, shown), folder, options.minus, more, json_=options.json_)


class _Written:
    """The files to write about a comparison, besides printing its tables."""

    def __init__(self, page: Path | None, png: Path | None, force: bool) -> None:
        self.page, self.png, self.force = page, png, force


def _begun(options: CompareOptions, modes: str, runs: "RunsFolder", written: Mapping[str, Any]) -> "Comparison":
    """Return the comparison that the options describe; `written` are those given on the command line."""
    from agent.analysis.comparison import checked_modes, start_or_load
    from agent.execution.environment import require_packages
    from agent.modes.registry import mode_named, refuse_unused_options

    if not options.has_budget:
        raise UsageError("give each run a budget: --trials N, --budget 24h or --wall 8h")
    names = checked_modes(modes)
    refuse_unused_options(names, written)
    sandbox_named(options.sandbox)
    folder, task = start_of(options.task, options.profile, options.runs, None, option="")
    require_packages(task, options.sandbox)
    begin(task, None, options.runs, trusted=options.trust)
    name = options.name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-compare"
    asks = any(mode_named(each).needs_model for each in names)
    base = configured(options, folder, task, run_id=name, mode=names[0], needs_model=asks)
    return start_or_load(runs, base, names, options.seeds)


def _run(
    comparison: "Comparison",
    runs: "RunsFolder",
    minus: str | None,
    more: _Written,
    commands: UserCommands,
    *,
    json_: bool,
) -> None:
    """Run all the runs, interleaved, print their results, and run the user's commands."""
    from agent.cli.notifications.notifier import notifications

    _check_reference(comparison, minus)
    say = printer(json_=json_)
    with notifications(commands, runs, comparison.name, say) as notifier:
        _run_all(comparison, runs, minus, more, notifier, say=say, json_=json_)


def _run_all(
    comparison: "Comparison",
    runs: "RunsFolder",
    minus: str | None,
    more: _Written,
    notifier: "Notifier",
    *,
    say: "Say",
    json_: bool,
) -> None:
    from agent.analysis.comparison_runs import opened
    from agent.analysis.unseen.common_slice import compare_on_slice, finish, reserve
    from agent.report.live.console import LiveConsole
    from agent.report.live.observer import ConsoleObserver
    from agent.report.live.progress import progress_of_all
    from agent.report.live.recorder import WorkRecorder
    from agent.run.ending import EndReason
    from agent.run.loop import run_together

    width = max(len(name) for names in comparison.run_ids().values() for name in names)
    live = LiveConsole(quiet=json_, colour=shows_colour(sys.stdout), moves=can_redraw(sys.stdout))

    def observer_for(task: "Task", paths: "RunPaths", repo: "TrialRepo") -> "WorkRecorder":
        label = f"{paths.run_id:{width}}  "
        return WorkRecorder(
            ConsoleObserver(
                task.metric,
                paths,
                lambda number: repo.tag(paths.run_id, number),
                live,
                label,
                confirmed=lambda trial: notifier.confirmed(paths.run_id, trial),
            ),
            paths,
        )

    def ended(run: "Run", end: "End") -> None:
        say(f"{run.run_id:{width}}  ended: {end.reason}")

    resume_command = f"agent compare --resume {comparison.name}{where(runs)}"
    with opened(comparison, runs, host_of(say, live.replying), observer_for) as open_runs:
        notifier.begin(*(run.run_id for run in open_runs))
        n_before = _n_done(open_runs)
        slots = open_runs[0].slots
        if open_runs[0].is_parallel:
            live.split(slots)
        live.follow(lambda: progress_of_all(open_runs, local_now()))
        say(f"comparison {comparison.name}: {plural(len(open_runs), 'run')}, {workers(slots)}one trial of each in turn")
        try:
            is_opened = finish(comparison, runs, open_runs, say)
            ends = run_together(open_runs, ended, lambda: reserve(comparison, runs, open_runs))
            failed = [run_id for run_id, end in ends.items() if end.ending is EndReason.BASELINE_FAILED]
            is_paused = any(end.ending is EndReason.PAUSED for end in ends.values())
            is_opened |= not failed and not is_paused and compare_on_slice(comparison, runs, open_runs, say)
        except KeyboardInterrupt:
            say(f"interrupted; continue with `{resume_command}`")
            raise
        except (AgentError, SandboxError, OSError):
            say(f"stopped; the journals have all finished trials: continue with `{resume_command}`")
            raise
        finally:
            live.close()
        n_after, has_trials = _n_done(open_runs), any(run.history.trials for run in open_runs)
    is_over = n_after == n_before and not is_opened and not is_paused
    _set_end(notifier, ends.values(), is_over=is_over)
    if failed:
        raise AgentError(f"{failed[0]}: {ends[failed[0]].reason}; `agent show {failed[0]}/0{where(runs)}` has its log")
    if is_paused and not has_trials:
        say(f"paused; continue with `{resume_command}`")
        return
    say("")
    _tell(comparison, runs, minus, more, json_=json_)
    if is_over:
        raise BudgetSpentError(
            f"nothing is left to run; `agent compare --resume {comparison.name} --trials N` adds trials"
        )


def _set_end(notifier: "Notifier", ends: "Collection[End]", *, is_over: bool) -> None:
    """Set how a comparison ended: as the first run that failed, else paused if one is; `is_over`: nothing was left."""
    from agent.run.ending import EndReason

    hows = [end.ending for end in ends]
    decisive = (EndReason.BASELINE_FAILED, EndReason.PAUSED)
    how = next((each for each in decisive if each in hows), EndReason.NOTHING_RAN if is_over else EndReason.DONE)
    reasons = [end.reason for end in ends if end.ending is how] or [end.reason for end in ends]
    notifier.end(how.value, "; ".join(dict.fromkeys(reasons)))


def _n_done(runs: "list[Run]") -> int:
    return sum(len(run.history.results) + len(run.history.slices) for run in runs)


def _tell(comparison: "Comparison", runs: "RunsFolder", minus: str | None, more: _Written, *, json_: bool) -> None:
    """Print the tables, and write the page and the picture if the user asked for them."""
    from agent.analysis.comparison_statistics import figures
    from agent.analysis.unseen.common_slice import on_common_slice
    from agent.analysis.unseen.slice_file import has_slices
    from agent.report.comparison_text import comparison_text, document
    from agent.report.terminal import columns_of
    from agent.run.ending import RunState
    from agent.store.stored_run import StoredRun

    _check_reference(comparison, minus)
    there = set(runs.run_ids())
    names = [name for each in comparison.run_ids().values() for name in each if name in there]
    stored = [StoredRun.find(runs, name) for name in names]
    if not any(run.history.trials for run in stored):
        raise UsageError(f"{comparison.name} has no finished trial yet; run `agent compare --resume {comparison.name}`")
    rows = figures(comparison, stored, minus)
    metric, option = stored[0].metric, where(runs)
    unseen = on_common_slice(comparison, runs, stored)
    if json_:
        print_json(document(comparison, rows, metric, unseen))
    else:
        self_reported, columns = _is_self_reported(stored), columns_of(sys.stdout)
        lines = comparison_text(comparison, rows, metric, unseen, self_reported=self_reported, columns=columns)
        print("\n".join(lines))
        if any(run.state is RunState.GOING_ON for row in rows for run in row.runs):
            print(f"unfinished; continue with: agent compare --resume {comparison.name}{option}")
        elif unseen is None and all(map(has_slices, stored)):
            print(f"no slice is opened for these results yet: agent compare --resume {comparison.name}{option}")
        print(f"next: agent report {comparison.name}{option} · agent log {names[0]}{option}")
    if more.page is not None or more.png is not None:
        ready, name = [run.run_id for run in stored if run.history.trials], comparison.name
        write_report(runs, ready, more.page, more.png, quiet=json_, force=more.force, reference=minus, comparison=name)


def _is_self_reported(stored: list[Any]) -> bool:
    scores = [trial.outcome.score for run in stored for trial in run.history.trials[:1] if trial.outcome]
    return any(score is not None and is_self_reported(score.kind) for score in scores)


def _check_reference(comparison: "Comparison", minus: str | None) -> None:
    if minus is not None and minus not in comparison.modes:
        raise UsageError(f"--minus {minus}: the comparison has the modes {', '.join(comparison.modes)}")
