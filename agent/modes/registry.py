"""The modes by name, one row each. All differences between modes are in their rows.

A mode is a file in this folder that has `build(inputs)`, and a row here. Searchers have their rows in `searchers`.
The module of a mode is imported when its proposer is built.
"""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.errors import UsageError
from agent.extras import require_extra
from agent.modes.mode import Mode, ModeInputs, search_space
from agent.modes.searchers import SEARCHERS, SearcherKind, find_searcher, host_named
from agent.text import no_such

if TYPE_CHECKING:
    from agent.execution.smoke_test import Rehearse
    from agent.llm.model import Model
    from agent.modes.mode import AgentHost
    from agent.modes.proposer import Proposer
    from agent.store.paths import RunPaths
    from agent.store.run_config import RunConfig
    from agent.task.task import Task


NOISE = "noise"
"""The mode of `agent noise`."""


def _of(module: str, function: str = "build") -> "Callable[[ModeInputs], Proposer]":
    """Return a function that imports a module of this folder when it is called, and builds the proposer with it."""

    def build(inputs: ModeInputs) -> "Proposer":
        built: Proposer = getattr(import_module(f"agent.modes.{module}"), function)(inputs)
        return built

    return build


def _noise(_inputs: ModeInputs) -> "Proposer":
    from agent.modes.proposer import NoiseProposer

    return NoiseProposer()


_TURNS = frozenset({"host", "llm_share", "llm_warmup", "llm_every"})
_MODEL = frozenset({"model", "base_url", "price", "max_cost", "max_tokens", "context_tokens", "record"})
_SEARCHER = frozenset({"hints", "derived"})
_OF_AGENTS = frozenset({"agent_login", "agent_seconds", "agent_calls"})
_EDITS = frozenset({"attempts", "smoke", "smoke_on", "edit_format", "agent"}) | _OF_AGENTS
_METERED = frozenset({"agent_calls", "max_cost", "max_tokens", "price", "record"})
_OF_CHAT_MODELS = frozenset({"attempts", "edit_format", "base_url", "context_tokens"})

_ROWS = (
    Mode(
        "centaur",
        "a searcher (--host); on a share of the trials, by its gains, a language model's point may run instead",
        _of("centaur.proposer"),
        options=_SEARCHER | _TURNS | _MODEL,
        needs_model=True,
        has_host=True,
    ),
    Mode(
        "centaur:echo",
        "the control of centaur: on a share of the trials, the incumbent runs again instead",
        _of("centaur.echo"),
        options=_SEARCHER | _TURNS,
        is_control=True,
        has_host=True,
    ),
    Mode(
        "fixed",
        "a language model chooses every configuration of the hyperparameters",
        _of("fixed"),
        options=_MODEL | {"derived"},
        needs_model=True,
    ),
    Mode(
        "code-edit",
        "a language model edits the script",
        _of("code_edit"),
        options=_MODEL | _EDITS,
        needs_model=True,
        searches=False,
    ),
    Mode(
        "centaur-code",
        "a language model edits the script; a searcher tunes the numbers that it writes",
        _of("centaur_code.proposer"),
        options=_MODEL | _EDITS | {"derived"},
        needs_model=True,
        searches=False,
    ),
    Mode(
        "submitted",
        "the changes come from outside, by `agent submit` or `agent mcp`",
        _of("submitted"),
        options=frozenset({"smoke", "smoke_on"}),
        searches=False,
        awaits_submissions=True,
    ),
    Mode(
        NOISE,
        "the baseline under one training seed after another",
        _noise,
        searches=False,
        measures_noise=True,
    ),
)
MODES = {row.name: row for row in _ROWS}
"""The modes that are more than a searcher. `find_mode` finds all modes."""


def find_mode(name: str) -> Mode | None:
    """Return the mode of that name; None if this version has none, as for a run that another version made."""
    row = find_searcher(name)
    return MODES.get(name) or (_searching(name, row) if row is not None else None)


def searcher_of(config: "RunConfig") -> SearcherKind | None:
    """Return the searcher that proposes the points of a run; None if its mode has none."""
    mode = find_mode(config.mode)
    return find_searcher(config.host if mode is not None and mode.has_host else config.mode)


