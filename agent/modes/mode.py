"""A mode as one row: its name, its needs, and how its proposer is built from ModeInputs.

Nothing slow is imported here, since the help of the command line lists the modes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import TaskError

if TYPE_CHECKING:
    from agent.edits.edit import Params
    from agent.edits.guard import Guard
    from agent.execution.coding_agent.agent_job import Sandbox
    from agent.execution.smoke_test import Rehearse
    from agent.llm.model import Model
    from agent.modes.prompting.trial_digest import Briefing
    from agent.modes.proposer import Proposer
    from agent.search.space import SearchSpace
    from agent.store.paths import RunPaths
    from agent.store.run_config import RunConfig
    from agent.task.task import Task
    from agent.text import Say


SAVED_TO = "TRAIN_OUTPUT"  # the variable that tells a script where to save its model


@dataclass(frozen=True)
class AgentHost:
    """The sandbox and the environment for a run with a coding agent."""

    sandbox: "Sandbox"
    variables: Mapping[str, str]  # of the environment: PATH, and addresses and keys of models
    say: "Say" = lambda _line: None  # prints one line


@dataclass(frozen=True)
class ModeInputs:
    """The inputs that a proposer is built from."""

    config: "RunConfig"
    task: "Task"
    paths: "RunPaths"
    model: "Model | None" = None  # of the run; None if the mode needs none
    api_key: str | None = None  # never written to a transcript
    agent_host: AgentHost | None = None  # of a run with a coding agent
    rehearse: "Rehearse | None" = None  # runs the smoke job of an edited script; None: no edit is rehearsed

    def model_for(self, number: int) -> "Model":
        """Return the model that writes trial `number`, with its transcript in the trial's folder."""
        from agent.llm.recording import Transcript

        assert self.model is not None, "the row of this mode says that it needs a model"
        return Transcript(self.model, self.paths.trial(number).llm, secrets=[self.api_key] if self.api_key else [])


@dataclass(frozen=True)
class Mode:
    """One mode. Its attributes are all that the rest of the program needs to know about it."""

    name: str
    help: str  # one line for a list of modes
    build: "Callable[[ModeInputs], Proposer]"
    options: frozenset[str] = frozenset()  # fields of RunConfig that this mode uses and some other does not
    needs_model: bool = False
    searches: bool = True  # needs a search space
    is_control: bool = False  # of the mode before the ":" in its name
    has_host: bool = False  # a searcher that --host names proposes its points
    awaits_submissions: bool = False  # its proposals come from outside, and a run pauses if there is none
    extra: str | None = None  # the extra that it needs; see agent.extras
    measures_noise: bool = False  # the mode of `agent noise`: it searches nothing, and `agent run` does not offer it


def searched(config: "RunConfig", task: "Task") -> "SearchSpace | None":
    """Return the space that the run searches, and that limits its proposals; None if the task declares none."""
    return task.space if config.derived or task.space is None else task.space.plain()


def search_space(config: "RunConfig", task: "Task") -> "SearchSpace":
    """Return the space that the run searches.

    Raises:
        TaskError: the task declares none, or no point of it that meets its constraints can be found.
    """
    space = searched(config, task)
    if space is None:
        raise TaskError(f"{task.folder}/task.toml: mode {config.mode} needs a [space] table with the names to search")
    if space.constraints:
        from agent.search.constraints.feasible import FeasiblePoints

        try:
            FeasiblePoints(space).examples  # noqa: B018  # raises if there are none
        except ValueError as fault:
            raise TaskError(f"{task.folder}/task.toml: {fault}") from None
    return space


def search_start(config: "RunConfig", task: "Task") -> "Params":
    """Return the start of a search: the script's own values, or with --hints also those of the task's hints."""
    return {**task.defaults, **task.hints} if config.hints else task.defaults


def guard_of(task: "Task") -> "Guard":
    """Return the checks that every written script must pass, whoever wrote it."""
    from agent.edits.guard import Guard, imports_of

    required = task.score.row.script_functions
    saves = (SAVED_TO,) if required and f'"{SAVED_TO}"' in task.source else ()
    return Guard(required, imports_of(task.source, task.frozen), saves, known=task.source)


def briefing_of(task: "Task") -> "Briefing":
    """Return what a model reads about the task, taken from the configuration that is enforced."""
    from agent.modes.prompting.trial_digest import Briefing

    limits = task.limits
    text = f"{task.budget.amount:g} {task.budget.unit} of training, {limits.memory_gb:g} GiB of memory, "
    text += f"{limits.wall_seconds:g} s of wall time, {limits.output_mb:g} MiB for the saved model"
    return Briefing(
        task.script,
        task.metric.name,
        task.metric.goal == "maximise",
        task.frozen_entries,
        text,
        task.score.row.is_self_reported,
        limits.memory_gb,
    )
