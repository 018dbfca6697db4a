"""The output of a command that runs trials: the run's heading, its trials, its summary and the next commands."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.cli.notifications.chosen import NO_COMMANDS, UserCommands
from agent.cli.options import can_redraw, fail, host_of, print_json, printer, shows_colour, where
from agent.errors import AgentError
from agent.text import plural
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.cli.notifications.notifier import Notifier
    from agent.execution.slots import Slot
    from agent.report.slices import PoolSize
    from agent.run.ending import End
    from agent.run.open_run import Run
    from agent.run.opening import ResumeOptions
    from agent.store.git_repo import TrialRepo
    from agent.store.paths import RunPaths, RunsFolder
    from agent.store.run_config import RunConfig
    from agent.task.task import Task
    from agent.text import Say


def go(
    config: "RunConfig",
    runs: "RunsFolder",
    *,
    options: "ResumeOptions | None" = None,
    json_: bool,
    is_default_budget: bool = False,
    commands: UserCommands = NO_COMMANDS,
) -> None:
    """Run the trials of a new run or, with `options`, of an interrupted one, and print the result.

    Exits with 3 if the budget left nothing to run, and with 1 if the run ended for another reason than its budget.

    Args:
        is_default_budget: the user gave no budget, which the heading says.
        commands: to run when it ends, and for each gain that is confirmed.
    """
    from agent.cli.notifications.notifier import notifications

    say = printer(json_=json_)
    with notifications(commands, runs, config.run_id, say) as notifier:
        is_continued = _go(
            config, runs, notifier, say, options=options, json_=json_, is_default_budget=is_default_budget
        )
    if is_continued:
        from agent.run.opening import ResumeOptions

        go(config, runs, options=ResumeOptions(for_client=True), json_=json_, commands=commands)


def _go(
    config: "RunConfig",
    runs: "RunsFolder",
    notifier: "Notifier",
    say: "Say",
    *,
    options: "ResumeOptions | None",
    json_: bool,
    is_default_budget: bool,
) -> bool:
    """Do what `go` does; return whether a submission came while the run was ending, so that it must be resumed."""
    from agent.modes.model_choice import agent_name, model_name
    from agent.report.live.console import LiveConsole
    from agent.report.live.observer import ConsoleObserver
    from agent.report.live.recorder import WorkRecorder
    from agent.report.trackers.companion import background_trackers
    from agent.run.ending import EndReason
    from agent.run.loop import run_trials
    from agent.run.opening import resume_run, start_run
    from agent.store.stored_run import with_hints

    live = LiveConsole(quiet=json_, colour=shows_colour(sys.stdout), moves=can_redraw(sys.stdout))
    who = agent_name(config.agent) if config.agent is not None else config.mode

    def observer_for(task: "Task", paths: "RunPaths", repo: "TrialRepo") -> WorkRecorder:
        return WorkRecorder(
            ConsoleObserver(
                task.metric,
                paths,
                lambda number: repo.tag(paths.run_id, number),
                live,
                proposer=who,
                model=model_name(config),
                runs_option=where(runs),
                confirmed=lambda trial: notifier.confirmed(config.run_id, trial),
            ),
            paths,
            who,
        )

    host = host_of(say, live.replying)
    resume_command = f"agent resume {config.run_id}{where(runs)}"
    opened = (
        start_run(config, runs, host, observer_for)
        if options is None
        else resume_run(config, runs, host, observer_for, options)
    )
    with opened as open_run:
        notifier.begin(config.run_id)
        if open_run.is_parallel:
            live.split(open_run.slots)
        live.follow(lambda: _how_far(open_run))
        say(f"run {config.run_id}: mode {config.mode}{with_hints(config)}, {_what(open_run)}")
        say(_budget(config, runs, open_run, is_default=is_default_budget))
        for line in (*open_run.records.retired, *_confirmable(open_run)):
            say(line)
        try:
            with background_trackers(config.track, open_run.paths, say):
                end = run_trials(open_run)
        except KeyboardInterrupt:
            say(f"interrupted; continue with `{resume_command}`")
            raise
        except (AgentError, SandboxError, OSError):
            say(f"stopped; the journal has all finished trials: continue with `{resume_command}`")
            raise
        finally:
            live.close()
        hashes = open_run.records.repo.tags(config.run_id)
    notifier.end(end.ending.value, end.reason)
    if _awaits_submissions(open_run, end):
        notifier.discard_end()
        if _has_submissions(open_run):  # one came while this run was ending
            return True
    if json_:
        print_json(_document(config, open_run, end, hashes))
    else:
        _closing(config, runs, open_run, end)
    if end.ending is EndReason.NOTHING_RAN:
        fail(f"{end.reason}; give `{resume_command}` a higher --trials, --budget or --wall", 3)
    if end.ending not in (EndReason.DONE, EndReason.PAUSED):
        fail(end.reason, 1)
    return False


def _document(config: "RunConfig", run: "Run", end: "End", hashes: "Mapping[int, str]") -> dict[str, Any]:
    """Return how a run ended, its result and its trials; `hashes`: of the commits, by number of the trial."""
    from agent.report.json_documents import result_json, trial_json
    from agent.report.slices import slice_json
    from agent.trials.added_lines import added_lines

    history, metric = run.history, run.executor.task.metric
    added = added_lines(history.by_finish, run.executor.task.source)
    return {
        "run": config.run_id,
        "mode": config.mode,
        "metric": asdict(metric),
        "end": end.ending,
        "reason": end.reason,
        **result_json(history, run.keeper, _pool(run)),
        "slices": [slice_json(use) for use in history.slices],
        "trials": [
            trial_json(trial, hashes.get(trial.number), metric, added.get(trial.number)) for trial in history.by_finish
        ],
    }


def _awaits_submissions(run: "Run", end: "End") -> bool:
    """Return whether a run has paused because nothing is submitted, not because somebody has asked it to."""
    from agent.run.ending import EndReason
    from agent.run.steering.user_input import is_pause_requested

    return end.ending is EndReason.PAUSED and run.submissions is not None and not is_pause_requested(run.paths)


def _has_submissions(run: "Run") -> bool:
    from agent.store.inbox.submissions import submission_ids

    return run.submissions is not None and bool(run.submissions.waiting(submission_ids(run.history)))


def check_trackers(config: "RunConfig") -> None:
    """Raise MissingRequirementError for a tracker whose library is not installed."""
    from agent.report.trackers.updating import check_kind

    for kind in config.track:
        check_kind(kind)


def _closing(config: "RunConfig", runs: "RunsFolder", run: "Run", end: "End") -> None:
    from agent.modes.registry import mode_named
    from agent.report import run_summary
    from agent.report.run_summary import noise_summary
    from agent.report.terminal import columns_of, sentences
    from agent.run.ending import EndReason
    from agent.store.trial_name import best_of
    from agent.trials.added_lines import added_lines

    if end.ending is EndReason.BASELINE_FAILED:
        from agent.text import read_tail

        log_path = run.paths.trial(0).log
        print(f"\nthe end of {log_path}:\n{read_tail(log_path)[-2000:]}", file=sys.stderr)
        return
    option = where(runs)
    awaits = _awaits_submissions(run, end)
    needs_resume = end.ending is EndReason.PAUSED and not awaits
    print(f"\n{end.reason}" + (f"; `agent resume {config.run_id}{option}` continues it" if needs_resume else ""))
    if not run.history.trials:
        return
    metric = run.executor.task.metric
    if mode_named(config.mode).measures_noise:
        print("\n".join(sentences(noise_summary(run.history.trials, metric), columns_of(sys.stdout))))
        return
    added, columns = added_lines(run.history.by_finish, run.executor.task.source), columns_of(sys.stdout)
    lines = run_summary.summary(run.history, metric, run.keeper, _pool(run), added)
    print("\n".join(sentences(lines, columns)))
    if awaits:
        print(f"next: agent brief {config.run_id}{option} · agent submit {config.run_id} --script FILE --wait{option}")
        return
    named = "" if runs.run_ids()[-1] == config.run_id else f" {config.run_id}"  # the default is the last run
    best = best_of(run.history)
    shown = run.history.by_finish[-1] if best is None or best.number == 0 else best  # if nothing is better: the last
    words = (f"show {config.run_id}/{shown.number}", f"report{named}", f"log{named} --graph", f"best{named}")
    print("\n".join(sentences([f"next: {' · '.join(f'agent {word}{option}' for word in words)}"], columns)))


def _confirmable(run: "Run") -> list[str]:
    """Return lines about the smallest gain that the run can confirm; none if slices do not confirm its gains."""
    from agent.report.slices import confirmable

    if run.executor.slices is None or not run.keeper.on_slices:
        return []
    return confirmable(
        run.keeper, run.executor.slices.expected_error, run.executor.task.metric, run.executor.task.score.kind
    )


def _pool(run: "Run") -> "PoolSize | None":
    """Return the size of the run's pool; None if slices do not confirm its gains."""
    from agent.report.slices import PoolSize

    if run.executor.slices is None or not run.keeper.on_slices:
        return None
    n_slices = run.executor.slices.n_slices
    return PoolSize(n_slices, run.executor.slices.openings.n_untouched(n_slices))


