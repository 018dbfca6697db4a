"""The records of a trial: Proposal, Outcome, Score, Trial. Immutable, with an exact JSON round trip."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from agent.edits.codec import decode, encode
from agent.edits.edit import Edit, Params
from agent.llm.model import ModelUsage
from agent.trials.hybrid.offer import Offer
from agent.trials.hybrid.turn import TurnChoice
from agent.trials.json_fields import changed_fields, from_fields
from agent.trials.learning_curve import LearningCurve, PruningDecision
from agent.trials.machine_speed import ComputeUse, LostAttempt, MachineSpeed, SlotUse, VoidedAttempt
from agent.trials.steering import AgentUse, Approval, Submission


class Status(StrEnum):
    """How a trial ended. There is a loss if and only if the status is `ok`."""

    OK = "ok"
    NO_PROPOSAL = "no_proposal"
    INVALID_EDIT = "invalid_edit"
    DUPLICATE = "duplicate"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    DIVERGED = "diverged"
    BAD_ARTIFACT = "bad_artifact"
    REJECTED_SCORE = "rejected_score"
    PRUNED = "pruned"
    REFUSED = "refused"  # by a person, or for lack of an approval

    @property
    def ran(self) -> bool:
        """Whether the trial ran in a sandbox: only such trials cost training budget and are reported to a searcher."""
        return self not in (Status.NO_PROPOSAL, Status.INVALID_EDIT, Status.DUPLICATE, Status.REFUSED)


class KeepState(StrEnum):
    """The verdict so far on a trial that has a loss."""

    REVERTED = "reverted"  # its loss was not below the incumbent's
    PROVISIONAL = "provisional"  # became the incumbent; no confirmation has decided about it
    CONFIRMED = "confirmed"  # the champion or an ancestor: a fresh run kept its lead on text that no job had seen
    REPEATED = "repeated"  # likewise without a pool: on the standing split, or as the script reports
    ROLLED_BACK = "rolled_back"  # the incumbent that includes it lost its lead in a fresh run

    @property
    def holds(self) -> bool:
        """Whether it is the standing of a champion or of a champion's ancestor."""
        return self in (KeepState.CONFIRMED, KeepState.REPEATED)


class Origin(StrEnum):
    """The author of a proposal."""

    BASELINE = "baseline"
    SEARCHER = "searcher"
    LLM = "llm"
    ECHO = "echo"
    MEND = "mend"
    SUBMITTED = "submitted"
    AGENT = "agent"


# A dict is three times as fast as the enum's own look-up, which a long journal needs tens of thousands of times.
_STATUSES = {status.value: status for status in Status}
_ORIGINS = {origin.value: origin for origin in Origin}


