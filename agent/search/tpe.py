"""TPE, and any other sampler of Optuna by name, behind ask and tell."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

from agent.edits.edit import Params
from agent.errors import MissingRequirementError, UsageError
from agent.search.parameters import Categorical, Float, Int, Parameter, PowerOfTwo
from agent.search.pending import Pending
from agent.search.space import SearchSpace

# Optuna 5 searches the names jointly and takes trials in flight for bad ones; the paper's Optuna 4.8 did neither.
AS_IN_THE_PAPER: dict[str, Any] = {"multivariate": False, "constant_liar": False}

_INSTALL = "this search needs the package {0}: `pip install {0}`, then start or resume the run"


@dataclass(frozen=True)
class _Asked:
    params: Params
    trial: Any  # Optuna's


class OptunaSearcher:
    """An Optuna sampler with a generator of its own. Its study lives in memory; the journal re-drives it."""

    def __init__(self, space: SearchSpace, seed: int, sampler: str = "TPESampler", **settings: Any) -> None:
        """`sampler`: a class of optuna.samplers; `settings`: its keyword arguments.

        Raises:
            MissingRequirementError: optuna, or a library that the sampler needs, is not installed. So may `ask`.
            UsageError: Optuna has no such sampler, or it needs more than a seed.
        """
        self._space = space
        self._study = _study(space, seed, sampler, settings)
        self._distributions = {p.name: _distribution(p) for p in space.parameters}
        self._pending: Pending[_Asked] = Pending()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._sample).params

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        from optuna.trial import create_trial

        value = math.inf if loss is None else loss  # a failure ranks last
        asked = self._pending.told(number)
        if asked is not None and params == asked.params:
            self._study.tell(asked.trial, value)
            return
        if asked is not None:
            self._forget(asked)
        self._study.add_trial(create_trial(params=dict(params), distributions=self._distributions, value=value))

    def discard(self, number: int) -> None:
        asked = self._pending.told(number)
        assert asked is not None, "only a point that was asked for can be discarded"
        self._forget(asked)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _forget(self, asked: _Asked) -> None:
        from optuna.trial import TrialState

        self._study.tell(asked.trial, state=TrialState.FAIL)  # samplers overlook it

    def _sample(self) -> _Asked:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental settings
            try:
                trial = self._study.ask(self._distributions)
            except ImportError as missing:  # some samplers find out late what they need
                raise MissingRequirementError(_INSTALL.format(missing.name)) from None
        return _Asked({name: trial.params[name] for name in self._space.names}, trial)


class _Snapped:
    """A sampler whose values are snapped before Optuna stores them: what it remembers is what runs."""

    def __init__(self, sampler: Any, space: SearchSpace) -> None:
        self._sampler = sampler
        self._numeric = {p.name: p for p in space.parameters if not isinstance(p, Categorical)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)  # all that is not about sampling

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        sampled = self._sampler.sample_relative(study, trial, search_space)
        return {name: self._snapped(name, value) for name, value in sampled.items()}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        return self._snapped(name, self._sampler.sample_independent(study, trial, name, distribution))

    def _snapped(self, name: str, value: Any) -> Any:
        return self._numeric[name].nearest(value) if name in self._numeric else value


def _study(space: SearchSpace, seed: int, name: str, settings: dict[str, Any]) -> Any:
    """Return a study in memory with the sampler called `name`."""
    try:
        import optuna
    except ImportError as missing:
        raise MissingRequirementError(_INSTALL.format(missing.name)) from None

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would print every trial
    known = [each for each in optuna.samplers.__all__ if each.endswith("Sampler") and not each.startswith("Base")]
    if name not in known:
        raise UsageError(f"Optuna has no sampler {name!r}; it has {', '.join(sorted(known))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental classes
            sampler = getattr(optuna.samplers, name)(seed=seed, **settings)
    except ImportError as missing:
        raise MissingRequirementError(_INSTALL.format(missing.name)) from None
    except TypeError as fault:  # a sampler that wants a grid or another sampler
        raise UsageError(f"{name} cannot search a space by itself: {fault}") from None
    return optuna.create_study(sampler=_Snapped(sampler, space), direction="minimize")  # type: ignore[arg-type]


def _distribution(parameter: Parameter) -> Any:
    """Return Optuna's word for a parameter.

    Powers of two are whole numbers on a log scale, snapped when sampled: as exponents, with three to six levels, they
    are too narrow for TPE's kernels, which then stay on the first good one (measured on benchmarks/autoresearch).
    """
    from optuna import distributions

    match parameter:
        case Float(low=low, high=high, log=log):
            return distributions.FloatDistribution(low, high, log=log)
        case Int(low=low, high=high, log=log) | PowerOfTwo(low=low, high=high, log=log):
            return distributions.IntDistribution(low, high, log=log)
        case Categorical(choices=choices):
            return distributions.CategoricalDistribution(choices)
