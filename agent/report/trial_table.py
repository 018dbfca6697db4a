"""The table of trials for terminals and pipes, and the filters of `agent log`."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from agent.errors import UsageError
from agent.report.slices import decision_text, unseen_by
from agent.report.terminal import Span, row
from agent.text import cut, local_time, no_such, one_line, padded, plural, width_of
from agent.trials.budget import seconds
from agent.trials.history import History, stands
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Purpose, Repeat
from agent.trials.steering import BudgetRaised, PersonMessage, RunEvent, SubmissionRefused
from agent.trials.trial import KeepState, Status, Trial

MAX_TITLE_WIDTH = 200  # of a title with its marks and reason, where no terminal cuts it
TITLE_ROOM = 24  # columns that a narrow terminal keeps for titles, by leaving out others
VALUE_WIDTH, MAX_VALUE_WIDTH = 10, 24  # limits of the value column, which is as wide as the metric's name
_FAINT, _GREEN, _RED, _YELLOW, _BOLD = "2", "32", "31", "33", "1"
_COLOURS = {
    Status.OK: "", Status.DUPLICATE: _YELLOW, Status.NO_PROPOSAL: _YELLOW, Status.INVALID_EDIT: _YELLOW,
    Status.REFUSED: _YELLOW,
}  # fmt: skip
OVER_BUDGET = "over budget"  # in the place of a standing: the trial has a loss that decides nothing
METRIC_EDIT = "metric edit"  # likewise: it changes how the script reports its score
WAITS = "waits for approval"
WORDS = (
    *(word.value for word in (*Status, *KeepState)),
    *(word.replace(" ", "_") for word in (OVER_BUDGET, METRIC_EDIT, WAITS)),
)


def paint(text: str, code: str, colour: bool) -> str:
    """Return text in an ANSI style; unchanged without `colour`."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text


def value_width(metric: Metric) -> int:
    """Return the width of the value column, in characters."""
    return min(max(width_of(metric.name), VALUE_WIDTH), MAX_VALUE_WIDTH)


def left_out(metric: Metric, columns: int) -> list[Span]:
    """Return the spans of a row that a terminal of so many columns leaves out, so that titles keep TITLE_ROOM.

    One after the other: commit, memory, seconds, the time of day, origin and change. All rows have the same spans.
    """
    value = 38 + value_width(metric)  # the end of the value column
    memory = value + 10
    order = [(14, 23), (memory, memory + 7), (memory + 7, memory + 15), (7, 14), (memory + 15, memory + 25)]
    order.append((value, value + 10))
    room, found = columns - (memory + 27), list[Span]()
    for start, end in order:
        if room < TITLE_ROOM:
            found.append((start, end))
            room += end - start
    return found


def fitted_row(line: str, metric: Metric, columns: int | None) -> str:
    """Return a row of the table as a terminal of so many columns shows it; whole if `columns` is None."""
    return row(line, columns, () if columns is None else left_out(metric, columns))


def header(metric: Metric) -> str:
    """Return the heading of the table of trials."""
    width = value_width(metric)
    return (
        f"{'trial':>5}  {'ended':5}  {'commit':7}  {'status':14} {padded(cut(metric.name, width), width, right=True)} "
        f"{'change':>9} {'mem GB':>6} {'train s':>7}  {'origin':8}  title"
    )


def time_cell(at: str | None) -> str:
    """Return the time of day at which something ended, in the zone of this machine; blanks if it has not."""
    moment = local_time(at) if at else None
    return "     " if moment is None else f"{moment:%H:%M}"


