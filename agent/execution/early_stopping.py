"""Early stopping of hopeless trials: at once when they diverge, else at half of the budget.

A curve that is behind the champion's at half of the budget may still overtake it. So a trial is pruned only if its gap
is larger, by two sigma, than any gap that a full curve of this run has closed. Some condemned trials run on as
controls, so that wrong decisions are measured. docs/keep-rule.md has the full rule.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.edits.line_diff import touched
from agent.task.curve_format import CurveFormat
from agent.task.spec import BudgetSpec
from agent.task.task import Task
from agent.trials.learning_curve import HALF, LearningCurve, Point, PruningDecision, level
from agent.trials.repeat import Repeat
from agent.trials.trial import Status, Trial

FEWEST_CURVES = 8  # full ones, before any trial is pruned
SIGMAS = 2.0
FAR = 3.0  # times its start: a curve above that has diverged
ONE_IN = 20  # condemned trials runs on, as a control
_LINE_BYTES = 1000  # longer lines are skipped, to bound the work per line


@dataclass(frozen=True)
class Stop:
    """Why a job was stopped early."""

    status: Status  # diverged or pruned
    reason: str
    share: float  # of the budget that was used at the deciding point

    def charge_seconds(self, budget: BudgetSpec, wall_seconds: float) -> float:
        """Return the training seconds to charge: the used share of a deterministic budget if pruned, else wall time."""
        nominal = budget.charge_seconds if self.status is Status.PRUNED and budget.deterministic else None
        return wall_seconds if nominal is None else nominal * self.share


@dataclass(frozen=True)
class PruningThreshold:
    """The threshold for a trial at half of its budget."""

    champion: int
    half: float  # its level at half of the budget
    recovery: float  # largest gap to the champion that a full curve has closed from half of the budget on
    n_curves: int
    sigma: float  # noise of a run, in the curve's units
    error: float  # standard error of the champion's level
    is_control: bool  # whether this trial runs on as a control if it is condemned

    def condemned(self, half: float, error: float) -> PruningDecision | None:
        """Return why a trial with this level and its standard error is condemned; None if it is not."""
        gap = half - self.half
        limit = self.recovery + SIGMAS * math.hypot(self.sigma, self.error, error)
        return PruningDecision(half, gap, limit) if gap > limit else None


class EarlyStopper:
    """Follows the growing log of one job. Each call returns whether the job must be stopped.

    The decision depends only on the printed points up to the deciding one, in their order. So a late call, even one
    after the end of the job, decides the same.
    """

    def __init__(
        self,
        form: CurveFormat,
        log: Path,
        n_bytes: int,
        threshold: PruningThreshold | None = None,
        *,
        diverges: bool = True,
    ) -> None:
        """Create it before the job starts.

        Args:
            log: of the job; it need not exist yet.
            n_bytes: how much of the log is read, at most.
            threshold: None: the trial is not pruned.
            diverges: whether it is stopped for a loss that is not finite, or far above its start.
        """
        self.stop: Stop | None = None
        self.condemned: PruningDecision | None = None
        self._form = form
        self._log = log
        self._bytes_left = n_bytes
        self._threshold = threshold
        self._diverges = diverges
        self._points: list[Point] = []
        self._position = 0
        self._line = b""  # an incomplete one
        self._is_past_half = False

    def __call__(self) -> bool:
        if self.stop is None:
            for line in self._new_lines():
                self._take(line)
                if self.stop is not None:
                    break
        return self.stop is not None

    def end(self) -> Stop | None:
        """Read the rest of the log after the job has ended; return why it was, or should have been, stopped."""
        if not self() and self._line:
            self._take(self._line)
            self._line = b""
        return self.stop

    @property
    def curve(self) -> LearningCurve | None:
        """The summary of the curve so far; None if there is none."""
        return LearningCurve.of(self._points)

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
        if self._threshold is None or at_half is None:
            return
        self.condemned = found = self._threshold.condemned(*at_half)
        if found is not None and not self._threshold.is_control:
            reason = (
                f"{found.gap:.3g} behind trial {self._threshold.champion} at half of the budget; none of "
                f"{self._threshold.n_curves} full curves closed a gap of more than {self._threshold.recovery:.3g} "
                f"({found.limit:.3g} with noise)"
            )
            self.stop = Stop(Status.PRUNED, reason, share)


@dataclass(frozen=True)
class StoppingRule:
    """The rule that may stop one training early."""

    form: CurveFormat  # how the task's script prints its curve
    threshold: PruningThreshold | None = None  # None: it is not pruned
    diverges: bool = True  # whether it is stopped for a loss that is not finite, or far above its start

    def watch(self, log: Path, n_bytes: int) -> EarlyStopper:
        """Return the watch of one job, which reads its log up to `n_bytes`. Call it before the job starts."""
        return EarlyStopper(self.form, log, n_bytes, self.threshold, diverges=self.diverges)


class Pruner:
    """Sets pruning thresholds from all curves so far. It is a fold of the journal: rebuilt, it decides the same."""

    def __init__(
        self, form: CurveFormat, exempt: Sequence[str], seed: int, results: Iterable[Trial | Repeat] = ()
    ) -> None:
        """Start with the finished `results` of a run.

        Args:
            form: how the task's script prints its curve.
            exempt: edits that touch these names, as `touched` finds them, are never pruned.
            seed: of the run; decides which condemned trials run on.
        """
        self.form = form
        self._exempt = exempt
        self._seed = seed
        self._full: dict[int, _Full] = {}
        self._scale = 0.0  # units of the curve per unit of the metric
        for result in results:
            self.observe(result)

    def observe(self, result: Trial | Repeat) -> None:
        """Take a finished trial. Trials without a loss are skipped, and so are repeats, which run under other seeds."""
        if isinstance(result, Repeat) or result.outcome is None or result.val_loss is None:
            return
        curve = result.outcome.curve
        if curve is None or curve.half is None or curve.end is None:
            return
        self._full[result.number] = _Full(curve.half, curve.end, curve.error, result.val_loss)
        if result.number == 0 and result.val_loss:
            self._scale = abs(curve.end / result.val_loss)

    def threshold(
        self, number: int, source: str, champion: int, champion_source: str, sigma: float
    ) -> PruningThreshold | None:
        """Return the threshold for trial `number`; None while there are too few curves, or if its edit is exempt.

        Curves under different schedules cannot be compared half-way, so a script is not pruned if it differs from the
        champion's in an exempt name.

        Args:
            sigma: noise of a run, in the metric's units. It is converted as the same share of the baseline's loss.
        """
        if champion not in self._full or len(self._full) < FEWEST_CURVES:
            return None
        if touched(champion_source, source, self._exempt) is not None:
            return None
        against = self._full[champion]
        return PruningThreshold(
            champion=champion,
            half=against.half,
            recovery=max(self._recovery(full, against) for full in self._full.values()),
            n_curves=len(self._full),
            sigma=sigma * self._scale,
            error=against.error,
            is_control=is_control(self._seed, number),
        )

    def _recovery(self, full: "_Full", champion: "_Full") -> float:
        """Return the gap that a curve has closed after half of the budget; 0 for the champion itself.

        It is computed from the curve's end and from the host's loss, and the larger figure counts: a script that prints
        another unit, or one more loss term, must not make all other trials look hopeless.
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
    """Return the pruner for a run of `task` with these `results`; None if the task declares no curve."""
    form = task.curve_format
    return None if task.curve is None or form is None else Pruner(form, task.curve.exempt, seed, results)


def is_control(seed: int, number: int) -> bool:
    """Return whether a trial, once condemned, runs on: one in ONE_IN, drawn from the run's seed and its number."""
    drawn = hashlib.sha256(f"condemned {seed} {number}".encode()).digest()
    return int.from_bytes(drawn[:8]) % ONE_IN == 0