def mode_named(name: str) -> Mode:
    """Return the mode of that name. Raises UsageError if there is none."""
    mode = find_mode(name)
    if mode is None:
        raise UsageError(f"--mode {name}: {no_such('mode', name, mode_names())}")
    return mode


def mode_names() -> list[str]:
    """Return the names of the modes for a search, including families such as optuna:NAME."""
    return [*(name for name, mode in MODES.items() if not mode.measures_noise), *SEARCHERS]


def proposing_modes() -> list[str]:
    """Return the names of the modes that propose by themselves, so that they can be compared."""
    return [name for name in mode_names() if name not in MODES or not MODES[name].awaits_submissions]


def searching_mode(name: str) -> Mode:
    """Return the mode of that name for a search.

    Raises:
        UsageError: there is none, or it searches nothing.
        MissingRequirementError: the extra that it needs is not installed.
    """
    mode = mode_named(name)
    if mode.measures_noise:
        raise UsageError(f"mode {name} searches nothing; use `agent noise`")
    if mode.extra is not None:
        require_extra(mode.extra, f"mode {name}")
    return mode


def build_proposer(
    config: "RunConfig",
    task: "Task",
    model: "Model | None",
    paths: "RunPaths",
    api_key: str | None,
    *,
    rehearse: "Rehearse | None" = None,
    agent_host: "AgentHost | None" = None,
) -> "Proposer":
    """Return the proposer of the run's mode.

    Args:
        model: of the run; None if the mode needs none.
        rehearse: runs the smoke job of an edited script; None: no job is run.
        agent_host: of a run with a coding agent.

    Raises:
        UsageError: there is no such mode, or --hints is given and the task has none.
        TaskError: the task lacks what the mode needs.
    """
    if config.hints and not task.hints:
        raise UsageError(f"--hints: {task.folder}/task.toml declares no [hints] for this profile")
    mode = mode_named(config.mode)
    if mode.extra is not None:
        require_extra(mode.extra, f"mode {mode.name}")
    if mode.searches:
        search_space(config, task)
    return mode.build(ModeInputs(config, task, paths, model, api_key, agent_host, rehearse))


def unused_options(mode: Mode) -> frozenset[str]:
    """Return the fields of RunConfig that some mode uses and this one does not."""
    return frozenset().union(*(other.options for other in _all_modes())) - mode.options


def refuse_unused_options(modes: Collection[str], given: Mapping[str, Any]) -> None:
    """Raise UsageError for an option that none of these modes uses, or for a --host that cannot be one.

    Args:
        modes: names of modes.
        given: the options on the command line, by field of RunConfig, with their values.
    """
    from agent.store.run_config import option_of

    who = f"mode {next(iter(modes))}" if len(modes) == 1 else f"each of the modes {', '.join(modes)}"
    unused = frozenset.intersection(*(unused_options(mode_named(mode)) for mode in modes))
    for name, value in given.items():
        if name in unused:
            if name == "agent":
                raise UsageError(f"--agent {value}: {who} asks no coding agent; add --mode code-edit or centaur-code")
            option = option_of(name) if value is not False else option_of(f"no_{name}")
            users = ", ".join(mode.name for mode in _all_modes() if name in mode.options)
            raise UsageError(f"{option} is for {users}; {who} would ignore it: leave it out")
    if "host" in given:
        host_named(given["host"])
    for name in given:
        if name in _OF_AGENTS and "agent" not in given:
            raise UsageError(f"{option_of(name)} is for a coding agent: add --agent NAME, or leave it out")
        if name in _METERED and "agent_login" in given:
            raise UsageError(
                f"{option_of(name)} is not possible with --agent-login, whose calls are not counted; leave one out"
            )
        if name in _OF_CHAT_MODELS and "agent" in given:
            where = (
                "set the variable of its provider, such as OPENAI_BASE_URL" if name == "base_url" else "leave it out"
            )
            raise UsageError(f"{option_of(name)} is for chat models; a coding agent would ignore it: {where}")


def _all_modes() -> list[Mode]:
    """Return all modes; one represents a family such as optuna:NAME."""
    return [*MODES.values(), *(_searching(name, row) for name, row in SEARCHERS.items())]


def _searching(name: str, row: SearcherKind) -> Mode:
    """Return the mode of a searcher."""
    build = _of("numeric", "build_searching")
    return Mode(name, row.help, build, options=_SEARCHER, extra=row.extra)
