"""The runs of `agent init --try`: each in the sandbox of a trial, all together within a stated time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.analysis.try_script.lengths import Length
from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.execution.executor import ExecutionSettings, Executor
from agent.execution.host import Host
from agent.execution.observing.observed_run import ObservedRun, observed_run
from agent.task.init.metric.direction import Goal
from agent.task.init.metric.printed_metric import Ask
from agent.task.init.shortening import Training
from agent.task.task import Task
from agent.text import Say


@dataclass(frozen=True)
class TryOptions:
    """Where the script is tried, and for how long."""

    host: Host
    sandbox: str  # its kind
    seconds: float  # of all runs together
    gpus: tuple[str, ...] = ()
    accept_unenforced: frozenset[str] = frozenset()
    goal: Goal | None = None  # of a metric that only the log shows; None: its name says it
    ask_goal: Ask | None = None  # asks the user for it; None: nobody can answer


@dataclass
class Tries:
    """Runs a script and counts the time."""

    options: TryOptions
    folder: Path  # empty, for files and logs
    clock: Callable[[], float] = time.monotonic
    n_runs: int = 0
    _began: float = field(default=0.0, init=False)
    _executor: Executor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.options.seconds - (self.clock() - self._began)

    @property
    def say(self) -> Say:
        return self.options.host.say

    @contextmanager
    def opened(self, task: Task) -> Iterator[None]:
        """Open the sandbox for the runs of a task. Raises as `Executor.open` does."""
        settings = ExecutionSettings(
            self.options.sandbox, self.folder / "compiled.tar", self.options.accept_unenforced, self.options.gpus
        )
        with Executor.open(task, settings, self.options.host) as executor:
            self._executor = executor
            try:
                yield
            finally:
                self._executor = None

    def run(self, length: Length, *, seed: int = 0, values: Params | None = None) -> ObservedRun:
        """Run a training, with other values of its constants if they are given.

        Raises:
            SandboxError: the sandbox failed, not the script.
        """
        assert self._executor is not None, "call it within `opened`"
        training = length.training
        if values:
            source = Assignments(values).apply(training.files[training.script].decode())
            training = Training({**training.files, training.script: source.encode()}, training.script, training.command)
        self.n_runs += 1
        root = self.folder / f"{self.n_runs:03d}"
        return observed_run(
            self._executor,
            training,
            root,
            label=f"init/{self.n_runs:04d}",
            seed=seed,
            seconds=max(1.0, self.left),
            budget=length.budget,
        )
