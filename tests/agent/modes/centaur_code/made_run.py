"""A run of mode centaur-code without a sandbox: scripts are executed here, and any lower loss is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.edits.edit import WholeFile
from agent.edits.guard import fingerprint
from agent.modes.centaur_code.proposer import CentaurCodeProposer
from agent.modes.proposer import Context
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

SCRIPT = "A = 2.0  # tune: 0.1..10 log\n\n\ndef loss():\n    return 1 + (A - 0.7) ** 2\n"
BASELINE = SCRIPT.replace("A = 2.0  # tune: 0.1..10 log", "A = float(2)")  # the same without a number to tune
SIGMA = 0.01


@dataclass
class Writer:
    """Proposes scripts in order, whatever it is shown."""

    scripts: Sequence[str]

    def propose(self, context: Context) -> Proposal:
        """Return the first script that no trial has had."""
        used = {trial.proposal.fingerprint for trial in (*context.trials, *context.pending)}
        for nth, script in enumerate(self.scripts):
            if fingerprint(script) not in used:
                edit = WholeFile(script)
                return Proposal(Origin.LLM, f"script {nth}", edit, fingerprint=fingerprint(script))
        return Proposal(Origin.LLM, "none", WholeFile(context.source), refused=Status.DUPLICATE, reason="none left")


@dataclass
class MadeRun:
    """A run that is proposed and finished by hand."""

    scripts: Sequence[str]
    baseline: str = BASELINE
    space: SearchSpace | None = None
    seed: int = 0
    sigma: float = SIGMA
    is_parallel: bool = False
    trials: list[Trial] = field(default_factory=list)  # finished, in that order
    pending: list[Trial] = field(default_factory=list)
    sources: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.proposer = self.rebuilt()
        self.sources[0] = self.baseline
        first = Proposal(Origin.BASELINE, "baseline", WholeFile(self.baseline))
        self.trials.append(Trial(0, None, first, "", Outcome(Status.OK, loss_of(self.baseline), True, train_seconds=1)))

    def rebuilt(self) -> CentaurCodeProposer:
        """Return a new proposer, as a resumed run has."""
        return CentaurCodeProposer(Writer(self.scripts), self.seed)

    @property
    def incumbent(self) -> Trial:
        return [trial for trial in self.trials if trial.kept][-1]

    @property
    def context(self) -> Context:
        """What the proposer sees now."""
        return Context(
            number=len(self.trials) + len(self.pending),
            source=self.sources[self.incumbent.number],
            baseline_source=self.baseline,
            incumbent=self.incumbent,
            trials=tuple(self.trials),
            space=self.space,
            budget_left="",
            pending=tuple(self.pending),
            sigma=self.sigma,
        )

    def start(self, proposer: CentaurCodeProposer | None = None) -> Trial:
        """Propose and start the next trial."""
        context = self.context
        proposal = (proposer or self.proposer).propose(context)
        n_seen = len(self.trials) if self.is_parallel else None
        trial = Trial(context.number, self.incumbent.number, proposal, "", n_seen=n_seen)
        self.pending.append(trial)
        self.sources[trial.number] = proposal.edit.apply(context.source)
        return trial

    def finish(self, number: int, **fields: Any) -> Trial:
        """Finish a trial; `fields` of its outcome replace those of its script."""
        trial = next(trial for trial in self.pending if trial.number == number)
        self.pending.remove(trial)
        if trial.proposal.refused is not None:
            outcome = Outcome(trial.proposal.refused, None, reason=trial.proposal.reason)
        else:
            loss = loss_of(self.sources[number])
            bar = self.incumbent.val_loss
            outcome = Outcome(Status.OK, loss, kept=bar is not None and loss < bar, train_seconds=1.0)
        self.trials.append(trial.finished(replace(outcome, **fields), ""))
        return self.trials[-1]

    def run(self, n_trials: int) -> None:
        """Run that many trials, one at a time."""
        for _ in range(n_trials):
            self.finish(self.start().number)


def loss_of(script: str) -> float:
    """Return what `loss` of a script returns."""
    names: dict[str, Any] = {}
    exec(script, names)
    return round(float(names["loss"]()), 9)
