"""A run on a simulated machine whose losses and durations a test gives."""

from collections.abc import Callable, Mapping

from agent.edits.assignments import Assignments
from agent.errors import ModelError
from agent.execution.scoring.printed import PrintedScorer
from agent.execution.slots import Slot
from agent.modes.proposer import Context, Proposer
from agent.run.ending import EndReason
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.task.task import Task
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import Origin, Proposal
from tests.agent.run.simulated import Given, SimulatedSandbox, SimulatedWorkers, Simulation

OpenRunWith = Callable[..., Run]


class Values:
    """Proposes another value for each trial, at once."""

    def __init__(self, fails_at: int | None = None) -> None:
        self._fails_at = fails_at

    def propose(self, context: Context) -> Proposal:
        if context.number == self._fails_at:
            raise ModelError("the endpoint is gone")
        return Proposal(Origin.LLM, "another value", Assignments({"SMOOTHING": 20.0 + context.number}))


class Machine:
    """A run on a simulated machine, and the parts of it that a test looks at."""

    def __init__(
        self,
        open_run: OpenRunWith,
        task: Task,
        jobs: Mapping[str, Given],
        n_slots: int,
        proposer: Proposer | None = None,
        **more: object,
    ) -> None:
        """`jobs`: by the end of the label, "0001"; the baseline has a loss of 1.0, and all others take 5 s."""
        self.simulation = Simulation()
        named = {"0000": Given(10, 1.0), **jobs}
        given = {f"r/{name}/train": job for name, job in named.items()}
        self.box = SimulatedSandbox(self.simulation, 0, lost=0.0, crashed=0.0, given=given)
        more = {"scorer": PrintedScorer(task.metric), "rule": KeepRule("any"), **more}
        self.run = open_run(
            proposer or Values(),
            box=self.box.restricted,
            clock=self.simulation.clock,
            slots=tuple(map(Slot, range(n_slots))),
            **more,
        )
        self.workers = SimulatedWorkers(self.simulation)

    def go(self) -> str:
        """Run to the end; return the reason for it."""
        end = run_trials(self.run, self.workers)
        assert end.ending is EndReason.DONE
        return end.reason

    @property
    def labels(self) -> list[str]:
        """What ran, in the order of its end."""
        return [job.label.removeprefix("r/").removesuffix("/train") for job in self.box.ran]


MachineWith = Callable[..., Machine]
