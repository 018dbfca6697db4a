"""What a run was asked to do: checked once, saved verbatim in run.json, never changed."""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import JournalError, UsageError
from agent.files import read_json
from agent.llm.spending_cap import Caps
from agent.store.atomic_file import write_durably
from agent.store.git_command import is_branch_name
from agent.store.journal import FORMAT
from agent.store.paths import RUN_NAME
from agent.task.validation_errors import in_words
from agent.trials.json_fields import check_types
from agent.trials.keep_rule import (
    CPU_SIGMA_SHARE,
    FEWEST_TRIALS,
    FINAL_RUNS,
    GPU_SIGMA_SHARE,
    REPEAT_LEAD,
    SLICE_LEAD,
    KeepRule,
)

if TYPE_CHECKING:
    from agent.task.task import Task  # it brings numpy and pydantic, and reading commands do without


_PATTERNS = {"run_id": RUN_NAME, "gpus": r"[A-Za-z0-9-]+"}

RETIRED_FIELDS = frozenset({"prompt"})
"""Fields of run.json and compare.json that an earlier version wrote. They are not read."""
RETIRED_VALUES: Mapping[tuple[str, str], str] = {
    ("mode", "tpe-4"): "only `python -m benchmarks.autoresearch` has that mode now",
    ("prompt", "paper"): "there is no such prompt any more",
}
"""Values with which no run can go on any more, by field and value, and why. What has finished is still shown."""

EARLIER_NAMES: Mapping[str, tuple[str, str]] = {"centaur:echo": ("centaur", "echo")}
"""Modes that run.json of an earlier version, and every commit, name by a mode and a model."""

MOST_BYTES = 2**22
"""How large run.json, compare.json and the like may be."""

DEFAULT_TRIALS = 100
"""How many trials a run has when no budget of any kind is given."""


def _within(default: Any, **bounds: float) -> Any:
    """Return a field of that default whose values are held to bounds in pydantic's words: gt, ge, le."""
    return field(default=default, metadata=bounds)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One search: mode, seed, budget, task, sandbox, model. What a user gives goes through `checked`."""

    run_id: str
    mode: str
    seed: int = _within(0, ge=0)
    task_folder: str
    task_name: str
    task_digest: str
    profile: str | None = None
    of_trial: str | None = None  # the trial, RUN/7, whose script is the baseline instead of the task's own
    metric_name: str = "val_loss"
    metric_goal: Literal["minimise", "maximise"] = "minimise"
    noise_sigma: float | None = None  # what the task knew of its noise when the run began
    noise_source: str | None = None  # who says so
    keep: Literal["two-tier", "any", "baseline"] = (
        "any"  # what moves the incumbent; "baseline": nothing does, the run measures noise
    )
    keep_lead: float = _within(3.5, gt=0)  # sigmas
    keep_gain: float = _within(2.0, ge=0)  # sigmas
    confirm: bool = True  # on slices of unseen text, if the task has any
    n_slices: int = _within(0, ge=0)  # of the task's pool when the run began; 0: gains are repeated, not confirmed
    pool: str | None = None  # digest of it
    rounded: bool = False  # the losses that proposers are told: predictions are compared with labels by the host
    paired: bool = False  # the same seed gives the same loss
    sigma_share: float = _within(0.01, gt=0)  # of the baseline's loss: sigma, where nothing is known
    prune: bool = False  # trials are stopped early; see agent.execution.early_stopping
    final_runs: int = _within(0, ge=0, le=100)  # of the result under held-out seeds, at the end
    trials: int | None = _within(None, ge=1)  # in all, the baseline included
    budget_seconds: float | None = _within(None, gt=0)  # training seconds, as charged
    wall_seconds: float | None = _within(None, gt=0)  # everything: proposing, training, scoring
    sandbox: str = "bubblewrap"  # a row of agent.execution.sandboxes
    accept_unenforced: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()  # that jobs may have, one each at a time
    model: str | None = None  # None: the embedded one, where the mode needs a model
    base_url: str | None = None
    derived: bool = True  # search through the coordinates that the task derives from its names
    hints: bool = False  # begin at the values that the task hints at
    llm_share: float = _within(0.3, ge=0, le=1)  # centaur: share of the trials that the model decides
    llm_warmup: int = _within(10, ge=0)  # centaur: trials before its first turn
    llm_every: int | None = _within(None, ge=1)  # centaur: every k-th trial is the model's, not a share
    attempts: int = _within(3, ge=1, le=10)  # replies of a model per proposal
    price: tuple[float, float] | None = None  # dollars per million tokens of prompts and of replies; None: unknown
    price_source: str | None = None  # who says so
    max_cost: float | None = _within(None, gt=0)  # dollars of all model calls
    max_tokens: int | None = _within(None, gt=0)  # of all prompts and replies
    context_tokens: int = _within(32_768, ge=1024)  # the endpoint's window: prompt and reply together
    lookahead: int = _within(0, ge=0, le=1)  # code-edit: trials thought of while another one trains
    record: str | None = None  # file that the model's replies are recorded in, for --model replay:FILE
    smoke: bool = True  # code-edit: rehearse one step of each edit before its trial
    smoke_on: Literal["cpu", "gpu"] = "cpu"  # where it is rehearsed; the GPU is for trials unless asked
    edit_format: Literal["search-replace", "diff", "whole-file", "lines"] | None = None  # None: what suits the model
    track: tuple[str, ...] = ()  # trackers that the run is mirrored to: rows of agent.report.trackers.kinds


def checked(**values: Any) -> RunConfig:
    """Return a RunConfig. Raises UsageError naming the option that is wrong."""
    from pydantic import ConfigDict, ValidationError, create_model  # a tenth of a second, which reading does without

    for name, pattern in _PATTERNS.items():
        for text in [values[name]] if isinstance(values.get(name), str) else values.get(name, ()):
            if not re.fullmatch(pattern, text):
                raise UsageError(f"{option_of(name)} {text!r}: it should match {pattern}")
    if isinstance(values.get("run_id"), str) and not is_branch_name(values["run_id"]):
        raise UsageError(f"--name {values['run_id']!r}: git takes no branch of that name; choose another")
    typed: dict[str, Any] = {spec.name: _typed(spec) for spec in fields(RunConfig)}
    model = create_model("RunConfig", __config__=ConfigDict(extra="forbid"), **typed)
    try:
        return RunConfig(**dict(model(**values)))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{option_of(str(first['loc'][0]))}: {in_words(first)}") from error


def in_a_name(mode: str) -> str:
    """Return the mode as the name of a run may hold it: a ":" is no part of a file's or a tag's name."""
    return mode.replace(":", "-")


def option_of(field_name: str) -> str:
    """Return the option that sets a field, `--max-cost` for instance."""
    known = {"run_id": "name", "budget_seconds": "budget", "wall_seconds": "wall"}
    return f"--{known.get(field_name, field_name).replace('_', '-')}"


def as_given(value: object) -> str:
    """Return the value of a field as a user would give it; `none` for nothing."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _typed(spec: Field[Any]) -> tuple[Any, Any]:
    """Return a field as pydantic defines it: type, and default with bounds."""
    from pydantic import Field as Checked

    bounds: Mapping[str, Any] = spec.metadata
    return spec.type, Checked(... if spec.default is MISSING else spec.default, **bounds)


