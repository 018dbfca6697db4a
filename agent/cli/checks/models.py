"""Checks of what a mode needs besides the machine: its language model, and its optional packages."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.cli.checks.machine import DoctorFinding, Verdict
from agent.errors import AgentError, UsageError
from agent.extras import install_line, missing_modules
from agent.llm.local_model import LocalModel, is_installed
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from agent.modes.mode import Mode
from agent.modes.model_choice import WITHOUT_MODEL


@dataclass(frozen=True)
class Endpoint:
    """The model endpoint that the environment and the user's settings name."""

    base_url: str | None
    model: str | None
    api_key: str | None
    variables: Mapping[str, str]  # of the environment

    @property
    def is_set(self) -> bool:
        """Whether the user has named one."""
        return self.base_url is not None or self.api_key is not None


def examine_mode(mode: Mode | None, endpoint: Endpoint) -> list[DoctorFinding]:
    """Return the findings about what a mode needs; `mode` None: no mode is chosen, and only a model is looked for."""
    extra = [_extra(mode.name, mode.extra)] if mode is not None and mode.extra is not None else []
    return [*extra, model_finding(endpoint, mode)]


def model_finding(endpoint: Endpoint, mode: Mode | None) -> DoctorFinding:
    """Return whether a language model answers: the endpoint's or, if none is set, the embedded one.

    A model that does not answer is missing if `mode` needs one, or if the user has set an endpoint and no mode is
    chosen. Otherwise it is a note, since a search without a model works.
    """
    is_needed = mode.needs_model if mode is not None else endpoint.is_set
    fault: Verdict = "missing" if is_needed else "note"
    without = f"`agent run --mode {WITHOUT_MODEL}` needs none"
    if mode is not None and not mode.needs_model:
        without = f"mode {mode.name} needs none"
    try:
        if endpoint.is_set:
            return _answer(endpoint)
        if not is_installed():
            detail = "none: no endpoint is set, and no embedded model is installed"
            return DoctorFinding("model", fault, detail, f"{without}; for one, set OPENAI_BASE_URL and OPENAI_MODEL")
        LocalModel().close()
    except AgentError as error:
        return DoctorFinding("model", fault, str(error), without)
    better = "to use another model, set OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL"
    return DoctorFinding("model", "ok", "the embedded SmolLM2-135M, which has no tuning skill", better)


def _answer(endpoint: Endpoint) -> DoctorFinding:
    """Return how an endpoint's model answers. Raises AgentError if it does not."""
    if endpoint.model is None:
        raise UsageError("an endpoint is set, but no model: export OPENAI_MODEL=NAME")
    model = OpenAIModel(
        endpoint.model,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        variables=endpoint.variables,
        patience=RetryPolicy(retry_seconds=5, reply_seconds=60),
    )
    try:
        obeys = model.probe()
    finally:
        model.close()
    schemas = "obeys JSON schemas" if obeys else "ignores JSON schemas; replies are validated anyway"
    return DoctorFinding("model", "ok", f"{endpoint.model} answers and {schemas}")


def _extra(mode: str, extra: str) -> DoctorFinding:
    """Return whether the optional packages of a mode are installed."""
    missing = missing_modules(extra)
    if missing:
        return DoctorFinding("mode", "missing", f"{mode} needs {', '.join(missing)}", install_line(extra))
    return DoctorFinding("mode", "ok", f"{mode}: its packages are installed")