def trial_line(
    trial: Trial, sha: str | None, before: Trial | None, metric: Metric, colour: bool, *, is_open: bool = True
) -> str:
    """Return one trial as a row of the table.

    Args:
        sha: hash of its commit; None if it has none yet.
        before: the incumbent that it was judged against; None for the baseline.
        is_open: whether a process works on the run; if not, an unfinished trial was interrupted.
    """
    outcome = trial.outcome
    status = outcome.status if outcome else None
    value = memory = seconds = ""
    if outcome is not None:
        if outcome.val_loss is not None:
            value = f"{metric.display(outcome.val_loss):.6f}"
        gigabytes = outcome.peak_vram_gb or outcome.peak_memory_gb
        memory = "" if gigabytes is None else f"{gigabytes:.2f}"
        seconds = f"{outcome.wall_seconds:.1f}" if outcome.wall_seconds else ""
    difference = change(trial, before, metric)
    changed = "" if difference is None else f"{difference:+.5f}"
    code = _GREEN if stands(trial) else _COLOURS.get(status, _RED) if status else ""
    title = one_line(trial.proposal.title)
    if outcome is not None and outcome.reason:
        title = f"{title}: {one_line(outcome.reason)}" if title else one_line(outcome.reason)
    if trial.proposal.usage is not None and trial.proposal.usage.retries:
        title = f"[{plural(trial.proposal.usage.retries, 'retry', 'retries')}] {title}"
    if outcome is not None and outcome.flags:
        title = f"[{one_line(outcome.flags[0])}] {title}"
    if mark := machine_mark(trial):
        title = f"[{mark}] {title}"
    if trial.proposal.copied_from:
        title = f"[copy of {trial.proposal.copied_from}] {title}"
    if trial.proposal.offer is not None:
        title = f"[{trial.proposal.offer.description}] {title}"
    title = cut(title, MAX_TITLE_WIDTH)
    state = verdict(trial) if trial.status is not None or trial.waits_for_approval or is_open else "interrupted"
    width = value_width(metric) - max(0, len(state) - 14)  # a long word needs a part of the next column, which is empty
    word = paint(f"{state:14}", code, colour)
    shown = paint(title, "" if trial.kept else _FAINT, colour)
    return (
        f"{trial.number:>5}  {time_cell(trial.finished_at)}  {(sha or '')[:7]:7}  {word} {value:>{width}} {changed:>9} "
        f"{memory:>6} {seconds:>7}  {trial.proposal.origin:8}  {shown}"
    )


def change(trial: Trial, before: Trial | None, metric: Metric) -> float | None:
    """Return the metric's change from the incumbent `before` to a trial; None if either has no loss."""
    if before is None or before.val_loss is None or trial.val_loss is None:
        return None
    return metric.display(trial.val_loss) - metric.display(before.val_loss)


def repeat_line(repeat: Repeat, metric: Metric, colour: bool, *, is_open: bool = True) -> str:
    """Return a repeat as a row of the table of trials."""
    outcome = repeat.outcome
    value = seconds = ""
    word = ("running" if is_open else "interrupted") if outcome is None else outcome.status.value
    if outcome is not None and outcome.val_loss is not None:
        value = f"{metric.display(outcome.val_loss):.6f}"
        word = OVER_BUDGET if outcome.is_over_budget else "again"
    if outcome is not None and outcome.wall_seconds:
        seconds = f"{outcome.wall_seconds:.1f}"
    code = ""
    if repeat.verdict is not None:
        standing = repeat.verdict.standing
        word = standing.value.replace("_", " ")
        code = _GREEN if standing.holds else _RED if standing is KeepState.ROLLED_BACK else ""
    mark = f"[{machine_mark(repeat)}] " if machine_mark(repeat) else ""
    shown = paint(mark + purpose(repeat, metric), _FAINT, colour)
    word = paint(f"{word:14}", code, colour)
    value = f"{value:>{value_width(metric)}}"
    ended = time_cell(repeat.finished_at)
    return f"{repeat.trial:>5}  {ended}  {'':7}  {word} {value} {'':>9} {'':>6} {seconds:>7}  {'repeat':8}  {shown}"


def void_line(void: VoidedAttempt, trial: int, metric: Metric, colour: bool) -> str:
    """Return a void attempt as a row of the table of trials."""
    reason = f"{one_line(void.reason)}: {'running again' if void.trained else 'waiting'}"
    return _machine_line(("void", reason), void, trial, metric, colour)


def lost_line(lost: LostAttempt, trial: int, metric: Metric, colour: bool) -> str:
    """Return a lost attempt as a row of the table of trials."""
    return _machine_line(("lost", f"{one_line(lost.reason)}: running again"), lost, trial, metric, colour)


def _machine_line(
    end: tuple[str, str], attempt: VoidedAttempt | LostAttempt, trial: int, metric: Metric, colour: bool
) -> str:
    word, why = paint(f"{end[0]:14}", _YELLOW, colour), paint(end[1], _FAINT, colour)
    blank, ended = " " * value_width(metric), time_cell(attempt.at)
    return f"{trial:>5}  {ended}  {'':7}  {word} {blank} {'':>9} {'':>6} {attempt.seconds:>7.1f}  {'machine':8}  {why}"