@dataclass(frozen=True)
class Proposal:
    """A change to run, or the reason why there is none."""

    origin: Origin
    title: str  # one line
    edit: Edit  # against the parent's script
    params: Params | None = None  # the edited script's value of every name of the space; None without a space
    copied_from: str | None = None  # "incumbent", "searcher" or "trial N": the source of the values, if not new
    refused: Status | None = None  # why no trial runs: no_proposal, invalid_edit, duplicate, or a failed smoke test
    reason: str = ""  # why it was refused, one line
    fingerprint: str = ""  # of the edited script, without formatting and comments
    train_seed: int = 0  # the script's TRAIN_SEED
    usage: ModelUsage | None = None
    prompt: str | None = None  # hash of the prompt templates used
    note: str = ""  # how the edit's blocks matched the script, if not exactly
    smoke_seconds: float = 0.0  # wall time of smoke tests; charged to the training budget
    submission: Submission | None = None  # what a client sent, in mode submitted
    agent: AgentUse | None = None  # the coding agent that wrote it
    notes: str | None = None  # hash of the task's notes.md as the proposer read it
    n_messages: int = 0  # of the run's messages from people, how many the proposer read
    shown: Params | None = None  # the searcher's own point, if a model decided in its place
    searcher_state: Mapping[str, Any] | None = None  # the full state, at every LLM turn of a hybrid
    turn: TurnChoice | None = None  # in mode centaur-code: structure or numbers, and why
    offer: Offer | None = None  # what a model offered for this trial, if the host's model screened it

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data, without those at their default."""
        parts = {name: changed_fields(part) for name in _PROPOSAL_PARTS if (part := getattr(self, name)) is not None}
        return changed_fields(self) | {"edit": encode(self.edit)} | parts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Proposal":
        """Return the proposal that `to_json` encoded. Raises TypeError, KeyError or ValueError for invalid data."""
        fields = {**data, "origin": _ORIGINS[data["origin"]], "edit": decode(data["edit"])}
        if "refused" in fields:
            fields["refused"] = _STATUSES[fields["refused"]]
        for name in _PROPOSAL_PARTS.keys() & fields.keys():
            fields[name] = _PROPOSAL_PARTS[name](fields[name])
        return from_fields(cls, fields)


_PROPOSAL_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "usage": lambda data: ModelUsage(**data),
    "submission": Submission.from_json,
    "agent": AgentUse.from_json,
    "turn": TurnChoice.from_json,
    "offer": Offer.from_json,
}


@dataclass(frozen=True)
class Score:
    """A loss and the evidence for it."""

    val_loss: float | None  # minimised; None: there is no score, and `status` says why
    kind: str  # as a row of agent.task.score_kinds is recorded
    status: Status = Status.OK  # else bad_artifact or rejected_score
    reason: str = ""
    seconds: float = 0.0  # wall time
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)  # by question: the maximum over its jobs
    wall_seconds: Mapping[str, float] = field(default_factory=dict)  # by question: the maximum over its jobs
    why_no_slices: str = ""  # of a baseline: why nothing can be confirmed on the run's pool

    def to_json(self) -> dict[str, Any]:
        return changed_fields(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Score":
        return from_fields(cls, {**data, "status": _STATUSES[data["status"]]} if "status" in data else data)


@dataclass(frozen=True)
class Outcome:
    """The result of a trial, as observed and judged by the host."""

    status: Status
    val_loss: float | None  # minimised, even if the metric is maximised; None if and only if status is not ok
    kept: bool = False  # whether the trial became the incumbent
    reason: str = ""  # one line; empty if all went well
    train_seconds: float = 0.0  # charged to the training budget: nominal for a success, measured for a failure
    wall_seconds: float = 0.0  # of the training job, measured by the host
    total_seconds: float = 0.0  # wall time of the whole trial: proposing, void attempts, training, scoring, judging
    cpu_seconds: float | None = None  # of the training job
    peak_memory_gb: float | None = None
    peak_vram_gb: float | None = None
    score: Score | None = None
    reported: Mapping[str, float] = field(default_factory=dict)  # as printed by the script; not trusted
    sandbox: str = ""  # name and version of the sandbox, or the image's digest
    # What the result may depend on; see agent.execution.environment.
    conditions: Mapping[str, str] = field(default_factory=dict)
    unenforced: tuple[str, ...] = ()
    machine: MachineSpeed | None = None  # its speed; None: the budget is not seconds, or the speed was not measured
    compute: ComputeUse | None = None  # where the script counts its budget and the host checks it
    place: SlotUse | None = None  # the slot that it held; None: an earlier version recorded it
    flags: tuple[str, ...] = ()  # one line for each disagreement of the script's report with the host's measurement
    metric_edit: bool = False  # it changes how the script reports its score, which nobody has accepted
    curve: LearningCurve | None = None  # the printed learning curve; None: it printed none, or the task declares none
    condemned: PruningDecision | None = None  # the decision to stop it at half of its budget; it ran on unless `pruned`
    stopped_at: float | None = None  # share of its budget at which it was stopped, as reported; None: it was not

    def __post_init__(self) -> None:
        if (self.val_loss is None) == (self.status is Status.OK):
            raise ValueError(f"only status ok has a loss, and it must have one: {self.status}, {self.val_loss}")

    @property
    def is_over_budget(self) -> bool:
        """Whether it used more than its budget pays for. Its loss then decides nothing."""
        return self.compute is not None and self.compute.is_over

    @property
    def counted_loss(self) -> float | None:
        """The loss, if it may decide anything."""
        return None if self.is_over_budget or self.metric_edit else self.val_loss

    @property
    def elapsed_seconds(self) -> float:
        """Wall time that it added to the run: less than `total_seconds` if others ran at the same time."""
        shared = self.place.elapsed_seconds if self.place is not None else None
        return self.total_seconds if shared is None else shared

    @property
    def slot_seconds(self) -> float:
        """Wall time that it held a slot; for a result of an earlier version, the time of proposing included."""
        return self.place.seconds if self.place is not None else self.total_seconds

    @property
    def raw_loss(self) -> float | None:
        """The loss as scored; an earlier version corrected `val_loss` for the machine's speed."""
        corrected = self.machine is not None and self.machine.raw_loss is not None
        return self.machine.raw_loss if corrected and self.machine is not None else self.val_loss

    @property
    def image(self) -> str | None:
        """Digest of the container image that the trial ran in; None without a container."""
        found = re.search(r"image (sha256:[0-9a-f]{64})", self.sandbox)
        return found[1] if found else None

    def to_json(self) -> dict[str, Any]:
        data = changed_fields(self) | {"val_loss": self.val_loss}
        for name in _OUTCOME_PARTS:
            if (part := getattr(self, name)) is not None:
                data[name] = part.to_json()
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Outcome":
        fields = {**data, "status": _STATUSES[data["status"]]}
        for name in {"unenforced", "flags"} & fields.keys():
            fields[name] = tuple(fields[name])
        for name in _OUTCOME_PARTS.keys() & fields.keys():
            fields[name] = _OUTCOME_PARTS[name](fields[name])
        outcome = from_fields(cls, fields)
        outcome.__post_init__()
        return outcome


