"""The modes by name: the one file that knows every concrete proposer and searcher.

It also says which options a mode uses, so that an option which would do nothing is refused.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agent.edits.edit import Params
from agent.edits.formats import FORMATS
from agent.edits.guard import Guard, imports_of
from agent.errors import TaskError, UsageError
from agent.execution.smoke_test import Rehearse
from agent.llm.model import Model
from agent.llm.prompt_templates import PromptSet
from agent.llm.recording import Transcript
from agent.modes.centaur import CentaurProposer, EchoProposer, Turns
from agent.modes.code_edit import CodeEditProposer, MendingProposer
from agent.modes.fixed import FixedProposer
from agent.modes.model_choice import ECHO, is_echo, is_embedded, needs_model
from agent.modes.numeric import NumericProposer
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import NoiseProposer, Proposer
from agent.search.cmaes import CMAESearcher, CMAState
from agent.search.local_gp import LocalGPSearcher
from agent.search.local_search import LocalSearcher
from agent.search.optuna_search import OptunaSearcher
from agent.search.random_search import RandomSearcher
from agent.search.searcher import HintedSearcher, Searcher
from agent.search.space import SearchSpace
from agent.store.paths import RunPaths
from agent.store.run_config import RunConfig
from agent.task.task import Task
from agent.text import read_tail

MODES = {
    "centaur": "CMA-ES, and on a share of the trials a language model that sees its state",
    "fixed": "a language model chooses every configuration of the hyperparameters",
    "code-edit": "a language model edits the script",
    "cma-es": "CMA-ES over the hyperparameters, started from the script's own values",
    "local": "climbs from the best point so far by small moves",
    "local-gp": "the same, and a Gaussian process chooses the next of many such moves",
    "tpe": "Optuna's TPE with its present defaults",
    "optuna:NAME": "any of Optuna's samplers, e.g. optuna:GPSampler",
    "random": "independent draws from the space",
}
OPTUNA = "optuna:"
NOISE = "noise"  # `agent noise`: the baseline under one training seed after another
SAVED_TO = "TRAIN_OUTPUT"  # the variable that tells a script where to save its model
_CONTROL = f"centaur:{ECHO}"
_ASKS = ("centaur", "fixed", "code-edit")  # a language model
_OF_A_MODEL = ("base_url", "price", "max_cost", "max_tokens", "context_tokens", "record")
_OF_EDITS = ("attempts", "lookahead", "smoke", "smoke_on", "edit_format")

_RULES: tuple[tuple[Collection[str], str, Callable[[str], bool]], ...] = (
    (("llm_share", "llm_warmup", "llm_every"), "is for centaur", lambda mode: mode in ("centaur", _CONTROL)),
    (_OF_EDITS, "is for code-edit", lambda mode: mode == "code-edit"),
    (("model",), "is for modes that ask a model", lambda mode: mode in (*_ASKS, _CONTROL)),
    (_OF_A_MODEL, "is for modes that ask a model", lambda mode: mode in _ASKS),
    (("hints",), "is for modes with a searcher", lambda mode: mode not in ("fixed", "code-edit", NOISE)),
    (("derived",), "is for modes that search a space", lambda mode: mode not in ("code-edit", NOISE)),
)
"""Options by field of RunConfig, what they are for, and the modes that use them; all modes use the others."""

Host = tuple[NumericProposer, Callable[[], CMAState]]
ModelFor = Callable[[int], Model]  # the model that writes trial n, with its transcript


def check_mode(mode: str) -> None:
    """Raise UsageError unless `mode` is one that can be run."""
    if mode not in MODES and mode != NOISE and not (mode.startswith(OPTUNA) and mode != "optuna:NAME"):
        raise UsageError(f"--mode {mode}: there is no such mode; there are {', '.join(MODES)}")


def build_proposer(
    config: RunConfig,
    task: Task,
    model: Model | None,
    paths: RunPaths,
    api_key: str | None,
    *,
    rehearse: Rehearse | None = None,
) -> Proposer:
    """Return the proposer of the run's mode. Raises TaskError if the task lacks what the mode needs.

    `rehearse` runs the smoke job of an edited script; only code-edit asks for it.
    """
    if config.hints and not task.hints:
        raise UsageError(f"--hints: {task.folder}/task.toml declares no [hints] for this profile")
    if config.mode == NOISE:
        return NoiseProposer()
    if is_echo(config):
        return _echo(config, task)
    if not needs_model(config):
        searcher = searcher_of(config.mode, _space(config, task), _start(config, task), config.seed)
        return _numeric(config, task, searcher)
    assert model is not None, "the other modes talk to a model"

    def model_for(number: int) -> Model:
        return Transcript(model, paths.trial(number).llm, secrets=[api_key] if api_key else [])

    if config.mode == "code-edit":
        form = config.edit_format or ("lines" if is_embedded(config, api_key) else "search-replace")
        return _code_edit(config, task, paths, model_for=model_for, edit_format=form, rehearse=rehearse)
    if config.mode == "fixed":
        return _fixed(config, task, model_for)
    return _centaur(config, task, model_for)


def searcher_of(mode: str, space: SearchSpace, start: Params, seed: int) -> Searcher:
    """Return the searcher of a numeric mode; `start` holds the script's own values.

    Raises:
        UsageError, MissingRequirementError: Optuna has no such sampler, or is not installed.
    """
    match mode:
        case "random":
            return RandomSearcher(space, seed)
        case "cma-es":
            return CMAESearcher(space, start, seed)
        case "local":
            return LocalSearcher(space, start, seed)
        case "local-gp":
            return LocalGPSearcher(space, start, seed)
    if mode == "tpe":
        return OptunaSearcher(space, seed)
    return OptunaSearcher(space, seed, mode.removeprefix(OPTUNA))


def _numeric(config: RunConfig, task: Task, searcher: Searcher) -> NumericProposer:
    """Return the proposer around a searcher, with a memory model and hints if the task declares them."""
    if config.hints:
        searcher = HintedSearcher(searcher, _start(config, task))
    return NumericProposer(searcher, task.memory_model())


def _code_edit(
    config: RunConfig, task: Task, paths: RunPaths, *, model_for: ModelFor, edit_format: str, rehearse: Rehearse | None
) -> Proposer:
    form = FORMATS[edit_format]
    required = ("load",) if task.score.kind == "held_out" else ()
    saves = (SAVED_TO,) if required and f'"{SAVED_TO}"' in task.source else ()
    model_edits = CodeEditProposer(
        model_for,
        PromptSet.load("code_edit", answer_format=form.name),
        _briefing(task),
        Guard(required, imports_of(task.source, task.frozen), saves, known=task.source),
        attempts=config.attempts,
        form=form,
        rehearse=rehearse,
        log_of=lambda number: read_tail(paths.trial(number).log) or read_tail(paths.trial(number).smoke.log),
    )
    return MendingProposer(model_edits)


def _fixed(config: RunConfig, task: Task, model_for: ModelFor) -> Proposer:
    _space(config, task)  # it needs one, derived coordinates or not
    return FixedProposer(model_for, PromptSet.load("fixed"), _briefing(task), task.memory_model)


def _centaur(config: RunConfig, task: Task, model_for: ModelFor) -> Proposer:
    host, state = host_of(config, task)
    prompts = PromptSet.load("centaur")
    return CentaurProposer(host, state, model_for, prompts, _briefing(task), turns=turns_of(config))


def _echo(config: RunConfig, task: Task) -> Proposer:
    return EchoProposer(host_of(config, task)[0], turns_of(config))


def host_of(config: RunConfig, task: Task) -> Host:
    """Return the CMA-ES of a hybrid, and how to read its state."""
    searcher = CMAESearcher(_space(config, task), _start(config, task), config.seed)
    return _numeric(config, task, searcher), searcher.state


def turns_of(config: RunConfig) -> Turns:
    """Return which trials of a hybrid are the model's."""
    return Turns(config.seed, config.llm_share, config.llm_warmup, config.llm_every)