def machine_mark(trial: Trial | Repeat) -> str:
    """Return a trial's void and lost attempts and, in runs of earlier versions, the correction of its loss.

    For example `2 void, speed -1.2%: corrected`; empty if there are none.
    """
    machine = trial.outcome.machine if trial.outcome else None
    n_void = sum(void.trained for void in trial.voids)
    marks = [f"{n} {word}" for n, word in ((n_void, "void"), (len(trial.lost), "lost")) if n]
    if machine is not None and machine.raw_loss is not None and machine.ratio is not None:
        marks.append(f"speed {machine.ratio - 1:+.1%}: corrected")
    return ", ".join(marks)


def purpose(repeat: Repeat, metric: Metric) -> str:
    """Return why a trial was run again and, for a confirmation, its result."""
    why = {
        Purpose.BASELINE: "to measure the noise",
        Purpose.CHAMPION: "for comparison",
        Purpose.CONFIRM: "to confirm it",
        Purpose.FINAL: "held out, for the result",
        Purpose.SLOPE: "80% of the budget, to measure the effect of speed",
    }[repeat.purpose]
    if repeat.verdict is None:
        score = repeat.trained.score if repeat.trained is not None else None
        return f"seed {repeat.seed}, {why}" + (f" on {unseen_by(score.kind)}" if score is not None else "")
    return f"seed {repeat.seed}, {why}: {decision_text(repeat, metric)}"


def verdict(trial: Trial) -> str:
    """Return a trial's verdict: its present standing, the status of its failure, WAITS or "running"."""
    if trial.status is None:
        return WAITS if trial.waits_for_approval else "running"
    if trial.outcome is not None and trial.outcome.is_over_budget:
        return OVER_BUDGET
    if trial.outcome is not None and trial.outcome.metric_edit:
        return METRIC_EDIT
    if trial.number == 0 and trial.kept:
        return "baseline"
    standing = trial.standing
    return standing.replace("_", " ") if standing is not None else trial.status.value


def trial_lines(
    history: History,
    results: Iterable[Trial | Repeat],
    hashes: Mapping[int, str],
    metric: Metric,
    colour: bool,
    *,
    is_open: bool = True,
) -> list[str]:
    """Return the table's heading and one row for each of `results`."""
    lines = [paint(header(metric), _BOLD, colour)]
    for result in results:
        if isinstance(result, Repeat):
            lines.append(repeat_line(result, metric, colour, is_open=is_open))
            continue
        before = history.incumbent_before(result.number)
        lines.append(trial_line(result, hashes.get(result.number), before, metric, colour, is_open=is_open))
    return lines


def trial_filter(*, kept: bool, status: str | None, since: str | None, now: datetime) -> Callable[[Trial], bool]:
    """Return a filter of trials that combines all given conditions.

    Args:
        kept: keep only trials that moved the incumbent.
        status: keep only trials of this status or standing, such as `crashed` or `provisional`.
        since: keep only trials started within a duration before `now`, such as `2h`, or since a date.

    Raises:
        UsageError: the status does not exist, or `since` is neither a duration nor a date.
    """
    word = status.replace("-", "_").replace(" ", "_") if status else None
    if word is not None and word not in WORDS:
        raise UsageError(f"--status {status}: {no_such('status', word, WORDS)}")
    first = _moment(since, now) if since else None

    def fits(trial: Trial) -> bool:
        return (
            (not kept or trial.kept)
            and (word is None or word in (trial.status, verdict(trial).replace(" ", "_")))
            and (first is None or datetime.fromisoformat(trial.started_at) >= first)
        )

    return fits


def _moment(text: str, now: datetime) -> datetime:
    """Return the time meant by `2h`, `2026-11-22` or `2026-11-22T18:00`, in UTC. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - timedelta(seconds=seconds(text))
        except UsageError:
            raise UsageError(f"--since {text}: write a duration such as 2h, or a date such as 2026-11-22") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run_event_line(event: RunEvent) -> str:
    """Return an event that changes no trial as one printable line."""
    match event:
        case PersonMessage():
            return f"message before trial {event.number}: {one_line(event.text)}"
        case SubmissionRefused():
            return f"refused, no trial: {one_line(event.title)}: {one_line(event.reason)}"
        case BudgetRaised():
            caps = ", ".join(f"{name} {value:g}" for name, value in event.caps.items())
            return f"raised before trial {event.number}: {caps}"
