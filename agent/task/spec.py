"""The tables of task.toml, each checked strictly: unknown keys are refused."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from agent.task.curve_format import EXEMPT, PATTERN, compiled
from agent.task.measure_table import MEASURES
from agent.task.score_kinds import HELD_OUT, SCORE_KINDS, ScoreKind
from agent.trials.metric import Metric


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ScoreSpec(_Strict):
    """How the loss comes about."""

    model_config = ConfigDict(allow_inf_nan=True)  # `between` may be open to one side

    kind: str = HELD_OUT.name  # a row of SCORE_KINDS
    command: tuple[str, ...] = ("python", "score.py")  # in /task of a fresh sandbox; not used for printed
    rounds: int = Field(default=8, ge=0)  # held_out: rounds of audit before the incumbent moves, beside the one always
    cost_factor: float = Field(default=8.0, ge=1)  # held_out, predictions: of the baseline's own scoring seconds
    tol: float = Field(default=1e-2, gt=0)  # held_out: nats that one audited position may be off
    tol_mean: float = Field(default=1e-3, gt=0)  # held_out: nats that the mean difference may be off
    measure: str | None = None  # predictions: what the host computes, a row of MEASURES
    top_k: int | None = Field(default=None, ge=1)  # measure top_k_accuracy: k
    line: str | None = None  # printed: the text around the number, `val loss {}`; None: `name: number` after `---`
    between: tuple[float, float] = (-math.inf, math.inf)  # printed: the lowest and the highest value that can be true

    @property
    def row(self) -> ScoreKind:
        """All that follows from its kind."""
        return SCORE_KINDS[self.kind]

    @field_validator("kind")
    @classmethod
    def _there_is(cls, value: str) -> str:
        if value not in SCORE_KINDS:
            raise ValueError(f"it should be one of {', '.join(SCORE_KINDS)}, and is {value!r}")
        return value

    @field_validator("measure")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in MEASURES:
            raise ValueError(f"it should be one of {', '.join(MEASURES)}, and is {value!r}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ScoreSpec":
        for other in SCORE_KINDS.values():
            for key in sorted(other.keys & self.model_fields_set if other is not self.row else ()):
                raise ValueError(f"{key} belongs to kind = {other.name!r}")
        for key in sorted(self.row.needs - self.model_fields_set):
            raise ValueError(f"kind = {self.kind!r} needs {key}")
        if (self.measure == "top_k_accuracy") != (self.top_k is not None):
            raise ValueError("top_k belongs to measure = 'top_k_accuracy', which needs it: top_k = 5")
        if self.line is not None and self.line.count("{}") != 1:
            raise ValueError("line should have one {} where the number stands")
        if not self.between[0] < self.between[1]:
            raise ValueError(f"between = [{self.between[0]:g}, {self.between[1]:g}]: the first must be the lower one")
        return self


class MountSpec(_Strict):
    """A folder of the host that the script may read."""

    source: str  # ~ is expanded
    target: str  # absolute path inside

    @field_validator("target")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith("/") or value.startswith(("/task", "/data", "/out", "/in/", "/proc", "/dev")):
            raise ValueError("must be an absolute path, and not one of /task, /data, /in, /out, /proc, /dev")
        return value


class EnvironmentSpec(_Strict):
    """What the script runs in."""

    python: str | None = None  # interpreter, a/path from the task's folder; default: the one that runs `agent`
    image: str | None = None  # for --sandbox docker
    dockerfile: str | None = None  # for --sandbox docker, within the task's folder
    mounts: tuple[MountSpec, ...] = ()
    variables: tuple[str, ...] = ()  # names of the caller's variables that are passed on


POOL_KEYS = frozenset({"pool", "pool_files", "pool_rounds", "slice_sequences"})
"""Keys of [data] that are about the pool."""


class DataSpec(_Strict):
    """Where the data comes from."""

    prepare: tuple[str, ...] = ()  # run once on the host; {out} is the folder to fill; empty: no data folder
    # Of the pool, text that no job has seen (agent.task.pool). No part of the task's digest, nor of the data's:
    pool: tuple[str, ...] = ()  # run once on the host; {out} to fill, {data} has been prepared; empty: no pool
    pool_files: tuple[str, ...] = ()  # what `pool` runs: files of the folder that no job sees
    pool_rounds: int = Field(default=16, ge=1)  # ends of one sequence, in as many equal bands
    slice_sequences: int = Field(default=600, ge=8)  # of one slice: of two documents at least

    @model_validator(mode="after")
    def _consistent(self) -> "DataSpec":
        if not self.pool and self.model_fields_set & POOL_KEYS - {"pool"}:
            raise ValueError("pool_files, pool_rounds and slice_sequences belong to pool, a command, which is missing")
        return self


class BudgetSpec(_Strict):
    """What one training job may use, and who counts it."""

    unit: Literal["seconds", "work", "tokens", "steps"] = "seconds"
    amount: float = Field(gt=0)
    nominal_seconds: float | None = Field(default=None, gt=0)  # charged for a success; default: amount, if seconds
    counted_by: Literal["host", "script"] = "host"
    cpu_factor: float = Field(default=4.0, gt=1)  # of the baseline's CPU seconds, for a budget the script counts
    # Of the baseline's CPU seconds of training, at equal machine speed: above that, twice, a trial is over budget.
    max_cpu_ratio: float | None = Field(default=None, gt=1)  # None: not checked

    @model_validator(mode="after")
    def _consistent(self) -> "BudgetSpec":
        if self.unit != "seconds" and self.counted_by == "host":
            raise ValueError(f"the host cannot count {self.unit}; say counted_by = 'script'")
        if self.max_cpu_ratio is not None and self.counted_by == "host":
            raise ValueError("max_cpu_ratio belongs to counted_by = 'script'; leave it out where the host counts")
        if self.max_cpu_ratio is not None and self.max_cpu_ratio >= self.cpu_factor:
            raise ValueError(
                f"max_cpu_ratio = {self.max_cpu_ratio:g} must be below cpu_factor = {self.cpu_factor:g}, "
                "above which a trial is ended"
            )
        return self

    @property
    def charge_seconds(self) -> float | None:
        """Training seconds charged for a success; None: as long as it took, because nobody says beforehand."""
        return self.nominal_seconds or (self.amount if self.unit == "seconds" else None)

    @property
    def deterministic(self) -> bool:
        """Whether the same script and seed do the same work, however fast the machine is."""
        return self.unit != "seconds"

    @property
    def kind(self) -> str:
        """`host` or `cooperative`, as every record says it."""
        return "host" if self.counted_by == "host" else "cooperative"

    @property
    def check(self) -> str:
        """How the host checks what the script counts, in words; empty where the host counts itself."""
        if self.counted_by == "host":
            return ""
        if self.max_cpu_ratio is None:
            return f"CPU seconds only capped, at {self.cpu_factor:g} times the baseline's"
        return f"at most {self.max_cpu_ratio:g} times the baseline's CPU seconds"


class LimitsSpec(_Strict):
    """Caps of one job; see sandbox.job.Limits."""

    wall_seconds: float = Field(gt=0, le=1e8)
    memory_gb: float = Field(gt=0, le=1e6)
    cpu_seconds: float | None = Field(default=None, gt=0, le=1e10)
    processes: int = Field(default=64, gt=1, le=10**6)
    cpus: float = Field(default=1.0, gt=0, le=1e5)
    output_mb: float = Field(default=256.0, gt=0, le=1e9)
    scratch_mb: float = Field(default=256.0, gt=0, le=1e9)
    log_mb: float = Field(default=1.0, gt=0, le=1e6)

    @property
    def followed_bytes(self) -> int:
        """How much of a log can be read while its job runs; of the rest the end is written when it is over."""
        return int(self.log_mb * 2**20) // 2


class NoiseSpec(_Strict):
    """What is known of the metric's noise."""

    sigma: float | None = Field(default=None, gt=0)  # standard deviation over training seeds, metric units


