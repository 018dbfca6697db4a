"""Backward elimination: removes the changes from the result one by one, each for good if its removal costs nothing.

A variant runs under the same training seeds as the script that it is compared with. The seed of the first runs is not
used, because it selected the trials. Held-out seeds compare the minimal script with the result at the end.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent.analysis.ablation_chain import AblationChange, ChangeChain, ChangeFinding, ChangeVerdict, Variant
from agent.edits.guard import fingerprint
from agent.edits.line_diff import n_changed_lines
from agent.errors import EditError, UsageError
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, MAX_FAILED_RUNS, KeepPolicy
from agent.trials.keeping.noise import LossEstimate, Noise

CLEAR = 2.0  # standard errors of a difference
CLEAR_AT_ONCE = 4.0  # standard errors that make further seeds unnecessary; higher, because every seed tests again


@dataclass
class Losses:
    """The losses of each script, and the noise of one run that follows from them.

    If seeds are paired, the noise of a run is half the variance of a difference under the same seed, since two runs
    contribute; an effect of the seed on all scripts alike is not noise. Otherwise it is the spread of runs of a script.
    """

    whole: str  # script of the run's result, with which the others are compared
    paired: bool
    noise: Noise  # starts with the run's own estimate
    known: dict[str, dict[int, float | None]] = field(default_factory=dict)  # script → seed → loss; None: it failed

    def __post_init__(self) -> None:
        for own in self.known.values():
            for n_before, loss in enumerate(losses := [loss for loss in own.values() if loss is not None]):
                self.noise.observe(loss, losses[:n_before])

    def error(self, n_seeds: int) -> float:
        """Return the standard error of a difference between two scripts that ran under `n_seeds` seeds each."""
        return self.noise.sigma * math.sqrt(2 / n_seeds)

    def of(self, script: str) -> Mapping[int, float | None]:
        return self.known.get(script, {})

    def observe(self, script: str, seed: int, loss: float | None) -> None:
        """Add one more loss."""
        if loss is not None:
            self.noise.observe(loss, [other for other in self.of(script).values() if other is not None])
        before = self._comparable(script)
        self.known.setdefault(script, {})[seed] = loss
        now = self._comparable(script)
        if seed in now and before:
            deviation = now[seed] - sum(before.values()) / len(before)
            self.noise.update(deviation**2 * len(before) / len(now) / (2 if self.paired else 1))

    def _comparable(self, script: str) -> dict[int, float]:
        """Return the numbers that show the noise: a script's losses or, if paired, their differences from the whole."""
        own = {seed: loss for seed, loss in self.of(script).items() if loss is not None}
        if not self.paired:
            return own
        whole = self.of(self.whole)
        pairs = {seed: (loss, whole.get(seed)) for seed, loss in own.items()} if script != self.whole else {}
        return {seed: loss - other for seed, (loss, other) in pairs.items() if other is not None}


@dataclass(frozen=True)
class Attribution:
    """Which changes carry the gain of a result; incomplete if the budget was spent."""

    chain: ChangeChain
    findings: tuple[ChangeFinding, ...]  # in the order of the chain
    minimal: Variant  # the result without the changes that carry nothing
    noise: Noise  # of one run, as estimated at the end
    whole_reading: LossEstimate | None = None  # of the result under held-out seeds
    minimal_reading: LossEstimate | None = None  # of the minimal script under the same seeds
    difference: float | None = None  # mean loss of the minimal script minus that of the result
    error: float | None = None  # its standard error
    stopped: str = ""  # why the ablation is incomplete; empty if it is complete

    @property
    def as_good(self) -> bool:
        """Whether the minimal script is not clearly worse than the result under held-out seeds."""
        return self.difference is not None and self.error is not None and self.difference <= CLEAR * self.error

    @property
    def offered(self) -> bool:
        """Whether there is a smaller script that is as good."""
        return self.as_good and 0 < self.n_lines < n_changed_lines(self.chain.baseline, self.chain.source)

    @property
    def n_lines(self) -> int:
        """Lines of the diff between baseline and minimal script."""
        return n_changed_lines(self.chain.baseline, self.minimal.source)


class BudgetExhaustedError(Exception):
    """The budget ends before a run; the message says which budget."""