def _start(config: RunConfig, task: Task) -> Params:
    """Return where a search starts: the script's own values, or with --hints those that the task hints at."""
    return {**task.defaults, **task.hints} if config.hints else task.defaults


def _briefing(task: Task) -> Briefing:
    """Return what a model is told of the task, from the configuration that enforces it."""
    limits = task.limits
    said = f"{task.budget.amount:g} {task.budget.unit} of training, {limits.memory_gb:g} GiB of memory, "
    said += f"{limits.wall_seconds:g} s by the clock, {limits.output_mb:g} MiB for the saved model"
    return Briefing(task.script, task.metric.name, task.metric.goal == "maximise", task.frozen, said)


def searched(config: RunConfig, task: Task) -> SearchSpace | None:
    """Return the space that the run searches, and that its proposals are held to; None if the task declares none."""
    return task.space if config.derived or task.space is None else task.space.plain()


def _space(config: RunConfig, task: Task) -> SearchSpace:
    space = searched(config, task)
    if space is None:
        raise TaskError(f"{task.folder}/task.toml: mode {config.mode} needs a [space] table with the names to search")
    return space


def refuse_unheeded(modes: Collection[str], given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that none of the modes uses.

    Args:
        modes: as a comparison names them, `centaur:echo` for the control.
        given: the options that somebody wrote, with their values.
    """
    who = f"mode {next(iter(modes))}" if len(modes) == 1 else f"each of the modes {', '.join(modes)}"
    for option, value in given.items():
        for options, is_for, heeds in _RULES:
            if option in options and not any(map(heeds, modes)):
                name = f"{'no-' if value is False else ''}{option.replace('_', '-')}"
                raise UsageError(f"--{name} {is_for}; {who} would ignore it: leave it out")
