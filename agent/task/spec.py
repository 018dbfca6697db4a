"""The tables of task.toml. Each is validated strictly: unknown keys are refused."""

import math
from collections.abc import Mapping
from posixpath import normpath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from agent.task.cluster_table import ClusterSpec
from agent.task.curve_format import EXEMPT, PATTERN, compiled
from agent.task.measure_table import MEASURES
from agent.task.score_kinds import HELD_OUT, SCORE_KINDS, ScoreKind, check_metric_file
from agent.trials.metric import Metric


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ScoreSpec(_Strict):
    """How the loss is computed."""

    model_config = ConfigDict(allow_inf_nan=True)  # `between` may be unbounded on one side

    kind: str = HELD_OUT.name  # a row of SCORE_KINDS
    command: tuple[str, ...] = ("python", "score.py")  # runs in /task of a fresh sandbox; unused for printed
    rounds: int = Field(default=8, ge=0)  # held_out: audit rounds before a new incumbent, plus one in every trial
    cost_factor: float = Field(default=8.0, ge=1)  # held_out, predictions: cap, in the baseline's own scoring seconds
    tol: float = Field(default=1e-2, gt=0)  # held_out: tolerance at one audited position, nats
    tol_mean: float = Field(default=1e-3, gt=0)  # held_out: tolerance of the mean difference, nats
    measure: str | None = None  # predictions: the measure that the host computes, a row of MEASURES
    top_k: int | None = Field(default=None, ge=1)  # measure top_k_accuracy: k
    line: str | None = None  # printed: the text around the number, `val loss {}`; None: `name: number` after `---`
    between: tuple[float, float] = (-math.inf, math.inf)  # printed: the lowest and the highest plausible value
    file: str | None = None  # printed: a .jsonl, .json or .csv that the script writes, instead of a line of its log
    key: str | None = None  # printed, with file: the name of the value in it, which may be nested: val/loss
    pick: Literal["last", "best"] = "last"  # printed, with file: which of several values counts

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
            raise ValueError(f"it should be one of {', '.join(MEASURES)}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ScoreSpec":
        for other in SCORE_KINDS.values():
            for key in sorted(other.keys & self.model_fields_set if other is not self.row else ()):
                raise ValueError(f"{key} belongs to kind = {other.name!r}")
        for key in sorted(self.row.needs - self.model_fields_set):
            raise ValueError(f"kind = {self.kind!r} needs {key}")
        if (self.measure == "top_k_accuracy") != (self.top_k is not None):
            raise ValueError("measure = 'top_k_accuracy' needs top_k, e.g. top_k = 5, and no other measure has it")
        if self.line is not None and (self.line.count("{}") != 1 or "{*}" in self.line.partition("{}")[2]):
            raise ValueError("line needs one {} in the place of the number, behind any {*}")
        if self.file is None and (self.key is not None or "pick" in self.model_fields_set):
            raise ValueError("key and pick belong to file, which is missing")
        if self.file is not None:
            check_metric_file(self.file, self.key, self.line)
        if not self.between[0] < self.between[1]:
            raise ValueError(f"between = [{self.between[0]:g}, {self.between[1]:g}]: write the lower value first")
        return self


class MountSpec(_Strict):
    """A folder of the host that the script may read."""

    source: str  # ~ is expanded; a/path is relative to the task's folder
    target: str  # absolute path inside the sandbox; or relative to the script's working copy: "data", "../data"

    @field_validator("target")
    @classmethod
    def _usable(cls, value: str) -> str:
        parts = value.split("/")
        if not value.startswith("/") and parts[-1] not in ("", ".", "..") and parts.count("..") <= 8:
            return value
        if not value.startswith("/") or value.startswith(("/task", "/data", "/out", "/in/", "/proc", "/dev")):
            raise ValueError("must be a path, and not one of /task, /data, /in, /out, /proc, /dev")
        return value


class EnvironmentSpec(_Strict):
    """The environment that the script runs in."""

    python: str | None = None  # interpreter; a/path is relative to the task's folder; default: the one of `agent`
    image: str | None = None  # for --sandbox docker
    dockerfile: str | None = None  # for --sandbox docker, inside the task's folder
    mounts: tuple[MountSpec, ...] = ()
    variables: tuple[str, ...] = ()  # names of the caller's environment variables to pass on
    writable_copy: bool = False  # whether the script runs in a writable copy of /task, which ends with the trial

    @model_validator(mode="after")
    def _consistent(self) -> "EnvironmentSpec":
        relative = [mount.target for mount in self.mounts if not mount.target.startswith("/")]
        if relative and not self.writable_copy:
            raise ValueError(f"the mount target {relative[0]!r} is relative, which needs writable_copy = true")
        taken = [m.target for m in self.mounts if normpath(m.target) == "/tmp" or m.target.startswith("/mounts")]
        if taken and self.writable_copy:
            raise ValueError(f"the mount target {taken[0]!r} is for the writable copy; choose one such as '/tmp/data'")
        return self


POOL_KEYS = frozenset({"pool", "pool_files", "pool_rounds", "slice_sequences"})
"""Keys of [data] that concern the pool."""


class DataSpec(_Strict):
    """Where the data comes from."""

    prepare: tuple[str, ...] = ()  # runs once on the host; {out} is the folder to fill; empty: no data folder
    # The pool: text that no job has seen (agent.task.unseen.pool). No digest of the task or of its data includes it.
    pool: tuple[str, ...] = ()  # runs once on the host; fills {out}, may read {data}, the prepared data; empty: no pool
    pool_files: tuple[str, ...] = ()  # files of the task's folder that `pool` needs; no job sees them
    pool_rounds: int = Field(default=16, ge=1)  # ends per sequence, one in each of as many equal bands
    slice_sequences: int = Field(default=600, ge=8)  # per slice; at least 8, so that a slice has two documents

    @model_validator(mode="after")
    def _consistent(self) -> "DataSpec":
        if not self.pool and self.model_fields_set & POOL_KEYS - {"pool"}:
            raise ValueError("pool_files, pool_rounds and slice_sequences need pool, a command, which is missing")
        return self


class BudgetSpec(_Strict):
    """The training budget of one trial, and who measures it."""

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
            raise ValueError(f"the host cannot count {self.unit}; set counted_by = 'script'")
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
        """Training seconds charged for a success; None: the measured time, because no nominal time is known."""
        return self.nominal_seconds or (self.amount if self.unit == "seconds" else None)

    @property
    def deterministic(self) -> bool:
        """Whether the same script and seed do the same work, however fast the machine is."""
        return self.unit != "seconds"

    @property
    def kind(self) -> str:
        """`host` or `cooperative`, the term in every record."""
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
        """How much of a log can be read while its job runs, in bytes; the end of the rest is written after the job."""
        return int(self.log_mb * 2**20) // 2


class NoiseSpec(_Strict):
    """The noise of the metric, if known."""

    sigma: float | None = Field(default=None, gt=0)  # standard deviation over training seeds, metric units


class KeepSpec(_Strict):
    """Settings of the keep rule; see agent.trials.keeping.keep_rule."""

    rule: Literal["two-tier", "any"] = "two-tier"
    # Sigmas of apparent lead from which the incumbent is tested; None: 4 with a pool, 3.5 without.
    lead: float | None = Field(default=None, gt=0)
    # Lead that the test must show: with a pool standard errors, to be confirmed; without sigmas, to be repeated.
    gain: float = Field(default=2.0, ge=0)


class MachineSpec(_Strict):
    """How the machine's speed is checked if the budget is seconds; see agent.execution.speed.drift."""

    canary: tuple[str, ...] = ("shipped",)  # or the task's own command, which prints `speed: N`; or off
    seconds: float | None = Field(default=None, gt=0)  # of one canary; None: a small share of the budget
    void: float = Field(default=0.03, gt=0)  # change of ln speed above which a trial is void and runs again
    pause_seconds: float = Field(default=10.0, gt=0)  # before the next canary after such a change; doubles each time
    patience_seconds: float = Field(default=3600.0, gt=0)  # longest uninterrupted wait for the machine to recover

    @field_validator("canary", mode="before")
    @classmethod
    def _a_word_or_a_command(cls, value: Any) -> Any:
        return (value,) if value in ("shipped", "off") else value

    @model_validator(mode="after")
    def _consistent(self) -> "MachineSpec":
        if not self.canary:
            raise ValueError('canary is empty; give a command, or "off"')
        return self


class CurveSpec(_Strict):
    """How the script prints its training loss while it trains; see agent.execution.early_stopping."""

    pattern: str = PATTERN  # of a line: groups `loss`, and `progress` (0 to 1) or `used` (of the budget, in its unit)
    exempt: tuple[str, ...] = EXEMPT  # parts of names; trials that edit one are never stopped for a high loss

    @field_validator("pattern")
    @classmethod
    def _complete(cls, value: str) -> str:
        groups = set(compiled(value).groupindex)
        if "loss" not in groups or len(groups & {"progress", "used"}) != 1:
            raise ValueError("the pattern needs the group (?P<loss>…), and either (?P<progress>…) or (?P<used>…)")
        return value

    @field_validator("exempt")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("an empty name matches every line; leave it out")
        return value


class TaskDocument(_Strict):
    """task.toml after one profile has been applied."""

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
    cluster: ClusterSpec = ClusterSpec()
    values: Mapping[str, int | float | str] = {}
    space: Mapping[str, Any] = {}  # tables by name, and the list `constraints`; see agent.search.space
    derived: Mapping[str, Mapping[str, Any]] = {}  # see agent.search.derived_axes
    memory: Mapping[str, Any] = {}  # see agent.search.memory_model
    hints: Mapping[str, int | float | str] = {}  # the start values of --hints

    @field_validator("score")
    @classmethod
    def _towards_the_goal(cls, value: ScoreSpec, info: ValidationInfo) -> ScoreSpec:
        metric = info.data.get("metric")  # None: it is invalid itself
        goal = MEASURES[value.measure].goal if value.measure is not None else None
        if metric is not None and goal not in (None, metric.goal):
            raise ValueError(f"measure = {value.measure!r} needs [metric] goal = {goal!r}, not {metric.goal!r}")
        return value
