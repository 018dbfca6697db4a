"""Opens a run for writing: the checks before trial 0, the lock, and all parts of the Run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import UsageError
from agent.execution.early_stopping import pruner_of
from agent.execution.environment import environment
from agent.execution.executor import ExecutionSettings, Executor, Unseen
from agent.execution.host import Host, utc_now
from agent.execution.placement.places import cluster_of
from agent.execution.sandboxes import image_is_here
from agent.execution.slots import slots_of
from agent.execution.smoke_test import Smoke
from agent.llm.endpoint.address import with_secrets
from agent.llm.gateway.exchanges import cut_exchanges
from agent.llm.model import Model, ModelUsage
from agent.llm.recording import Transcript, cut_recording
from agent.llm.spending_cap import CappedModel
from agent.modes.mode import searched
from agent.modes.model_choice import build_model, check_model, model_name, needs_model
from agent.modes.registry import build_proposer, mode_named
from agent.run.open_run import Observer, Run
from agent.run.policy import Policy
from agent.run.records import Records
from agent.run.resume import (
    budget_raise,
    image_to_resume_in,
    refuse_another_pool,
    refuse_another_task,
    refuse_other_conditions,
    with_place,
    with_workers,
)
from agent.run.steering.approvals import Approvals
from agent.run.steering.user_input import discard_pause_requests, is_pause_requested
from agent.store import run_config
from agent.store.git_repo import TrialRepo
from agent.store.inbox.inbox import Inbox
from agent.store.inbox.submissions import SubmissionQueue
from agent.store.journal import Journal, read_history
from agent.store.paths import RunPaths, RunsFolder
from agent.store.run_config import RunConfig, budget_of, caps_of, rule_of, with_raised_caps
from agent.store.run_folders import refuse_taken
from agent.store.run_lock import locked
from agent.store.stored_run import load_task
from agent.task.notes import read_notes
from agent.task.task import Task
from agent.text import plural
from agent.trials.budget import Ledger
from agent.trials.history import History

if TYPE_CHECKING:
    from agent.modes.mode import AgentHost


@dataclass(frozen=True)
class ResumeOptions:
    """What the user asks for when a run is resumed."""

    caps: Mapping[str, float | None] = field(default_factory=dict)  # new caps, by field of RunConfig; None: unchanged
    accept_changed: tuple[str, ...] = ()  # conditions that may differ from the run's own
    task_folder: str | None = None  # where the task is now; None: where it was
    workers: int | None = None  # trials at the same time from now on; None: as before
    queue: int | None = None  # proposals that may wait; None: as before
    on: str | None = None  # where jobs run from now on: the same cluster, perhaps another part; None: as before
    for_client: bool = False  # a client needs it, not a person: a run that a person has paused stays so


AS_IT_WAS = ResumeOptions()

ObserverFor = Callable[[Task, RunPaths, TrialRepo], Observer]
"""Makes the observer of a run once its task and paths are known."""

BuildModel = Callable[[RunConfig, Host, int], Model]
"""Builds the model of a run, as `agent.modes.model_choice.build_model` does."""


@contextmanager
def start_run(
    config: RunConfig,
    runs: RunsFolder,
    host: Host,
    observer_for: ObserverFor,
    *,
    build_model: BuildModel = build_model,
) -> Iterator[Run]:
    """Check everything, then create the run's folder and open the run. Checks come first, so a failure leaves no files.

    Args:
        build_model: returns the run's model, which several runs may share.

    Raises:
        UsageError, TaskError: the request is wrong; nothing was written.
        MissingRequirementError, SandboxError: the machine lacks something; nothing was written.
    """
    mode_named(config.mode)
    if config.smoke_on == "gpu" and not config.gpus:
        raise UsageError("--smoke-on gpu: name the GPUs of this run with --gpus")
    task = load_task(config, runs)
    refuse_taken(runs, config.run_id)
    check_model(config, host.api_key)
    with _open(config, task, runs, host, observer_for, build_model=build_model) as run:
        yield run


@contextmanager
def resume_run(
    config: RunConfig,
    runs: RunsFolder,
    host: Host,
    observer_for: ObserverFor,
    options: ResumeOptions = AS_IT_WAS,
    *,
    build_model: BuildModel = build_model,
) -> Iterator[Run]:
    """Open an interrupted run, to continue where its journal ends.

    Raises:
        UsageError: the options, the task or the machine differ from those that the run began with, or another process
            has the run open.
    """
    run_config.refuse_retired(runs.run(config.run_id).run_json)
    if options.task_folder is not None:
        config = replace(config, task_folder=options.task_folder)
    run_config.checked(**asdict(config))  # run.json may have been edited
    task = load_task(config, runs)
    refuse_another_task(config, task, TrialRepo(runs.repo))
    if config.model is None and config.base_url is None:
        host = replace(host, api_key=None)  # it began with the embedded model: a key that is set now is not used
    with _open(config, task, runs, host, observer_for, build_model=build_model, options=options) as run:
        yield run


@contextmanager
def _open(
    config: RunConfig,
    task: Task,
    runs: RunsFolder,
    host: Host,
    observer_for: ObserverFor,
    *,
    build_model: BuildModel,
    options: ResumeOptions = AS_IT_WAS,
) -> Iterator[Run]:
    paths = runs.run(config.run_id)
    with ExitStack() as stack:
        resumed = paths.run_json.exists()
        if resumed:
            stack.enter_context(locked(paths))
            _end_pause(paths, for_client=options.for_client)
        read_notes(task)  # so that a fault is shown while somebody is there to mend it
        history = read_history(paths.journal) if paths.journal.exists() else History([])
        raised = budget_raise(config, history, options.caps, utc_now())
        history.run_events.all.extend([raised] if raised is not None else [])
        config = with_raised_caps(config, history.run_events.raises)
        config = with_workers(with_place(config, options.on), task, options.workers, options.queue)
        slots = slots_of(config.workers, config.gpus, task.limits, cluster=cluster_of(config.on))
        image = image_to_resume_in(history, image_is_here, options.accept_changed)
        unseen = _unseen(config, resumed=resumed)
        settings = ExecutionSettings.of_run(config, paths, image=image, unseen=unseen)
        executor = stack.enter_context(Executor.open(task, settings, host))
        slices = executor.slices
        if slices is not None and not resumed:
            config = run_config.with_pool(config, task, slices.digest, slices.n_slices)
        elif unseen is Unseen.MADE and task.no_pool:
            host.say(f"{task.no_pool}: gains will be repeated, not confirmed")
        refuse_another_pool(config, slices.digest if slices is not None else None)
        refuse_other_conditions(history, executor.conditions, options.accept_changed)
        if config.record is not None:
            _begin_recording(Path(config.record), config, history, resumed=resumed)
        model = _model(config, history, host, build_model) if needs_model(config) else None
        if model is not None:
            stack.callback(model.close)
        rehearses = "smoke" in mode_named(config.mode).options and config.smoke
        on_gpu = config.smoke_on == "gpu"
        smoke = Smoke(executor, paths, say=host.say, on_gpu=on_gpu, finished=history.trials) if rehearses else None
        agent_host = stack.enter_context(_agent_host(config, host)) if config.agent is not None else None
        proposer = build_proposer(config, task, model, paths, host.api_key, rehearse=smoke, agent_host=agent_host)
        runs.prepare()
        repo = TrialRepo(runs.repo)
        if not resumed:  # everything is checked: only from here on are files written
            stack.enter_context(locked(paths))
            refuse_taken(runs, config.run_id)  # by a faster process
            run_config.save(paths.run_json, config, environment())
        for left in repo.recover(config.run_id, paths.worktree):
            host.say(f"removed {left}, which a git command of this run had left when it was killed")
        journal = Journal(paths.journal)
        stack.callback(journal.close)
        if journal.dropped_bytes:
            torn = plural(journal.dropped_bytes, "byte")
            host.say(f"the journal ended in a torn line of {torn}, which was dropped")
        if raised is not None:
            journal.append(raised)
        name = model.name if model is not None else model_name(config)
        yield Run(
            records=Records(config.run_id, config.mode, name, task, paths, journal, history, repo),
            executor=executor,
            policy=_policy(config, task, history),
            observer=observer_for(task, paths, repo),
            proposer=proposer,
            space=searched(config, task),
            slots=slots,
            queue=config.queue,
            approvals=Approvals(paths, config.approve_seconds) if config.approve else None,
            submissions=SubmissionQueue(Inbox(paths.inbox)) if mode_named(config.mode).awaits_submissions else None,
        )


def _end_pause(paths: RunPaths, *, for_client: bool) -> None:
    """Let a paused run continue. Raises UsageError if a client asks for that, and not a person."""
    if for_client and is_pause_requested(paths):
        raise UsageError(f"a person has paused {paths.run_id}; `agent resume {paths.run_id}` continues it")
    discard_pause_requests(paths)


@contextmanager
def _agent_host(config: RunConfig, host: Host) -> Iterator["AgentHost"]:
    """Open the sandbox of a run's coding agent, and close it at the end."""
    from agent.execution.coding_agent.agent_job import open_agent_sandbox
    from agent.modes.mode import AgentHost

    with closing(open_agent_sandbox(frozenset(config.accept_unenforced))) as sandbox:
        yield AgentHost(sandbox, host.variables, host.say)


