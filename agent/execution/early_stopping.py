"""Stopping trials that cannot come to anything: at once when they diverge, and at half of the budget.

A curve that lies behind the champion's at half of the budget may still come in front. So a trial is stopped only if
its gap is larger than any that a full curve of this run has made up for, with two sigma to spare; some of the
condemned run on, so that wrong kills are measured. docs/keep-rule.md has the rule in full.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.edits.line_diff import touched
from agent.task.curve_format import CurveFormat, compiled
from agent.task.spec import BudgetSpec
from agent.task.task import Task
from agent.trials.learning_curve import HALF, Condemned, Curve, Point, level
from agent.trials.repeat import Repeat
from agent.trials.trial import Status, Trial

FEWEST_CURVES = 8  # full ones, before a recovery can be called large or small
SIGMAS = 2.0
FAR = 3.0  # times its start: a loss above that has diverged
ONE_IN = 20  # of the condemned runs on
_LINE_BYTES = 1000  # longer lines tell no point: a script must not keep us busy with one


@dataclass(frozen=True)
class Stop:
    """Why a job was ended."""

    status: Status  # diverged or pruned
    reason: str
    share: float  # of the budget, at the point that decided

    def charge_seconds(self, budget: BudgetSpec, wall_seconds: float) -> float:
        """Return the training seconds to charge: what any failure takes, but for the share of a counted budget."""
        nominal = budget.charge_seconds if self.status is Status.PRUNED and budget.deterministic else None
        return wall_seconds if nominal is None else nominal * self.share


@dataclass(frozen=True)
class Bar:
    """What a trial is held against at half of its budget."""

    champion: int
    half: float  # its level there
    recovery: float  # the largest that a full curve has made up for between there and the end, to the champion
    n_curves: int
    sigma: float  # noise of a run, in the curve's units
    error: float  # standard error of the champion's level
    runs_on: bool  # whether this trial, condemned, is to show what it comes to

    def condemned(self, half: float, error: float) -> Condemned | None:
        """Return why a trial with this level, known to a standard error, is to be stopped; None if it is not."""
        gap = half - self.half
        limit = self.recovery + SIGMAS * math.hypot(self.sigma, self.error, error)
        return Condemned(half, gap, limit) if gap > limit else None


class Watch:
    """Follows the log of one job while it grows. Each time it is called it says whether the job is to be stopped.

    It decides by the printed points alone, in their order: asked late, or only when the job has ended, it decides
    the same. Of what is printed after the deciding point it knows nothing.
    """

    def __init__(
        self, form: CurveFormat, log: Path, n_bytes: int, bar: Bar | None = None, *, diverges: bool = True
    ) -> None:
        """Begin before the job does.

        Args:
            log: of the job, which need not be there yet.
            n_bytes: how much of the log is read: what it holds while the job runs.
            bar: None: the trial is not stopped for being behind.
            diverges: whether it is stopped for a loss that is not finite, or far above its start.
        """
        self.stop: Stop | None = None
        self.condemned: Condemned | None = None
        self._form = form
        self._log = log
        self._bytes_left = n_bytes
        self._bar = bar
        self._diverges = diverges
        self._points: list[Point] = []
        self._position = 0
        self._line = b""  # the beginning of one
        self._is_past_half = False

    def __call__(self) -> bool:
        if self.stop is None:
            for line in self._new_lines():
                self._take(line)
                if self.stop is not None:
                    break
        return self.stop is not None

    def end(self) -> Stop | None:
        """Read what is left when the job has ended; return why it was, or should have been, stopped."""
        if not self() and self._line:
            self._take(self._line)
            self._line = b""
        return self.stop

    @property
    def curve(self) -> Curve | None:
        """What is remembered of the curve so far."""
        return Curve.of(self._points)

    def _new_lines(self) -> list[bytes]:
        try:
            with self._log.open("rb") as file:
                file.seek(self._position)
                data = file.read(self._bytes_left)
        except FileNotFoundError:
            return []
        self._position += len(data)
        self._bytes_left -= len(data)
        *lines, self._line = (self._line + data).split(b"\n")
        return lines

    def _take(self, line: bytes) -> None:
        point = self._form.point(line.decode(errors="replace")) if len(line) <= _LINE_BYTES else None
        if point is None:
            return
        start = self._points[0].loss if self._points else point.loss
        if self._diverges and (not math.isfinite(point.loss) or (start > 0 and point.loss > FAR * start)):
            far = f", more than {FAR:g} times its start" if math.isfinite(point.loss) else ""
            self.stop = Stop(
                Status.DIVERGED, f"loss {point.loss:g} at {point.share:.0%} of the budget{far}", point.share
            )
            return
        self._points.append(point)
        if point.share >= HALF and not self._is_past_half:
            self._is_past_half = True
            self._judge(point.share)

    def _judge(self, share: float) -> None:
        at_half = level([point for point in self._points if math.isfinite(point.loss)], HALF)
        if self._bar is None or at_half is None:
            return
        self.condemned = found = self._bar.condemned(*at_half)
        if found is not None and not self._bar.runs_on:
            reason = (
                f"{found.gap:.3g} behind trial {self._bar.champion} at half of the budget; of {self._bar.n_curves} "
                f"full curves none made up for more than {self._bar.recovery:.3g} ({found.limit:.3g} with noise)"
            )
            self.stop = Stop(Status.PRUNED, reason, share)


@dataclass(frozen=True)
class StoppingRule:
    """What may stop one training early."""

    form: CurveFormat  # how the task's script prints its curve
    bar: Bar | None = None  # None: it is not stopped for being behind
    diverges: bool = True  # whether it is stopped for a loss that is not finite, or far above its start

    def watch(self, log: Path, n_bytes: int) -> Watch:
        """Return what applies this to one job, whose log is read up to `n_bytes`. Call it before the job begins."""
        return Watch(self.form, log, n_bytes, self.bar, diverges=self.diverges)


class Pruner:
    """The rule over all curves read so far. It is a fold of the journal: built anew, it decides the same."""

    def __init__(
        self, form: CurveFormat, exempt: Sequence[str], seed: int, results: Iterable[Trial | Repeat] = ()
    ) -> None:
        """Follow a run that has come to `results`.

        Args:
            form: how the task's script prints its curve.
            exempt: edits that touch these names, as `touched` finds them, are never stopped for being behind.
            seed: of the run; decides which of the condemned run on.
        """
        self.form = form
        self._exempt = exempt
        self._seed = seed
        self._full: dict[int, _Full] = {}
        self._scale = 0.0  # the curve's units in one of the metric's
        for result in results:
            self.take(result)

    def take(self, result: Trial | Repeat) -> None:
        """Take in a finished trial. What has no loss shows no recovery; repeats run under other seeds."""
        if isinstance(result, Repeat) or result.outcome is None or result.val_loss is None:
            return
        curve = result.outcome.curve
        if curve is None or curve.half is None or curve.end is None:
            return
        self._full[result.number] = _Full(curve.half, curve.end, curve.error, result.val_loss)
        if result.number == 0 and result.val_loss:
            self._scale = abs(curve.end / result.val_loss)

    def bar(self, number: int, source: str, champion: int, champion_source: str, sigma: float) -> Bar | None:
        """Return what trial `number` is held against; None while too little is known, or if it is exempt.

        A curve under another schedule cannot be compared half-way, so its script is compared with the champion's.

        Args:
            sigma: noise of a run, in the metric's units. It is carried over as the same share of the baseline's loss.
        """
        if champion not in self._full or len(self._full) < FEWEST_CURVES:
            return None
        if touched(champion_source, source, self._exempt) is not None:
            return None
        against = self._full[champion]
        return Bar(
            champion=champion,
            half=against.half,
            recovery=max(self._recovery(full, against) for full in self._full.values()),
            n_curves=len(self._full),
            sigma=sigma * self._scale,
            error=against.error,
            runs_on=runs_on(self._seed, number),
        )

    def _recovery(self, full: "_Full", champion: "_Full") -> float:
        """Return what a curve has made up for after half of the budget; 0 for the champion itself.

        By its own end, or by the loss that the host computed, whichever says more: a script that prints in another
        unit, or with a term more, must not make the rest of the run look hopeless.
        """
        gap = full.half - champion.half
        return gap - min(full.end - champion.end, self._scale * (full.loss - champion.loss))


@dataclass(frozen=True)
class _Full:
    """A curve that ran to its end."""

    half: float
    end: float
    error: float  # standard error of `half`
    loss: float  # as scored


def pruner_of(task: Task, seed: int, results: Iterable[Trial | Repeat]) -> Pruner | None:
    """Return the rule for a run of `task` that has come to `results`; None if its script prints no declared curve."""
    if task.curve is None:
        return None
    form = CurveFormat(compiled(task.curve.pattern), task.budget.amount)
    return Pruner(form, task.curve.exempt, seed, results)


def runs_on(seed: int, number: int) -> bool:
    """Return whether a trial, once condemned, runs on: one in ONE_IN, drawn from the run's seed and its number."""
    drawn = hashlib.sha256(f"condemned {seed} {number}".encode()).digest()
    return int.from_bytes(drawn[:8]) % ONE_IN == 0
