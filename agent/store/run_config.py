"""The configuration of a run: validated once, saved verbatim in run.json, never changed."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import JournalError, UsageError
from agent.files import read_json
from agent.llm.spending_cap import Caps
from agent.store.atomic_file import write_durably
from agent.store.git.command import is_branch_name
from agent.store.journal import FORMAT
from agent.store.paths import RUN_NAME
from agent.task.validation_errors import in_words
from agent.trials.budget import Budget
from agent.trials.json_fields import check_types
from agent.trials.keeping.keep_rule import (
    CPU_SIGMA_SHARE,
    FEWEST_TRIALS,
    FINAL_RUNS,
    GPU_SIGMA_SHARE,
    REPEAT_LEAD,
    SLICE_LEAD,
    KeepRule,
)
from agent.trials.steering import BudgetRaised

if TYPE_CHECKING:
    from agent.task.task import Task  # imports numpy and pydantic, which commands that only read avoid


_PATTERNS = {
    "run_id": (RUN_NAME, "use at most 81 letters, digits, `.`, `_` and `-`, and begin with a letter or a digit"),
    "gpus": (r"[A-Za-z0-9-]+", "use letters, digits and `-`, as nvidia-smi names GPUs"),
}
"""The pattern of each option, and what to do where a text does not match."""

RETIRED_FIELDS = frozenset({"prompt", "lookahead"})
"""Fields of run.json and compare.json from earlier versions. They are ignored."""
RETIRED_VALUES: Mapping[tuple[str, str], str] = {
    ("mode", "tpe-4"): "only `python -m benchmarks.autoresearch` has that mode now",
    ("prompt", "paper"): "that prompt no longer exists",
}
"""Values with which a run cannot be resumed any more, by field and value, and why. Its results can still be read."""

EARLIER_NAMES: Mapping[str, tuple[str, str]] = {"centaur:echo": ("centaur", "echo")}
"""Modes that run.json of an earlier version, and every commit, name by a mode and a model."""

MOST_BYTES = 2**22
"""Largest size of run.json, compare.json and the like, in bytes."""

DEFAULT_TRIALS = 100
"""Number of trials of a run without any budget option."""


def _within(default: Any, **bounds: float) -> Any:
    """Return a field with a default and with bounds, named as in pydantic: gt, ge, le."""
    return field(default=default, metadata=bounds)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One search: mode, seed, budget, task, sandbox, model. `checked` validates a user's values."""

    run_id: str
    mode: str
    seed: int = _within(0, ge=0)
    task_folder: str
    task_name: str
    task_digest: str
    profile: str | None = None
    of_trial: str | None = None  # the trial, as RUN/7, whose script is the baseline instead of the task's own
    metric_name: str = "val_loss"
    metric_goal: Literal["minimise", "maximise"] = "minimise"
    noise_sigma: float | None = None  # the task's noise as known at the start of the run
    noise_source: str | None = None  # where it is from
    keep: Literal["two-tier", "any", "baseline"] = "any"  # what moves the incumbent; see agent.trials.keeping.keep_rule
    keep_lead: float = _within(3.5, gt=0)  # sigmas
    keep_gain: float = _within(2.0, ge=0)  # sigmas
    confirm: bool = True  # gains on slices of unseen text, if the task has any
    n_slices: int = _within(0, ge=0)  # of the task's pool at the start; 0: gains are repeated, not confirmed
    pool: str | None = None  # digest of the pool
    rounded: bool = False  # proposers see rounded losses, because the host compares predictions with labels
    paired: bool = False  # the same seed gives the same loss
    sigma_share: float = _within(0.01, gt=0)  # of the baseline's loss: the guess of sigma if it is unknown
    prune: bool = False  # trials are stopped early; see agent.execution.early_stopping
    accept_metric_edits: bool = False  # of a self-reported score: edits of the code that prints it may be kept
    final_runs: int = _within(0, ge=0, le=100)  # runs of the result under held-out seeds, at the end
    trials: int | None = _within(None, ge=1)  # in total, including the baseline
    budget_seconds: float | None = _within(None, gt=0)  # training budget
    wall_seconds: float | None = _within(None, gt=0)  # everything: proposing, training, scoring
    sandbox: str = "bubblewrap"  # a row of agent.execution.sandboxes
    on: str = "here"  # where jobs run: a row of agent.execution.placement.places, and what follows it: slurm:gpu
    accept_unenforced: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()  # that jobs may use, one each at a time
    workers: int = _within(1, ge=1)  # trials that run at the same time
    queue: int = _within(0, ge=0)  # proposals that may wait for one of the workers
    approve: bool = False  # a person approves each proposal before it runs
    approve_seconds: float | None = _within(None, gt=0)  # a proposal that nobody approves in this time is refused
    model: str | None = None  # None: the embedded one, if the mode needs a model
    base_url: str | None = None
    derived: bool = True  # use the task's derived coordinates
    hints: bool = False  # start at the values of the task's [hints]
    host: str = "cma-es"  # centaur: the searcher that proposes every point
    llm_share: float = _within(0.3, ge=0, le=1)  # centaur: the model's share of the trials, at most
    llm_warmup: int = _within(10, ge=0)  # centaur: trials before the model's first one
    llm_every: int | None = _within(None, ge=1)  # centaur: the model has every k-th trial, instead of a share
    attempts: int = _within(3, ge=1, le=10)  # replies of a model per proposal
    price: tuple[float, float] | None = None  # dollars per million tokens of prompts and of replies; None: unknown
    price_source: str | None = None  # where it is from
    max_cost: float | None = _within(None, gt=0)  # dollars for all model calls
    max_tokens: int | None = _within(None, gt=0)  # of all prompts and replies
    context_tokens: int = _within(32_768, ge=1024)  # the endpoint's context window: prompt and reply together
    record: str | None = None  # file to record the model's replies in, for --model replay:FILE
    agent: str | None = None  # code-edit: a row of agent.agents.kinds, or a command line; None: a chat model
    agent_login: bool = False  # the agent uses its own log-in, and no gateway
    agent_seconds: float = _within(900.0, gt=0)  # wall time of one of its proposals
    agent_calls: int = _within(100, ge=1)  # of its model, for one proposal
    smoke: bool = True  # code-edit: run a smoke test, one step, of each edit before its trial
    smoke_on: Literal["cpu", "gpu"] = "cpu"  # where smoke tests run; by default the GPU is for trials only
    edit_format: Literal["search-replace", "diff", "whole-file", "lines"] | None = None  # None: fits the model
    track: tuple[str, ...] = ()  # trackers that the run is logged to: rows of agent.report.trackers.kinds


