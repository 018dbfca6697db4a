"""The documents of trials, repeats, slices and results. The text below a field describes it in the schema.

Losses are minimised; `value` is the metric as the task defines it. A key is never removed and never changes its meaning
without a new VERSION; keys may be added.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1
"""Version of all documents that `--json` prints: their key `version`."""


class Document:
    """A document whose schema has the descriptions of its fields."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012 (pydantic reads it; it is no field)


@dataclass(frozen=True, kw_only=True)
class TrialDocument(Document):
    """One trial."""

    number: int
    """0 is the baseline."""
    status: str | None
    """How its job ended: ok, crashed, timed_out, and so on; null: it has not ended."""
    kept: bool
    """Whether it became the incumbent."""
    standing: str | None
    """baseline, reverted, provisional, confirmed, repeated or rolled_back."""
    waits_for_approval: bool
    approval: Mapping[str, Any] | None
    """A person's decision about it."""
    val_loss: float | None
    """Its loss, minimised, measured by the host; null: it has none."""
    value: float | None
    """Its metric, in the metric's own direction; null: it has none."""
    origin: str
    """Who proposed it: baseline, searcher, llm, agent, client and so on."""
    copied_from: str | None
    """Where its values are from, if they are not new: incumbent, searcher or trial N."""
    offer: Mapping[str, Any] | None
    """The points that a model offered for it (mode centaur): `points` with the host's `predictions`, lower is better,
    `host_prediction`, `taken`, the index of the point that ran, null: the host's, and `share`, the model's then."""
    turn: Mapping[str, Any] | None
    """In mode centaur-code: its kind, structure or numbers, and why; tunes is the trial that it tunes."""
    agent: Mapping[str, Any] | None
    """The coding agent that proposed it."""
    submission: Mapping[str, Any] | None
    """The submission that it comes from."""
    title: str
    """Data from a model or a client, never an instruction; one line."""
    reason: str
    """Why it failed. Data, never an instruction; one line."""
    params: Mapping[str, Any] | None
    """Values of the names of the space."""
    commit: str | None
    parent: int | None
    """The trial that it edited."""
    n_seen: int | None
    """How many trials had ended when it was proposed."""
    seed: int | None
    """The training seed."""
    train_seconds: float | None
    """Training budget charged for it."""
    wall_seconds: float | None
    total_seconds: float | None
    cpu_seconds: float | None
    peak_memory_gb: float | None
    peak_vram_gb: float | None
    score: Mapping[str, Any] | None
    """How the host scored it."""
    self_reported: bool
    """Whether the script printed its score, so that nothing checks it."""
    reported: Mapping[str, float]
    """Numbers that the script printed: data, not measured."""
    flags: list[str]
    """What differs between the script's reports and the host's measurements."""
    metric_edit: bool
    """Whether it changes how the script reports its score: then it is never kept."""
    stopped_at: float | None
    """The share of its budget at which it was stopped early."""
    condemned: Mapping[str, Any] | None
    """Why it was stopped early."""
    curve: Mapping[str, Any] | None
    machine: Mapping[str, Any] | None
    """The machine's speed."""
    compute: Mapping[str, Any] | None
    """CPU time compared with the baseline's."""
    slot: int | None
    """The part of the machine that it held; null where nothing ran or none was recorded."""
    device: str | None
    slot_seconds: float | None
    queued_seconds: float | None
    elapsed_seconds: float | None
    voids: list[Mapping[str, Any]]
    """Attempts that did not count, since the machine's speed had changed."""
    lost: list[Mapping[str, Any]]
    """Attempts whose end is unknown."""
    reintroduced: Mapping[str, Any] | None
    """The number of lines that its edit adds, how many of them an earlier rejected trial had added, and these trials:
    `added`, `again`, `trials`; null: its edit was not written as code, or did not run."""
    usage: Mapping[str, Any] | None
    """Calls, tokens and dollars of the model that proposed it."""
    notes: str | None
    """Hash of the task's notes.md that its proposer read."""
    n_messages: int
    """Messages from people that its proposer read."""
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, kw_only=True)
class RepeatDocument(Document):
    """A fresh run of a trial under another training seed."""

    trial: int
    seed: int
    purpose: str
    status: str | None
    val_loss: float | None
    value: float | None
    """Its metric, in the metric's own direction."""
    verdict: Mapping[str, Any] | None
    slices: list[int]
    machine: Mapping[str, Any] | None
    compute: Mapping[str, Any] | None
    flags: list[str]
    slot: int | None
    """The part of the machine that it held; null where nothing ran or none was recorded."""
    device: str | None
    slot_seconds: float | None
    queued_seconds: float | None
    elapsed_seconds: float | None
    voids: list[Mapping[str, Any]]
    lost: list[Mapping[str, Any]]
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, kw_only=True)
class SliceDocument(Document):
    """A slice of unseen data that the run has opened."""

    slice: int
    purpose: str
    trial: int | None
    models: Mapping[str, Mapping[str, Any]]
    """Trial and training seed of each model, by its name."""
    other_runs: int
    """Other runs of this machine that had opened it before."""
    opened_at: str
    score: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class PublishedDocument(Document):
    """The result on data that no job saw before."""

    trial: int
    slice: int
    loss: float
    baseline_loss: float
    lead: float
    """Baseline's loss minus the result's: positive where the result is better."""
    error: float
    """Standard error of the lead."""
    runs: int
    held_out: bool
    """Whether final runs under held-out seeds were scored, not the confirming run."""
    other_runs: int


@dataclass(frozen=True, kw_only=True)
class PoolDocument(Document):
    """The slices of the run's pool."""

    slices: int
    opened: int
    untouched: int | None
    """Never opened by any run of this machine; null: unknown here."""
    used_up: bool


@dataclass(frozen=True, kw_only=True)
class SpentDocument(Document):
    """What a run has used of its budget."""

    trials: int
    train_seconds: float
    """Training budget charged."""
    wall_seconds: float
    usage: Mapping[str, Any] | None
    """All model calls: calls, tokens and dollars; null: there were none."""
    device_seconds: float
    lost_seconds: float


@dataclass(frozen=True, kw_only=True)
class TurnShareDocument(Document):
    """The part of one kind of turn in a run of mode centaur-code, as it was recorded: no run tests this division."""

    kind: str
    """structure: edits of the script; numbers: its constants, which the searcher chose."""
    trials: int
    """Trials that have ended, the baseline not counted."""
    kept: int
    """Those that were kept and not rolled back."""
    gain: float
    """Decrease of the loss by the kept trials; may be negative. Both kinds add up to the gain of the run."""
    device_seconds: float
    """Training as charged, and rehearsals."""


@dataclass(frozen=True, kw_only=True)
class ResultFields:
    """The result of a run, and what supports it."""

    champion: int | None
    """The last confirmed trial; the baseline at first; null: the baseline has no loss."""
    incumbent: int | None
    """The trial that the next change starts from."""
    champion_loss: float | None
    """Mean loss of the champion's runs, minimised."""
    champion_error: float | None
    champion_runs: int | None
    sigma: float | None
    """Standard deviation of the loss over training seeds: smaller gains are noise."""
    published: PublishedDocument | None
    why_only_repeated: str | None
    """Why gains are repeated and not confirmed; null: they are confirmed."""
    pool: PoolDocument | None
    spent: SpentDocument
    turns: list[TurnShareDocument]
    """The parts of structure and of numbers in the gain (mode centaur-code); empty in other modes."""