_OUTCOME_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "score": Score.from_json,
    "curve": lambda data: LearningCurve(**data),
    "condemned": lambda data: PruningDecision(**data),
    "compute": ComputeUse.from_json,
    "place": SlotUse.from_json,
    "machine": MachineSpeed.from_json,
}


@dataclass(frozen=True)
class Trial:
    """One proposal, with the outcome of the one execution that counts, once it has one."""

    number: int  # 0 is the baseline
    parent: int | None  # the incumbent when it was proposed, which it edits; None for the baseline
    proposal: Proposal
    started_at: str  # ISO 8601, UTC
    outcome: Outcome | None = None
    finished_at: str | None = None
    repeat_state: KeepState | None = None  # by a repeat: confirmed, repeated or rolled_back
    voids: tuple[VoidedAttempt, ...] = ()  # void attempts
    lost: tuple[LostAttempt, ...] = ()  # attempts whose end is unknown
    n_seen: int | None = None  # trials that had finished when it was proposed; None: all before it
    needs_approval: bool = False  # it may not run before a person approves it
    approval: Approval | None = None  # None: it needs none, or nobody has decided yet

    @property
    def waits_for_approval(self) -> bool:
        """Whether it may not run before somebody decides about it."""
        return self.needs_approval and self.approval is None and self.outcome is None

    @property
    def is_refused(self) -> bool:
        """Whether it ends without a training: nothing could run, or it was not approved."""
        return self.proposal.refused is not None or (self.approval is not None and not self.approval.is_approved)

    @property
    def val_loss(self) -> float | None:
        return self.outcome.val_loss if self.outcome else None

    @property
    def status(self) -> Status | None:
        return self.outcome.status if self.outcome else None

    @property
    def kept(self) -> bool:
        """Whether the trial became the incumbent when it finished; a repeat may have rolled it back since."""
        return self.outcome is not None and self.outcome.kept

    @property
    def standing(self) -> KeepState | None:
        """The verdict so far; None without a loss. The baseline is the first champion."""
        outcome = self.outcome
        if self.repeat_state is not None or outcome is None or outcome.val_loss is None:
            return self.repeat_state
        if self.number == 0:
            return KeepState.CONFIRMED
        return KeepState.PROVISIONAL if outcome.kept else KeepState.REVERTED

    @property
    def is_vetoed(self) -> bool:
        """Whether a person refused it, so that the same change should not be proposed again."""
        return self.approval is not None and self.approval.is_veto

    def finished(self, outcome: Outcome, at: str) -> "Trial":
        """Return this trial with its outcome."""
        return replace(self, outcome=outcome, finished_at=at)
