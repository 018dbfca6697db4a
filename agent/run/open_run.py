"""A run that this process may write to, with everything it is made of."""

from dataclasses import dataclass, field
from typing import Protocol

from agent.execution.early_stopping import Pruner, StoppingRule
from agent.execution.executor import Executor
from agent.execution.host import Clock
from agent.execution.slices.source import SliceSource
from agent.modes.proposer import Proposer
from agent.modes.told import followed
from agent.search.space import SearchSpace
from agent.store.git_repo import TrialRepo
from agent.store.journal import Journal
from agent.store.paths import RunPaths
from agent.task.task import Task
from agent.text import counted
from agent.trials.budget import Budget
from agent.trials.confirmations import SliceUse
from agent.trials.events import AttemptVoided
from agent.trials.history import History
from agent.trials.keep_rule import KeepRule
from agent.trials.machine_speed import Void
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial


class Observer(Protocol):
    """Is told what happens, in the order in which it happens; the screen is one."""

    def proposing(self, number: int) -> None: ...
    def started(self, trial: Trial) -> None: ...
    def scoring(self, trial: Trial) -> None: ...
    def finished(self, trial: Trial, previous: Trial | None) -> None: ...
    def repeating(self, repeat: Repeat) -> None: ...
    def repeated(self, repeat: Repeat, trial: Trial) -> None: ...
    def voided(self, void: Void, trial: int) -> None: ...
    def slice_opened(self, use: SliceUse) -> None: ...
    def slice_scored(self, use: SliceUse) -> None: ...


@dataclass
class OpenRun:
    """A run that this process may write to, with everything it is made of."""

    run_id: str
    mode: str
    model_name: str | None
    space: SearchSpace | None  # what is searched: the task's, or every name by itself
    paths: RunPaths
    journal: Journal
    history: History
    repo: TrialRepo
    proposer: Proposer
    executor: Executor
    budget: Budget
    observer: Observer
    rule: KeepRule = field(default_factory=lambda: KeepRule("any"))
    rounded: bool = False  # the losses that the proposer is told; see agent.modes.told
    pruner: Pruner | None = None  # stops trials early; None: all run to their end
    final_runs: int = 0  # of the run's result under held-out seeds, at the end
    clock: Clock = field(default_factory=Clock)
    lookahead: int = 0  # 1: the next trial is thought of while one trains
    sources: dict[int, str] = field(default_factory=dict)  # script of every kept trial, by number

    def __post_init__(self) -> None:
        self.keeper, self.told = followed(self.rule, self.history.results, is_rounded=self.rounded)

    @property
    def task(self) -> Task:
        return self.executor.task

    @property
    def slices(self) -> SliceSource | None:
        """What gains are confirmed on; None: they are repeated."""
        return self.executor.slices

    @property
    def retired(self) -> tuple[str, ...]:
        """What earlier versions did for this run and nothing does any more, a sentence each."""
        machines = [result.outcome.machine for result in self.history.results if result.outcome is not None]
        n_corrected = sum(machine is not None and machine.raw_loss is not None for machine in machines)
        corrected = f"corrected for the machine's speed until now: {counted(n_corrected, 'loss', 'losses')} of this run"
        return (*self.task.retired, *([f"{corrected}; new ones are recorded as scored"] if n_corrected else []))

    def stopping(self, trial: Trial, source: str) -> StoppingRule | None:
        """Return what may stop a trial's training early; None where nothing is stopped early."""
        if self.pruner is None:
            return None
        champion, bar = self.keeper.result, None
        if champion is not None:
            bar = self.pruner.bar(trial.number, source, champion, self.sources[champion], self.keeper.sigma)
        return StoppingRule(self.pruner.form, bar)

    def record_void(self, void: Void) -> None:
        """Journal that an attempt at what is in flight does not count."""
        trial, repeat = self.history.pending, self.history.repeating
        if trial is not None:
            event = AttemptVoided(trial.number, None, void)
        else:
            assert repeat is not None, "an attempt is one at what is in flight"
            event = AttemptVoided(repeat.trial, repeat.seed, void)
        self.journal.append(event)
        self.history.add(event)
        self.observer.voided(void, event.trial)

    def update_refs(self) -> None:
        """Let branch and champion's tag point where the journal says, wherever they point now."""
        incumbent, champion = self.history.incumbent, self.history.champion
        assert incumbent is not None
        assert champion is not None
        self.repo.point(self.run_id, incumbent.number, champion.number)

    def source_of(self, trial: Trial) -> str:
        """Return the script of a trial: its edit applied to its parent's script."""
        if trial.parent is None:
            return self.task.source
        return trial.proposal.edit.apply(self.sources[trial.parent])
