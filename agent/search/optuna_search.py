"""Adapter for Optuna's samplers, TPE by default, as a Searcher."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agent.edits.edit import Params, Value
from agent.errors import MissingRequirementError, UsageError
from agent.search.constraints.feasible import MAX_DRAWS, FeasiblePoints
from agent.search.parameters import Categorical, Float, Int, Parameter, PowerOfTwo
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace

N_REHEARSED = 12  # trials; samplers draw up to ten at random before they import what they need


@dataclass(frozen=True)
class _SampledPoint:
    params: Params
    trial: Any  # Optuna's; None: the point was repaired, and is none of Optuna's


class OptunaSearcher:
    """An Optuna sampler with its own random generator. Its study is kept in memory and rebuilt from the journal.

    It first runs on a throw-away study, so that a missing package is reported before the baseline runs.
    """

    def __init__(self, space: SearchSpace, seed: int, sampler: str = "TPESampler", **settings: Any) -> None:
        """`sampler`: a class of optuna.samplers; `settings`: its keyword arguments.

        Raises:
            MissingRequirementError: optuna, or a library that the sampler needs, is not installed.
            UsageError: Optuna has no such sampler, or it cannot search this space. `ask` may raise both as well.
        """
        self._space = space
        self._feasible = FeasiblePoints(space)
        self._sampler = sampler
        with _errors_in_one_line(sampler):
            self._stored = _Stored(space)
            _rehearse(_study(self._stored, seed, sampler, settings), self._stored)
            self._study = _study(self._stored, seed, sampler, settings)
        self._pending: PendingPoints[_SampledPoint] = PendingPoints()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._sample).params

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        from optuna.trial import create_trial

        value = math.inf if loss is None else loss  # failures rank last
        sampled = self._pending.take(number)
        if sampled is not None and sampled.trial is not None and params == sampled.params:
            self._study.tell(sampled.trial, value)
            return
        if sampled is not None:
            self._forget(sampled)
        stored, distributions = self._stored.of(params), self._stored.distributions
        self._study.add_trial(create_trial(params=stored, distributions=distributions, value=value))

    def discard(self, number: int) -> None:
        sampled = self._pending.take(number)
        assert sampled is not None, "only a point that was asked for can be discarded"
        self._forget(sampled)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _forget(self, sampled: _SampledPoint) -> None:
        from optuna.trial import TrialState

        if sampled.trial is not None:
            self._study.tell(sampled.trial, state=TrialState.FAIL)  # samplers ignore it

    def _sample(self) -> _SampledPoint:
        """Return the sampler's next point. Those that break a constraint are forgotten, so they teach it nothing."""
        sampled = self._sample_once()
        for _ in range(MAX_DRAWS - 1):
            if self._space.meets_constraints(sampled.params):
                return sampled
            self._forget(sampled)
            sampled = self._sample_once()
        repaired = self._feasible.nearest(sampled.params)
        if repaired != sampled.params:
            self._forget(sampled)
            return _SampledPoint(repaired, None)
        return sampled

    def _sample_once(self) -> _SampledPoint:
        with _errors_in_one_line(self._sampler):
            trial = self._study.ask(self._stored.distributions)
        return _SampledPoint(self._stored.params(trial.params), trial)


