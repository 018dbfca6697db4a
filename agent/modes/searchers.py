"""The searchers by name, one row each: every searcher is a mode of that name.

A searcher is a file in agent/search and a row of SEARCHERS. Its module is imported when it is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import UsageError
from agent.extras import require_extra

if TYPE_CHECKING:
    from agent.edits.edit import Params
    from agent.search.searcher import Searcher
    from agent.search.space import SearchSpace

OPTUNA = "optuna:"


@dataclass(frozen=True)
class SearchInputs:
    """The inputs that a searcher is built from."""

    space: "SearchSpace"
    start: "Params"  # a point of the space: the script's own values, or those of the task's hints
    seed: int
    variant: str = ""  # the NAME of a name such as optuna:NAME


@dataclass(frozen=True)
class SearcherKind:
    """One searcher."""

    name: str  # with ":NAME" at its end: a family, whose member the user names
    help: str  # one line for a list of modes
    build: "Callable[[SearchInputs], Searcher]"
    has_cma_state: bool = False  # it builds a CMAESearcher
    host_title: str | None = (
        None  # it builds a HostSearcher, which prompts call by this name; None: it cannot be a host
    )
    extra: str | None = None  # the extra that it needs; see agent.extras


def _random(inputs: SearchInputs) -> "Searcher":
    from agent.search.random_search import RandomSearcher

    return RandomSearcher(inputs.space, inputs.seed)


def _cma_es(inputs: SearchInputs) -> "Searcher":
    from agent.search.cmaes import CMAESearcher

    return CMAESearcher(inputs.space, inputs.start, inputs.seed)


def _local(inputs: SearchInputs) -> "Searcher":
    from agent.search.local_search import LocalSearcher

    return LocalSearcher(inputs.space, inputs.start, inputs.seed)


def _local_gp(inputs: SearchInputs) -> "Searcher":
    from agent.search.local_gp import LocalGPSearcher

    return LocalGPSearcher(inputs.space, inputs.start, inputs.seed)


def _tpe(inputs: SearchInputs) -> "Searcher":
    from agent.search.optuna_search import OptunaSearcher

    return OptunaSearcher(inputs.space, inputs.seed)


def _optuna(inputs: SearchInputs) -> "Searcher":
    from agent.search.optuna_search import OptunaSearcher

    return OptunaSearcher(inputs.space, inputs.seed, inputs.variant)


_ROWS = (
    SearcherKind(
        "cma-es",
        "CMA-ES over the hyperparameters, started from the script's own values",
        _cma_es,
        has_cma_state=True,
        host_title="CMA-ES",
    ),
    SearcherKind("local", "local search: small moves from the best point so far", _local),
    SearcherKind(
        "local-gp",
        "local search; a Gaussian process chooses each move among many candidates",
        _local_gp,
        host_title="a local search whose moves a Gaussian process chooses",
    ),
    SearcherKind("tpe", "Optuna's TPE with its present defaults", _tpe, extra="optuna"),
    SearcherKind(f"{OPTUNA}NAME", "any of Optuna's samplers, e.g. optuna:GPSampler", _optuna, extra="optuna"),
    SearcherKind("random", "independent draws from the space", _random),
)
SEARCHERS = {row.name: row for row in _ROWS}


def find_searcher(name: str) -> SearcherKind | None:
    """Return the row of a searcher, or of its family; None if there is no such searcher."""
    family, colon, member = name.partition(":")
    if not colon:
        return SEARCHERS.get(name)
    return SEARCHERS.get(f"{family}:NAME") if member != "NAME" else None


def host_named(name: str) -> SearcherKind:
    """Return the row of a searcher that can be the host of a hybrid mode. Raises UsageError if there is none."""
    row = find_searcher(name)
    if row is None or row.host_title is None:
        raise UsageError(f"--host {name}: choose one of {', '.join(host_names())}, which can rate a model's points")
    return row


def host_names() -> list[str]:
    """Return the names of the searchers that can be hosts."""
    return [row.name for row in _ROWS if row.host_title is not None]


def build_searcher(name: str, space: "SearchSpace", start: "Params", seed: int) -> "Searcher":
    """Return the searcher of that name; `start` is a point of `space`.

    Raises:
        UsageError: there is no such searcher, or Optuna has no such sampler.
        MissingRequirementError: Optuna, or what the sampler needs, is not installed.
    """
    row = find_searcher(name)
    if row is None:
        raise UsageError(f"there is no searcher {name}; there are {', '.join(SEARCHERS)}")
    if row.extra is not None:
        require_extra(row.extra, f"searcher {name}")
    return row.build(SearchInputs(space, start, seed, variant=name.partition(":")[2]))