class KeepSpec(_Strict):
    """What counts as progress; see agent.trials.keep_rule."""

    rule: Literal["two-tier", "any"] = "two-tier"
    # Sigmas that the incumbent must seem ahead to be run again; None: 4 with a pool, 3.5 without.
    lead: float | None = Field(default=None, gt=0)
    # That it must be ahead then: standard errors to be confirmed with a pool, sigmas to be repeated without.
    gain: float = Field(default=2.0, ge=0)


class MachineSpec(_Strict):
    """How the machine is held against the baseline's, where the budget is seconds; see agent.execution.speed.drift."""

    canary: tuple[str, ...] = ("shipped",)  # or a command of the task's own that prints `speed: N`; or off
    seconds: float | None = Field(default=None, gt=0)  # of one canary; None: a small share of the budget
    void: float = Field(default=0.03, gt=0)  # of ln speed: above, a trial is void and queued again
    pause_seconds: float = Field(default=10.0, gt=0)  # before it is measured again if it is off; doubled each time
    patience_seconds: float = Field(default=3600.0, gt=0)  # that a run waits for it in one go

    @field_validator("canary", mode="before")
    @classmethod
    def _a_word_or_a_command(cls, value: Any) -> Any:
        return (value,) if value in ("shipped", "off") else value

    @model_validator(mode="after")
    def _consistent(self) -> "MachineSpec":
        if not self.canary:
            raise ValueError('canary is empty: give a command, or "off"')
        return self


