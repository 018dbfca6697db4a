"""The composition root: the one file that knows every concrete proposer, searcher and model by name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import RunConfig
from agent.edits.edit import Params
from agent.errors import TaskError, UsageError
from agent.judge import read_tail
from agent.llm.capped import Caps
from agent.llm.model import Model
from agent.llm.recorded import RecordedModel, Transcript
from agent.paths import RunPaths
from agent.prompts import PromptSet
from agent.propose.briefing import Briefing
from agent.propose.proposer import Proposer
from agent.propose.rehearsal import Rehearse
from agent.propose.turns import Turns
from agent.search.searcher import Searcher
from agent.search.space import SearchSpace
from agent.task import Task

if TYPE_CHECKING:
    from agent.propose.numeric import NumericProposer
    from agent.search.cmaes import CMAState

Host = tuple["NumericProposer", Callable[[], "CMAState"]]
ModelFor = Callable[[int], Model]  # the model that writes trial n, with its transcript

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
RECORDING = "replay:"  # --model replay:FILE
ECHO = "echo"  # --model echo: no model, the incumbent handed back


def check_mode(mode: str) -> None:
    """Raise UsageError unless `mode` is one that can be run."""
    if mode not in MODES and mode != NOISE and not (mode.startswith(OPTUNA) and mode != "optuna:NAME"):
        raise UsageError(f"--mode {mode}: there is no such mode; there are {', '.join(MODES)}")


def needs_model(config: RunConfig) -> bool:
    """Return whether the mode talks to a language model."""
    return config.mode in ("centaur", "fixed", "code-edit") and not is_echo(config)


def is_echo(config: RunConfig) -> bool:
    """Return whether the incumbent is handed back in place of a model's answers: the control of a hybrid."""
    return config.mode == "centaur" and config.model == ECHO


def model_name(config: RunConfig) -> str | None:
    """Return the name under which commits know the run's model, without opening it; None if it asks none."""
    if is_echo(config):
        return ECHO
    if not needs_model(config):
        return None
    if config.model is None:
        from agent.llm.local_model import NAME

        return NAME
    is_recording = config.model.startswith(RECORDING)
    return f"{RECORDING}{Path(config.model).name}" if is_recording else config.model


def name_of(mode: str, model: str | None) -> str:
    """Return the mode as comparisons name it: the control of centaur is told apart from centaur."""
    return f"{mode}:{ECHO}" if (mode, model) == ("centaur", ECHO) else mode


def caps_of(config: RunConfig) -> Caps:
    """Return the run's caps on model calls."""
    return Caps(config.max_tokens, config.max_cost)


def is_embedded(config: RunConfig, api_key: str | None) -> bool:
    """Return whether the run uses the model that comes with the package."""
    return config.model is None and config.base_url is None and api_key is None


def context_tokens_of(config: RunConfig, api_key: str | None) -> int:
    """Return the window of the run's model, without opening it."""
    if is_embedded(config, api_key):
        from agent.llm.local_model import CONTEXT_TOKENS

        return CONTEXT_TOKENS
    if config.model is not None and config.model.startswith(RECORDING):
        from agent.llm.recorded import WINDOW

        return WINDOW
    return config.context_tokens


