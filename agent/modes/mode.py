"""A mode as one row: its name, what it needs, how its proposer is built. And what modes are built from.

Nothing slow is imported here: the command line lists the modes in its help.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import TaskError

if TYPE_CHECKING:
    from agent.edits.edit import Params
    from agent.execution.smoke_test import Rehearse
    from agent.llm.model import Model
    from agent.modes.prompting.trial_digest import Briefing
    from agent.modes.proposer import Proposer
    from agent.search.space import SearchSpace
    from agent.store.paths import RunPaths
    from agent.store.run_config import RunConfig
    from agent.task.task import Task


@dataclass(frozen=True)
class ModeInputs:
    """What a proposer is built from."""

    config: "RunConfig"
    task: "Task"
    paths: "RunPaths"
    model: "Model | None" = None  # of the run; None unless the mode needs one
    api_key: str | None = None  # never written to a transcript
    rehearse: "Rehearse | None" = None  # runs the smoke job of an edited script; None: no edit is rehearsed

    def model_for(self, number: int) -> "Model":
        """Return the model that writes trial `number`, with its transcript in the trial's folder."""
        from agent.llm.recording import Transcript

        assert self.model is not None, "the row of this mode says that it needs a model"
        return Transcript(self.model, self.paths.trial(number).llm, secrets=[self.api_key] if self.api_key else [])


@dataclass(frozen=True)
class Mode:
    """One mode. All that the rest of the program treats differently from mode to mode is an attribute here."""

    name: str
    help: str  # what it does, for a list of modes
    build: "Callable[[ModeInputs], Proposer]"
    options: frozenset[str] = frozenset()  # fields of RunConfig that it uses and some other mode does not
    needs_model: bool = False
    searches: bool = True  # needs a search space
    is_control: bool = False  # of the mode before the ":" in its name
    has_cma_state: bool = False  # its points come from `agent.modes.numeric.cma_host`
    measures_noise: bool = False  # the mode of `agent noise`: it changes nothing, and `agent run` does not offer it


def searched(config: "RunConfig", task: "Task") -> "SearchSpace | None":
    """Return the space that the run searches, and that its proposals are held to; None if the task declares none."""
    return task.space if config.derived or task.space is None else task.space.plain()


def search_space(config: "RunConfig", task: "Task") -> "SearchSpace":
    """Return the space that the run searches. Raises TaskError if the task declares none."""
    space = searched(config, task)
    if space is None:
        raise TaskError(f"{task.folder}/task.toml: mode {config.mode} needs a [space] table with the names to search")
    return space


def search_start(config: "RunConfig", task: "Task") -> "Params":
    """Return where a search starts: the script's own values, or with --hints those that the task hints at."""
    return {**task.defaults, **task.hints} if config.hints else task.defaults


def briefing_of(task: "Task") -> "Briefing":
    """Return what a model reads about the task, from the configuration that enforces it."""
    from agent.modes.prompting.trial_digest import Briefing

    limits = task.limits
    text = f"{task.budget.amount:g} {task.budget.unit} of training, {limits.memory_gb:g} GiB of memory, "
    text += f"{limits.wall_seconds:g} s by the clock, {limits.output_mb:g} MiB for the saved model"
    return Briefing(task.script, task.metric.name, task.metric.goal == "maximise", task.frozen, text)