def _policy(config: RunConfig, task: Task, history: History) -> Policy:
    """Return the policy of a run, updated with all finished trials and repeats."""
    return Policy(
        rule_of(config),
        budget_of(config),
        history.results,
        rounded=config.rounded,
        pruner=pruner_of(task, config.seed, history.results) if config.prune else None,
        final_runs=config.final_runs,
    )


def _unseen(config: RunConfig, *, resumed: bool) -> Unseen:
    """Return how much of the data that no trial is scored on a run opens."""
    if resumed:
        return Unseen.NOTHING if config.pool is None else Unseen.SLICES
    return Unseen.MADE if config.keep == "two-tier" and config.confirm else Unseen.NOTHING


def _model(config: RunConfig, history: History, host: Host, build_model: BuildModel) -> Model:
    """Return the run's model under its caps, with the spending so far counted."""
    used = _used(history)
    n_calls = used.calls if used else 0
    whole = config
    if config.base_url is not None:
        whole = replace(config, base_url=with_secrets(config.base_url, host.variables.get("OPENAI_BASE_URL")))
    model = build_model(whole, host, n_calls)
    if config.record is not None:
        secrets = [host.api_key] if host.api_key else []
        model = Transcript(model, Path(config.record), secrets, failures=False)
    tokens = used.prompt_tokens + used.completion_tokens if used else 0
    dollars = (used.dollars or 0.0) if used else 0.0
    return CappedModel(model, caps_of(config), tokens=tokens, dollars=dollars)


def _begin_recording(path: Path, config: RunConfig, history: History, *, resumed: bool) -> None:
    """Refuse a file that is there before a new run; cut that of a resumed one after the calls that its journal has."""
    if not path.exists():
        return
    if not resumed:
        raise UsageError(f"--record {path}: the file exists already; name another, or move it away")
    used = _used(history)
    cut = cut_recording if config.agent is None else cut_exchanges
    cut(path, used.calls if used else 0)


def _used(history: History) -> ModelUsage | None:
    """Return the usage of models recorded in the journal; None if there is none."""
    used = Ledger.of(history.results).usage
    for trial in history.in_flight.values():
        usage = trial.proposal.usage
        used = used.plus(usage) if used and usage else used or usage
    return used