def build_model(
    config: RunConfig,
    api_key: str | None,
    n_replies_used: int,
    *,
    say: Callable[[str], None],
    count_tokens: Callable[[int], None],
) -> Model:
    """Return the model that the run asked for; the embedded one if it asked for none.

    An endpoint is asked a small question first: a wrong key or name is known before anything is written.

    Args:
        n_replies_used: how many replies the journal already holds; a recording goes on after them.
        count_tokens: told how much of a reply has come in.

    Raises:
        UsageError, MissingRequirementError, ModelError: there is no such model here; the message says what to do.
    """
    if config.model == ECHO:
        raise UsageError(f"--model {ECHO} is the control of --mode centaur; {config.mode} needs a model that answers")
    if config.model is not None and config.model.startswith(RECORDING):
        return RecordedModel(Path(config.model.removeprefix(RECORDING)), n_replies_used)
    if config.base_url is None and api_key is None:
        from agent.llm.local_model import LocalModel

        if config.model is not None:
            raise UsageError(
                f"--model {config.model}: no endpoint is known for it; set OPENAI_API_KEY, or --base-url of a server"
            )
        say(
            "model: the embedded SmolLM2-135M. It shows that everything works; it has no skill at tuning and mostly\n"
            "  copies what it is shown. For a real one set OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL."
        )
        return LocalModel()
    from agent.llm.openai_model import OpenAIModel, Patience, Price, describe_endpoint

    if config.model is None:
        raise UsageError("name the endpoint's model with --model or OPENAI_MODEL")
    remote = describe_endpoint(config.base_url)
    if remote is not None:
        say(f"model: {config.model} at {remote}; the script's source and the results of trials are sent there")
    if config.max_cost is not None and config.price is None:
        raise UsageError(f"--max-cost needs the price of {config.model}: give --price IN,OUT in dollars per million")
    if config.price is not None:
        prompt, reply = config.price
        say(f"price: ${prompt:g} a million tokens of prompts, ${reply:g} of replies ({config.price_source})")
    model = OpenAIModel(
        config.model,
        base_url=config.base_url,
        api_key=api_key,
        context_tokens=config.context_tokens,
        price=Price(*config.price) if config.price else None,
        patience=Patience(report=say),
        on_tokens=count_tokens,
    )
    if not model.probe():
        say(f"model: {config.model} does not keep to a JSON schema; its answers are checked all the same")
    return model


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
        from agent.propose.noise import NoiseProposer

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
            from agent.search.random_search import RandomSearcher

            return RandomSearcher(space, seed)
        case "cma-es":
            from agent.search.cmaes import CMAESearcher

            return CMAESearcher(space, start, seed)
        case "local":
            from agent.search.local import LocalSearcher

            return LocalSearcher(space, start, seed)
        case "local-gp":
            from agent.search.local_gp import LocalGPSearcher

            return LocalGPSearcher(space, start, seed)
    from agent.search.tpe import OptunaSearcher

    if mode == "tpe":
        return OptunaSearcher(space, seed)
    return OptunaSearcher(space, seed, mode.removeprefix(OPTUNA))


def _numeric(config: RunConfig, task: Task, searcher: Searcher) -> "NumericProposer":
    """Return the proposer around a searcher, with a memory model and hints if the task declares them."""
    from agent.propose.numeric import NumericProposer
    from agent.search.hinted import HintedSearcher

    if config.hints:
        searcher = HintedSearcher(searcher, _start(config, task))
    return NumericProposer(searcher, task.memory_model())


def _code_edit(
    config: RunConfig, task: Task, paths: RunPaths, *, model_for: ModelFor, edit_format: str, rehearse: Rehearse | None
) -> Proposer:
    from agent.edits.formats import FORMATS
    from agent.edits.guard import Guard, imports_of
    from agent.propose.code_edit import CodeEditProposer
    from agent.propose.mend import MendingProposer

    form = FORMATS[edit_format]
    required = ("load",) if task.score.kind == "held_out" else ()
    saves = (SAVED_TO,) if required and f'"{SAVED_TO}"' in task.source else ()
    model_edits = CodeEditProposer(
        model_for,
        PromptSet.load("code_edit", answer_format=form.name),
        _briefing(task),
        Guard(required, imports_of(task.source, task.frozen), saves),
        attempts=config.attempts,
        form=form,
        rehearse=rehearse,
        log_of=lambda number: read_tail(paths.trial(number).log) or read_tail(paths.trial(number).smoke.log),
    )
    return MendingProposer(model_edits)


def _fixed(config: RunConfig, task: Task, model_for: ModelFor) -> Proposer:
    from agent.propose.fixed import FixedProposer

    _space(config, task)  # it needs one, derived coordinates or not
    return FixedProposer(model_for, PromptSet.load("fixed"), _briefing(task), task.memory_model)


def _centaur(config: RunConfig, task: Task, model_for: ModelFor) -> Proposer:
    from agent.propose.centaur import CentaurProposer

    host, state = host_of(config, task)
    prompts = PromptSet.load("centaur")
    return CentaurProposer(host, state, model_for, prompts, _briefing(task), turns=turns_of(config))


def _echo(config: RunConfig, task: Task) -> Proposer:
    from agent.propose.echo import EchoProposer

    return EchoProposer(host_of(config, task)[0], turns_of(config))


def host_of(config: RunConfig, task: Task) -> Host:
    """Return the CMA-ES of a hybrid, and how to read its state."""
    from agent.search.cmaes import CMAESearcher

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