def _budget(config: "RunConfig", runs: "RunsFolder", run: "Run", *, is_default: bool) -> str:
    """Return the whole budget of a run, and when the run will end."""
    from agent.report.live.progress import budget_in_words, end_in_words, expected_end
    from agent.text import local_now, time_of_day

    now, budget = local_now(), run.policy.budget
    end = expected_end(run, now) if run.history.trials else None
    ends = f"ends about {time_of_day(end, now)}" if end is not None else end_in_words(runs, config, budget, now)
    return f"budget: {budget_in_words(budget, is_default=is_default)}; {ends}"


def _how_far(run: "Run") -> str:
    """Return how far a run is, in one line."""
    from agent.report.live.progress import progress
    from agent.text import local_now

    return progress(run, local_now())


def _what(run: "Run") -> str:
    task = run.executor.task
    profile = f" ({task.profile})" if task.profile else ""
    unit = f"{task.budget.amount:g} {task.budget.unit} a trial, budget: {task.budget.kind}"
    unit += f" ({task.budget.check})" if task.budget.check else ""
    model = f", model {run.records.model_name}" if run.records.model_name else ""
    return f"{workers(run.slots)}task {task.name}{profile}, {unit}{model}"


def workers(slots: "Sequence[Slot]") -> str:
    """Return the workers of a run, as the beginning of a list; empty if there is only one."""
    if len(slots) == 1:
        return ""
    devices = dict.fromkeys(slot.device for slot in slots)  # on a cluster all have the same
    return f"{plural(len(slots), 'worker')} ({', '.join(devices)}), "