def checked(**values: Any) -> RunConfig:
    """Return a RunConfig of validated values. Raises UsageError with the name of the invalid option."""
    from pydantic import ConfigDict, ValidationError, create_model  # takes 0.1 s, which commands that only read avoid

    for name, (pattern, remedy) in _PATTERNS.items():
        for text in [values[name]] if isinstance(values.get(name), str) else values.get(name, ()):
            if not re.fullmatch(pattern, text):
                raise UsageError(f"{option_of(name)} {text!r}: {remedy}")
    if isinstance(values.get("run_id"), str) and not is_branch_name(values["run_id"]):
        raise UsageError(f"--name {values['run_id']!r}: git does not accept it as the name of a branch; choose another")
    typed: dict[str, Any] = {spec.name: _typed(spec) for spec in fields(RunConfig)}
    model = create_model("RunConfig", __config__=ConfigDict(extra="forbid"), **typed)
    try:
        return RunConfig(**dict(model(**values)))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{option_of(str(first['loc'][0]))}: {in_words(first)}") from error


def in_a_name(mode: str) -> str:
    """Return the mode as a part of a run's name, without ":", which file names and tags cannot have."""
    return mode.replace(":", "-")


def option_of(field_name: str) -> str:
    """Return the option that sets a field, such as `--max-cost`."""
    known = {"agent_seconds": "agent-time", "approve_seconds": "approve-within", "run_id": "name"}
    known |= {"budget_seconds": "budget", "wall_seconds": "wall"}
    return f"--{known.get(field_name, field_name).replace('_', '-')}"


def as_given(value: object) -> str:
    """Return the value of a field as a user would write it; `none` for None."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _typed(spec: Field[Any]) -> tuple[Any, Any]:
    """Return a field as pydantic defines it: (type, default with bounds)."""
    from pydantic import Field as Checked

    bounds: Mapping[str, Any] = spec.metadata
    return spec.type, Checked(... if spec.default is MISSING else spec.default, **bounds)


def save(path: Path, config: RunConfig, environment: Mapping[str, str]) -> None:
    """Write run.json; `environment` describes the machine, for readers of the run."""
    document = {"format": FORMAT, "config": asdict(config), "environment": dict(environment)}
    write_durably(path, json.dumps(document, indent=2) + "\n")


def load(path: Path) -> RunConfig:
    """Return the configuration in run.json; checks types but not values. Raises JournalError if it is invalid."""
    try:
        document = read_json(path, MOST_BYTES)
        if document["format"] != FORMAT:
            raise JournalError(
                f"{path} has format {document['format']}, but this version reads {FORMAT}; use a newer autocentaur"
            )
        values: dict[str, Any] = current(document["config"])
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
        config = RunConfig(**values)
        check_types(config)
        if path.parent.name != config.run_id:
            raise JournalError(f"{path} belongs to the run {config.run_id!r}; rename its folder to that")
        return config
    except FileNotFoundError as error:
        raise JournalError(f"{path} is missing: this folder is not a run") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"{path} cannot be read: {error}; restore it from a backup") from error


def current(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored configuration as this version names them, without the retired ones."""
    known = {name: value for name, value in values.items() if name not in RETIRED_FIELDS}
    for mode, earlier in EARLIER_NAMES.items():
        if (known.get("mode"), known.get("model")) == earlier:
            known |= {"mode": mode, "model": None}
    return known


