"""The training curves of a run's trials in one chart, read from their logs."""

import math
from pathlib import Path

from agent.errors import UnsafeFileError
from agent.files import plain_file
from agent.report.html.charts.chart import Chart, ChartAxis, Line, Panel, Tone
from agent.store.stored_run import StoredRun
from agent.task.curve_format import CurveFormat
from agent.text import plural
from agent.trials.learning_curve import WINDOW, Point

MAX_CURVES = 100
"""How many curves one chart has beside the highlighted ones: with more trials, every second, third, ... one."""
_N_POINTS, _N_HIGHLIGHTED = 40, 200  # points of an ordinary and of a highlighted curve
_MOST_BYTES = 1_000_000  # read of each log


def training_curves(
    stored: StoredRun, form: CurveFormat, *, name: str, run: int, max_curves: int = MAX_CURVES
) -> Chart | None:
    """Return the curves as printed: baseline and incumbent in colour, the others faint; None if no log has one.

    Args:
        form: how the task's script prints its curve.
        run: index of the run on the page.
        max_curves: how many curves are shown beside the highlighted ones.
    """
    history = stored.history
    strong: dict[int, tuple[str, Tone]] = {0: ("baseline", "ink")}
    if history.incumbent is not None and history.incumbent.number:
        strong[history.incumbent.number] = (f"incumbent: trial {history.incumbent.number}", "green")
    others = [trial.number for trial in history.trials if trial.number not in strong]
    step = max(1, math.ceil(len(others) / max(1, max_curves)))
    others_drawn = others[::-1][::step]
    lines, beyond_start = list[Line](), list[float]()
    for number in [*others_drawn[::-1], *strong]:
        points = thinned(
            read_points(stored.paths.trial(number).log, form), _N_HIGHLIGHTED if number in strong else _N_POINTS
        )
        if not points:
            continue
        beyond_start += [point.loss for point in points if point.share >= WINDOW]
        label, tone = strong.get(number, ("other trials", "grey"))
        x, y = [100 * point.share for point in points], [point.loss for point in points]
        width, opacity = (2.4, 1.0) if number in strong else (1.0, 0.4)
        lines.append(Line(x, y, tone, label, width, opacity, mark=f"{run}/{number}"))
    if not lines:
        return None
    high = 1.02 * max(beyond_start) if beyond_start and max(beyond_start) > 0 else None
    panel = Panel(
        ChartAxis("% of the training budget", low=0.0, high=100.0), ChartAxis("loss as printed", high=high), lines
    )
    left_out = f" of {len(others)} trials" if step > 1 else ""
    description = (
        f"loss as printed during training: {plural(len(lines), 'curve')}{left_out}, baseline and incumbent highlighted"
    )
    return Chart(name, "Training curves", description, [panel])


def read_points(log: Path, form: CurveFormat) -> list[Point]:
    """Return the finite points that a training log has in its first megabyte; empty without a readable log."""
    try:
        with plain_file(log).open("rb") as file:
            lines = file.read(_MOST_BYTES).decode(errors="replace").splitlines()
    except (OSError, UnsafeFileError):
        return []
    points = [point for line in lines if (point := form.point(line)) is not None]
    return [point for point in points if math.isfinite(point.loss)]


def thinned(points: list[Point], n_most: int) -> list[Point]:
    """Return at most `n_most` points at equal distances, the first and the last among them."""
    if len(points) <= n_most:
        return points
    return [points[round(i * (len(points) - 1) / (n_most - 1))] for i in range(n_most)]