def save(path: Path, config: RunConfig, environment: Mapping[str, str]) -> None:
    """Write run.json; `environment` is what a reader of the run will want to know about the machine."""
    document = {"format": FORMAT, "config": asdict(config), "environment": dict(environment)}
    write_durably(path, json.dumps(document, indent=2) + "\n")


def load(path: Path) -> RunConfig:
    """Read run.json, which `save` wrote: types are checked, and not values. Raises JournalError if it is not one."""
    try:
        document = read_json(path, MOST_BYTES)
        if document["format"] != FORMAT:
            raise JournalError(
                f"{path}: format {document['format']}, and this version reads {FORMAT}: use a newer autocentaur"
            )
        values: dict[str, Any] = current(document["config"])
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
        config = RunConfig(**values)
        check_types(config)
        if path.parent.name != config.run_id:
            raise JournalError(f"{path} is of the run {config.run_id!r}: give its folder that name again")
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
    """Raise UsageError if the configuration in run.json or compare.json has a value that this version cannot run."""
    if told := retired(path):
        raise UsageError(
            f"{path.parent.name} cannot be resumed: it has {told}; "
            "`agent log`, `show`, `best`, `report`, `export` and `replay` still read it"
        )


def retired(path: Path) -> str | None:
    """Return which value in run.json or compare.json this version cannot run, and why; None: it can run it."""
    values: Mapping[str, Any] = read_json(path, MOST_BYTES)["config"]
    told = (f"{option_of(n)} {v}, and {why}" for (n, v), why in RETIRED_VALUES.items() if values.get(n) == v)
    return next(told, None)


def keep_options(
    task: "Task", rule: str | None, final_runs: int | None, *, n_trials: float, on_gpu: bool
) -> dict[str, object]:
    """Return how a new run of `task` decides, as fields of its RunConfig.

    Args:
        rule: what the user asked for; None: what the task says.
        final_runs: likewise; None: FINAL_RUNS, and none in a run too short for them to be a small part of it.
        n_trials: that the budget is enough for, about.
        on_gpu: whether the first guess of the noise is that of a GPU.

    Raises:
        UsageError: there is no such rule.
    """
    if rule not in (None, "two-tier", "any"):
        raise UsageError(f"--keep {rule}: there is no such rule; there are two-tier and any")
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


def rule_of(config: RunConfig) -> KeepRule:
    """Return the rule that a run was begun with. One slice is left for the final runs."""
    why_no_slices = KeepRule.why_no_slices if config.confirm else "--no-confirm"
    if config.confirm and config.rounded:
        why_no_slices = "the validation examples are too few for slices"
    if config.n_slices == 1 and config.final_runs:
        why_no_slices = "the pool has one slice only, which is left for the final runs"
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
    )


def caps_of(config: RunConfig) -> Caps:
    """Return the run's caps on model calls."""
    return Caps(config.max_tokens, config.max_cost)
