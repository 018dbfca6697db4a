"""Which language model a run talks to."""

from collections.abc import Callable
from pathlib import Path

from agent.errors import UsageError
from agent.llm import local_model
from agent.llm.model import Model
from agent.llm.openai_model import OpenAIModel, Patience, describe_endpoint
from agent.llm.prices import Price
from agent.llm.recording import WINDOW, RecordedModel
from agent.modes.registry import find_mode
from agent.store.run_config import RunConfig
from agent.text import Say

RECORDING = "replay:"  # --model replay:FILE


def needs_model(config: RunConfig) -> bool:
    """Return whether the run's mode talks to a language model; False for a mode of another version."""
    mode = find_mode(config.mode)
    return mode is not None and mode.needs_model


def model_name(config: RunConfig) -> str | None:
    """Return the name under which commits know the run's model, without opening it; None if it asks none."""
    if not needs_model(config):
        return None
    if config.model is None:
        return local_model.NAME
    is_recording = config.model.startswith(RECORDING)
    return f"{RECORDING}{Path(config.model).name}" if is_recording else config.model


def is_embedded(config: RunConfig, api_key: str | None) -> bool:
    """Return whether the run uses the model that comes with the package."""
    return config.model is None and config.base_url is None and api_key is None


def context_tokens_of(config: RunConfig, api_key: str | None) -> int:
    """Return the window of the run's model, without opening it."""
    if is_embedded(config, api_key):
        return local_model.CONTEXT_TOKENS
    if config.model is not None and config.model.startswith(RECORDING):
        return WINDOW
    return config.context_tokens


def build_model(
    config: RunConfig,
    api_key: str | None,
    n_replies_used: int,
    *,
    say: Say,
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
    control = find_mode(f"{config.mode}:{config.model}")
    if control is not None:
        raise UsageError(
            f"--model {config.model}: that is a mode of its own; give --mode {control.name} and no --model"
        )
    if config.model is not None and config.model.startswith(RECORDING):
        return RecordedModel(Path(config.model.removeprefix(RECORDING)), n_replies_used)
    if config.base_url is None and api_key is None:
        if config.model is not None:
            raise UsageError(
                f"--model {config.model}: no endpoint is known for it; set OPENAI_API_KEY, or --base-url of a server"
            )
        say(
            "model: the embedded SmolLM2-135M. It shows that everything works; it has no skill at tuning and mostly\n"
            "  copies what it is shown. For a real one set OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL."
        )
        return local_model.LocalModel()
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
