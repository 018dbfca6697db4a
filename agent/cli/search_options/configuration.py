"""Converts the options of a search into the RunConfig that is saved with the run."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.options import (
    full_name,
    price_of,
    runs_folder,
    sandbox_settings,
    settings_of,
    stored_address,
    whole_name,
)
from agent.errors import UsageError
from agent.execution.placement.places import HERE, refuse_with_cluster

if TYPE_CHECKING:
    from agent.cli.search_options.definitions import SearchOptions
    from agent.store.run_config import RunConfig
    from agent.task.task import Task


def caps_of(
    trials: int | None, budget: str | None, wall: str | None, max_cost: float | None, max_tokens: int | None
) -> dict[str, float | None]:
    """Return the limits on a run's spending, by field of RunConfig. Raises UsageError for an invalid duration."""
    from agent.trials.budget import seconds

    return {
        "trials": trials,
        "budget_seconds": seconds(budget, "--budget") if budget else None,
        "wall_seconds": seconds(wall, "--wall") if wall else None,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
    }


def caps_in(options: "SearchOptions") -> dict[str, float | None]:
    """Return the limits on a run's spending from the options of a search, as `caps_of` does."""
    return caps_of(options.trials, options.budget, options.wall, options.max_cost, options.max_tokens)


def configured(
    options: "SearchOptions", folder: Path, task: "Task", *, run_id: str, mode: str, needs_model: bool
) -> "RunConfig":
    """Return the configuration of a new run, or the one that all runs of a comparison share.

    Args:
        folder: the task's folder.
        task: the task as it will run, with the script of a trial if the run starts from one.
        run_id: name of the run or of the comparison.
        mode: mode of the run; for a comparison, any of its modes.
        needs_model: whether a model will be called; if not, the configuration names none.

    Raises:
        UsageError: an option has an invalid value.
    """
    from agent.modes.model_choice import RECORDING
    from agent.store.run_config import RunConfig, checked, keep_options
    from agent.store.stored_run import noise_options
    from agent.trials.budget import seconds

    caps = caps_in(options)
    once = task.budget.charge_seconds
    in_time = [cap / once for cap in (caps["budget_seconds"], caps["wall_seconds"]) if cap and once]
    n_trials = min((n for n in (options.trials, *in_time) if n), default=0)
    taken = {spec.name for spec in fields(RunConfig)} & {spec.name for spec in fields(options)}
    values: dict[str, Any] = {name: getattr(options, name) for name in taken}
    model: dict[str, Any] = {"model": None, "base_url": None, "price": None, "price_source": None}
    if needs_model:
        is_chat = getattr(options, "agent", None) is None  # an agent's address is read at each start, like its key
        is_recorded = options.model is not None and options.model.startswith(RECORDING)
        base_url = stored_address(options.base_url) if is_chat and not is_recorded else None
        price, source = price_of(options.price, options.model, base_url if is_chat else _provider_address(options))
        model |= {"model": whole_name(options.model), "base_url": base_url}
        model |= {"price": price, "price_source": source}
    if values.get("record") is not None:
        values["record"] = str(values["record"].resolve())
    if "track" in values:
        values["track"] = tuple(dict.fromkeys(values["track"]))
    within = getattr(options, "approve_within", None)
    if within is not None and not values["approve"]:
        raise UsageError(f"--approve-within {within}: add --approve, or leave it out")
    if options.accept_metric_edits and not task.score.row.is_self_reported:
        raise UsageError(f"--accept-metric-edits: the host computes the score of {task.name}, so leave it out")
    refuse_with_cluster(options.on, sandbox=options.sandbox, gpus=options.gpus)
    is_here = options.on == HERE
    on_gpu = options.gpus is not None or (not is_here and task.cluster.gpus > 0)
    sandboxed = sandbox_settings(options.sandbox, options.accept_unenforced, options.gpus)
    n_workers = options.workers if options.workers is not None else max(1, len(sandboxed["gpus"]))
    queue = options.queue if options.queue is not None else int(needs_model and n_workers > 1)
    return checked(
        **{
            **values,
            **caps,
            **settings_of(folder, task),
            **noise_options(runs_folder(options.runs), task),
            **keep_options(task, options.keep, options.final_runs, n_trials=n_trials, on_gpu=on_gpu),
            **sandboxed,
            **_agent_settings(options),
            "workers": n_workers,
            # The models of a slice of text wait for each other, which those of a slice of rows do not.
            "confirm": options.confirm and (is_here or task.score.row.compares_labels),
            "queue": queue,
            **model,
            "prune": options.prune and task.curve is not None,
            "of_trial": full_name(options.runs, getattr(options, "from_", None)),
            "approve_seconds": seconds(within, "--approve-within") if within is not None else None,
            "run_id": run_id,
            "mode": mode,
        }
    )


def _agent_settings(options: "SearchOptions") -> dict[str, Any]:
    """Return the fields of RunConfig about a coding agent. Raises UsageError for an invalid duration or command."""
    from agent.agents.custom import with_absolute_paths
    from agent.agents.kinds import AGENTS
    from agent.trials.budget import seconds

    time, agent = getattr(options, "agent_time", None), getattr(options, "agent", None)
    found: dict[str, Any] = {} if time is None else {"agent_seconds": seconds(time, "--agent-time")}
    if agent is not None and agent not in AGENTS and " " in agent.strip():
        found["agent"] = with_absolute_paths(agent)
    return found


def _provider_address(options: "SearchOptions") -> str | None:
    """Return the address of a coding agent's provider, which is paid; of an unknown agent, that of OPENAI_BASE_URL."""
    from agent.agents.kinds import AGENTS
    from agent.llm.gateway.dialects import DIALECTS

    row = AGENTS.get(getattr(options, "agent", None) or "")
    return options.base_url if row is None else DIALECTS[row.dialect].provider.address