def refuse_retired(path: Path) -> None:
    """Raise UsageError if the configuration in run.json or compare.json has a value that this version does not run."""
    if reason := retired(path):
        raise UsageError(
            f"{path.parent.name} cannot be resumed: it has {reason}; "
            "`agent log`, `show`, `best`, `report`, `export` and `replay` still read it"
        )


def retired(path: Path) -> str | None:
    """Return which value in run.json or compare.json this version does not run, and why; None if there is none."""
    values: Mapping[str, Any] = read_json(path, MOST_BYTES)["config"]
    reason = (f"{option_of(n)} {v}, and {why}" for (n, v), why in RETIRED_VALUES.items() if values.get(n) == v)
    return next(reason, None)


def keep_options(
    task: "Task", rule: str | None, final_runs: int | None, *, n_trials: float, on_gpu: bool
) -> dict[str, object]:
    """Return the settings of the keep rule of a new run of `task`, as fields of its RunConfig.

    Args:
        rule: the user's choice; None: the task's.
        final_runs: the user's choice; None: FINAL_RUNS, or 0 if the run has fewer than FEWEST_TRIALS trials.
        n_trials: the approximate number of trials that the budget allows.
        on_gpu: whether the first guess of the noise is the one for a GPU.

    Raises:
        UsageError: there is no such rule.
    """
    if rule not in (None, "two-tier", "any"):
        raise UsageError(f"--keep {rule}: there is no such rule; choose two-tier or any")
    if final_runs is None:
        final_runs = FINAL_RUNS if n_trials >= FEWEST_TRIALS else 0
    return {
        "keep": rule or task.keep.rule,
        "keep_lead": task.keep.lead or REPEAT_LEAD,
        "keep_gain": task.keep.gain,
        "rounded": task.score.row.compares_labels,
        "paired": task.budget.deterministic,
        "sigma_share": GPU_SIGMA_SHARE if on_gpu else CPU_SIGMA_SHARE,
        "final_runs": final_runs,
    }


def with_pool(config: RunConfig, task: "Task", digest: str, n_slices: int) -> RunConfig:
    """Return the configuration of a new run whose gains are confirmed on the slices of a pool."""
    return replace(config, pool=digest, n_slices=n_slices, keep_lead=task.keep.lead or SLICE_LEAD)


def with_raised_caps(config: RunConfig, raises: Iterable[BudgetRaised]) -> RunConfig:
    """Return the configuration with the caps that the journal's events raise."""
    caps: dict[str, Any] = {name: value for event in raises for name, value in event.caps.items()}
    return replace(config, **caps)


def rule_of(config: RunConfig) -> KeepRule:
    """Return the keep rule of a run. One slice is reserved for the final runs."""
    refused = "--no-confirm" if config.on == "here" else f"--on {config.on}"
    why_no_slices = KeepRule.why_no_slices if config.confirm else refused
    if config.confirm and config.rounded:
        why_no_slices = "the validation examples are too few for slices"
    if config.n_slices == 1 and config.final_runs:
        why_no_slices = "the pool has only one slice, which is reserved for the final runs"
    return KeepRule(
        config.keep,
        lead=config.keep_lead,
        gain=config.keep_gain,
        n_slices=max(0, config.n_slices - bool(config.final_runs)),
        paired=config.paired,
        sigma=config.noise_sigma,
        sigma_source=config.noise_source,
        sigma_share=config.sigma_share,
        why_no_slices=why_no_slices,
        accept_metric_edits=config.accept_metric_edits,
    )


def caps_of(config: RunConfig) -> Caps:
    """Return the run's caps on model calls."""
    return Caps(config.max_tokens, config.max_cost)


def budget_of(config: RunConfig) -> Budget:
    """Return what the run may spend in all."""
    return Budget(config.trials, config.budget_seconds, config.wall_seconds, caps_of(config))