class ScriptRunner(Protocol):
    """Runs a script, or looks up an earlier run of it."""

    def __call__(self, source: str, seed: int, *, about: str, reserved: int) -> float | None:
        """Return the loss of a script under a training seed; None if it has none. `about` describes the script.

        Raises:
            BudgetExhaustedError: it has not run, and the budget leaves no more than `reserved` runs.
        """
        ...


@dataclass
class Elimination:
    """One pass over the changes, the smallest recorded gain first."""

    chain: ChangeChain
    keeper: KeepPolicy  # of the run: gives its noise and, if seeds are paired, its repeats
    measure: ScriptRunner
    n_seeds: int
    decided: Callable[[ChangeFinding], None] = lambda _finding: None  # called with the finding about each change
    _losses: Losses = field(init=False)
    _findings: dict[str, ChangeFinding] = field(default_factory=dict)
    _about: dict[str, str] = field(default_factory=dict)  # script → its description
    _variant: Variant = field(init=False)  # the result without the changes removed so far
    _reference: str = field(init=False)  # an equivalent script that has run

    def __post_init__(self) -> None:
        self._variant = Variant(self.chain.source, frozenset())
        self._reference = self.chain.source
        self._about = {self.chain.source: f"trial {self.chain.result}"}
        known: dict[str, dict[int, float | None]] = {}
        if self.keeper.rule.paired:  # otherwise the machine may have been slower then
            known[self.chain.baseline] = {**self.keeper.losses(0)}
            known[self.chain.source] = {**self.keeper.losses(self.chain.result)}
        self._losses = Losses(self.chain.source, self.keeper.rule.paired, Noise(self.keeper.sigma), known)

    def result(self) -> Attribution:
        """Remove the changes one by one, compare the remaining script with the result, and return the findings.

        Raises:
            UsageError: the result itself has no loss under further seeds.
        """
        stopped = ""
        try:
            seeds = self._usable_seeds()
            waiting = sorted(self.chain.changes, key=lambda change: change.recorded_gain)
            while waiting:  # a change that cannot be removed now may be removable once others are gone
                before, waiting = waiting, [change for change in waiting if not self._tested(change, seeds)]
                if len(waiting) == len(before):
                    break
            for change in waiting:
                fault = self.chain.fault(self.chain.without(self._variant.without | {change.key}))
                self._decide(change, ChangeFinding(change, reason=f"without it, {fault}"))
        except BudgetExhaustedError as error:
            stopped = str(error)
        findings = tuple(self._findings.get(c.key, ChangeFinding(c)) for c in self.chain.changes)
        found = Attribution(self.chain, findings, self._variant, self._losses.noise, stopped=stopped)
        return self._compared(found) if self._variant.without else found

    def _usable_seeds(self) -> list[int]:
        """Return the seeds of the comparisons: the lowest ones above 0 under which the result has a loss."""
        seeds: list[int] = []
        for seed in range(1, self.n_seeds + MAX_FAILED_RUNS):
            if self._loss(self.chain.source, seed) is not None:
                seeds.append(seed)
            if len(seeds) == self.n_seeds:
                return seeds
        raise UsageError(
            f"trial {self.chain.result} has no loss under {MAX_FAILED_RUNS} further seeds: check its script first"
        )

    def _tested(self, change: AblationChange, seeds: Sequence[int]) -> bool:
        """Remove a change, for good if its removal costs nothing. Return False if the rest breaks a constraint."""
        if change.key in self._findings:
            return True
        variant = self.chain.without(self._variant.without | {change.key})
        if self.chain.fault(variant) is not None:
            return False
        along = self._in_order(variant.without - self._variant.without - {change.key})
        if _same_code(variant.source, self._variant.source):
            finding = ChangeFinding(change, ChangeVerdict.NULL, reason="the same code without it")
        else:
            self._about.setdefault(variant.source, f"without {', '.join(self._in_order(variant.without))}")
            finding = self._compare(change, variant.source, seeds)
        self._decide(change, replace(finding, along=along))
        if not finding.verdict.taken_out:
            return True
        self._variant = variant
        if finding.verdict is not ChangeVerdict.NULL:
            self._reference = variant.source
        for other in self.chain.changes:
            if other.key in along:
                self._findings[other.key] = ChangeFinding(other, finding.verdict, reason=f"removed with {change.key}")
        return True

    def _decide(self, change: AblationChange, finding: ChangeFinding) -> None:
        self._findings[change.key] = finding
        self.decided(finding)

    def _compare(self, change: AblationChange, source: str, seeds: Sequence[int]) -> ChangeFinding:
        """Return the finding about a change from a script without it."""
        effects: list[float] = []  # loss without the change minus that of the script before this removal
        losses: list[float] = []  # loss without the change minus that of the result: all removals so far count
        for seed in seeds:
            own = self._loss(source, seed)
            if own is None:
                return ChangeFinding(change, ChangeVerdict.CARRIES, reason=f"no loss without it under seed {seed}")
            left, whole = self._loss(self._reference, seed), self._loss(self.chain.source, seed)
            assert left is not None, "a variant stays only if it has a loss under all these seeds"
            assert whole is not None, "the result has a loss under these seeds"
            if self._losses.paired and not effects and own == left:
                return ChangeFinding(change, ChangeVerdict.NULL, 0.0, 0.0, (seed,), reason="exactly the same loss")
            effects.append(own - left)
            losses.append(own - whole)
            error = self._losses.error(len(effects))
            if max(_mean(effects), _mean(losses)) > CLEAR_AT_ONCE * error:
                break
        effect, lost, reason = _mean(effects), _mean(losses), ""
        verdict = ChangeVerdict.NO_EFFECT
        if effect > CLEAR * error:
            verdict = ChangeVerdict.CARRIES
        elif lost > CLEAR * error:
            verdict, reason = ChangeVerdict.CARRIES, f"with the earlier removals, {lost:+.2g} against the result"
        elif effect < -CLEAR * error:
            verdict = ChangeVerdict.HARMFUL
        return ChangeFinding(change, verdict, effect, error, tuple(seeds[: len(effects)]), reason=reason)

    def _compared(self, found: Attribution) -> Attribution:
        """Return the attribution with the means of result and minimal script under held-out seeds."""
        pairs: list[tuple[float, float]] = []
        try:
            for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + self.n_seeds):
                whole = self._loss(self.chain.source, seed, reserve=False)
                own = self._loss(self._variant.source, seed, reserve=False)
                if whole is None or own is None:
                    which = "the minimal script" if own is None else f"trial {self.chain.result}"
                    return replace(found, stopped=f"{which} has no loss under held-out seed {seed}")
                pairs.append((whole, own))
        except BudgetExhaustedError as error:
            return replace(found, stopped=str(error))
        noise, n = self._losses.noise, len(pairs)
        own_error = None if noise.is_unobservable else noise.sigma / math.sqrt(n)
        whole_reading, minimal_reading = (
            LossEstimate(_mean(losses), own_error, n, selected=False) for losses in zip(*pairs, strict=True)
        )
        return replace(
            found,
            whole_reading=whole_reading,
            minimal_reading=minimal_reading,
            difference=minimal_reading.mean - whole_reading.mean,
            error=self._losses.error(len(pairs)),
        )

    def _loss(self, source: str, seed: int, *, reserve: bool = True) -> float | None:
        """Return a script's loss under a seed, running it if necessary; `reserve` keeps budget for the last runs."""
        known = self._losses.of(source)
        if seed in known:
            return known[seed]
        reserved = self._n_last_runs() if reserve else 0
        loss = self.measure(source, seed, about=self._about.get(source, "the remaining script"), reserved=reserved)
        self._losses.observe(source, seed, loss)
        return loss

    def _n_last_runs(self) -> int:
        """Return how many runs the comparison under held-out seeds takes."""
        known = self._losses.of(self.chain.source)
        return sum(1 if seed in known else 2 for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + self.n_seeds))

    def _in_order(self, keys: frozenset[str]) -> tuple[str, ...]:
        return tuple(change.key for change in self.chain.changes if change.key in keys)


def _same_code(one: str, other: str) -> bool:
    """Return whether two scripts differ only in comments and layout."""
    try:
        return fingerprint(one) == fingerprint(other)
    except EditError:
        return False


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