class _Stored:
    """Points as Optuna stores them: values by name; for derived coordinates, the position on the axis."""

    def __init__(self, space: SearchSpace) -> None:
        from optuna.distributions import FloatDistribution

        self._names = space.names
        self._derived = {derived.parameter.name: derived for derived in space.derived}
        plain = [p for p in space.parameters if p.name not in self._derived]
        self._numeric = {p.name: p for p in plain if not isinstance(p, Categorical)}
        self.distributions: dict[str, Any] = {p.name: _distribution(p) for p in plain}
        self.distributions |= {name: FloatDistribution(0, 1) for name in self._derived}  # last: they need the others

    def of(self, params: Params) -> dict[str, Any]:
        """Return the stored form of `params`."""
        places = {name: derived.encode(params)[0] for name, derived in self._derived.items()}
        return {name: places.get(name, params[name]) for name in self.distributions}

    def params(self, stored: Mapping[str, Any]) -> Params:
        """Return the values of a complete stored point."""
        values, _ = self._read(stored)
        return {name: values[name] for name in self._names}

    def snapped(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stored form of the values that `sampled` will run as.

        A derived coordinate is omitted if any of its names is; Optuna samples it separately once it has them.
        """
        return self._read(sampled)[1]

    def _read(self, sampled: Mapping[str, Any]) -> tuple[Params, dict[str, Any]]:
        """Return the values of a full or partial sample, and their stored form."""
        values: dict[str, Value] = {}
        stored: dict[str, Any] = {}
        for name in self.distributions:
            if name not in sampled:
                continue
            if name not in self._derived:
                values[name] = self._numeric[name].nearest(sampled[name]) if name in self._numeric else sampled[name]
                stored[name] = values[name]
            elif all(factor in values for factor, _ in self._derived[name].exponents if factor != name):
                values[name] = self._derived[name].decode(sampled[name], values)
                stored[name] = self._derived[name].encode(values)[0]
        return values, stored


class _Snapped:
    """A sampler whose values are snapped before Optuna stores them, so that it remembers the point that runs."""

    def __init__(self, sampler: Any, stored: _Stored) -> None:
        self._sampler = sampler
        self._stored = stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)  # everything except sampling

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return self._stored.snapped(self._sampler.sample_relative(study, trial, search_space))

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        value = self._sampler.sample_independent(study, trial, name, distribution)
        return self._stored.snapped({**trial.params, name: value})[name]


def _study(stored: _Stored, seed: int, name: str, settings: dict[str, Any]) -> Any:
    """Return an in-memory study with the sampler `name`. Raises UsageError if it does not exist or does not fit."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would print every trial
    known = [each for each in optuna.samplers.__all__ if each.endswith("Sampler") and not each.startswith("Base")]
    if name not in known:
        raise UsageError(f"Optuna has no sampler {name!r}; choose one of {', '.join(sorted(known))}")
    try:
        sampler = getattr(optuna.samplers, name)(seed=seed, **settings)
    except TypeError as fault:  # a sampler that requires a grid or another sampler
        raise UsageError(f"{name} cannot search a space by itself: {fault}") from None
    study: Any = optuna.create_study(sampler=_Snapped(sampler, stored), direction="minimize")  # type: ignore[arg-type]
    study.stop = lambda: None  # an exhausted sampler calls it to end Optuna's loop, which does not exist here
    return study


def _rehearse(study: Any, stored: _Stored) -> None:
    """Ask and tell N_REHEARSED trials, one of them a failure."""
    for number in range(N_REHEARSED):
        study.tell(study.ask(stored.distributions), math.inf if number == 1 else float(number))


@contextmanager
def _errors_in_one_line(sampler: str) -> Iterator[None]:
    """Translate errors of Optuna's samplers into errors for users, and silence their warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about experimental classes and settings
        try:
            yield
        except ImportError as missing:
            cause = missing.__cause__  # Optuna's own ImportError has no name
            name = missing.name or (cause.name if isinstance(cause, ImportError) else None) or str(missing)
            package = name.partition(".")[0]
            raise MissingRequirementError(
                f"this search needs the package {package}: `pip install {package}`, then start or resume the run"
            ) from None
        except (ValueError, TypeError, RuntimeError) as fault:
            raise UsageError(f"{sampler} cannot search this space: {str(fault).splitlines()[0]}") from fault


def _distribution(parameter: Parameter) -> Any:
    """Return Optuna's distribution for a parameter.

    Powers of two are integers on a log scale, snapped when sampled: as exponents, with three to six levels, their range
    is too narrow for TPE's kernels, which then stay on the first good level (measured on benchmarks/autoresearch).
    """
    from optuna import distributions

    match parameter:
        case Float(low=low, high=high, log=log):
            return distributions.FloatDistribution(low, high, log=log)
        case Int(low=low, high=high, log=log) | PowerOfTwo(low=low, high=high, log=log):
            return distributions.IntDistribution(low, high, log=log)
        case Categorical(choices=choices):
            return distributions.CategoricalDistribution(choices)