class CurveSpec(_Strict):
    """How the script prints its training loss while it trains; see agent.execution.early_stopping."""

    pattern: str = PATTERN  # of a line: groups `loss`, and `progress` (0 to 1) or `used` (of the budget, in its unit)
    exempt: tuple[str, ...] = EXEMPT  # parts of names; edits that touch them are never stopped for being behind

    @field_validator("pattern")
    @classmethod
    def _complete(cls, value: str) -> str:
        groups = set(compiled(value).groupindex)
        if "loss" not in groups or len(groups & {"progress", "used"}) != 1:
            raise ValueError("needs the group (?P<loss>…), and one of (?P<progress>…) and (?P<used>…)")
        return value

    @field_validator("exempt")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("an empty name is part of every line; leave it out")
        return value


class TaskDocument(_Strict):
    """task.toml with one profile laid over it."""

    class _TaskTable(_Strict):
        name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
        script: str = "train.py"
        frozen: tuple[str, ...] = ()
        command: tuple[str, ...] = ("python", "train.py")
        profile: str | None = None

    task: _TaskTable
    metric: Metric = Metric()
    score: ScoreSpec = ScoreSpec()
    environment: EnvironmentSpec = EnvironmentSpec()
    data: DataSpec = DataSpec()
    budget: BudgetSpec
    limits: LimitsSpec
    set: Mapping[str, str] = {}
    noise: NoiseSpec = NoiseSpec()
    keep: KeepSpec = KeepSpec()
    curve: CurveSpec | None = None
    machine: MachineSpec = MachineSpec()
    values: Mapping[str, int | float | str] = {}
    space: Mapping[str, Mapping[str, Any]] = {}
    derived: Mapping[str, Mapping[str, Any]] = {}  # see agent.search.derived_axes
    memory: Mapping[str, Any] = {}  # see agent.search.memory_model
    hints: Mapping[str, int | float | str] = {}  # values that --hints begins at

    @field_validator("score")
    @classmethod
    def _towards_the_goal(cls, value: ScoreSpec, info: ValidationInfo) -> ScoreSpec:
        metric = info.data.get("metric")  # None: it is wrong itself
        goal = MEASURES[value.measure].goal if value.measure is not None else None
        if metric is not None and goal not in (None, metric.goal):
            raise ValueError(f"measure = {value.measure!r} needs [metric] goal = {goal!r}, and it is {metric.goal!r}")
        return value
