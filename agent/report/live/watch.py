"""`agent watch`: follows a run from another terminal. It polls the journal and writes nothing."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.report import run_summary, trial_table
from agent.report.slices import pool_size
from agent.report.terminal import row, sentences
from agent.store.run_lock import holder
from agent.store.stored_run import StoredRun
from agent.text import last_line, one_line, read_tail
from agent.trials.history import History
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

PAUSE_SECONDS = 0.5
_LINES_BESIDE = 3  # lines of the screen taken by the run's name, the heading and the cursor
_CYAN, _FAINT = "36", "2"


def follow(stored: StoredRun, *, colour: bool = True, moves: bool = True, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Show the run until no process works on it.

    A terminal shows one view that is updated in place; other outputs get one line per finished trial.

    Args:
        colour: whether a terminal shows colours; moves: whether it can draw lines again.
    """
    console = Console(highlight=False, markup=False)
    if console.is_terminal and moves:
        _follow_live(stored, console, pause_seconds, colour)
        return
    stored = follow_rows(stored, lambda line: _say(console, line), pause_seconds=pause_seconds)
    for line in ["", *_closing(stored, None)]:
        _say(console, line)


def follow_rows(
    stored: StoredRun,
    show: Callable[[str], None],
    fits: Callable[[Trial], bool] = lambda _trial: True,
    *,
    n_first: int | None = None,
    colour: bool = False,
    pause_seconds: float = PAUSE_SECONDS,
) -> StoredRun:
    """Show the heading of the table, and a row for each trial and repeat that has ended or ends, until the run ends.

    Args:
        fits: the trials whose rows, and those of whose repeats, are shown.
        n_first: show at most so many of the rows that are there at the start, the latest; None: all.
        colour: whether the rows have ANSI styles.

    Returns:
        The run as it is at its end.
    """
    n_read = None
    while True:
        going_on = holder(stored.paths) is not None  # checked before reading, so no trial is missed
        stored = stored.again()
        history = stored.history
        heading, *every = trial_table.trial_lines(history, history.results, stored.hashes, stored.metric, colour)
        pairs = zip(every, history.results, strict=True)
        rows = [line for line, result in list(pairs)[n_read or 0 :] if fits(_trial_of(result, history))]
        if n_read is None:
            rows = [heading, *(rows if n_first is None else rows[-n_first:])]
        for line in rows:
            show(line)
        n_read = len(every)
        if not going_on:
            return stored
        time.sleep(pause_seconds)


def _trial_of(result: Trial | Repeat, history: History) -> Trial:
    return history.trial(result.trial) if isinstance(result, Repeat) else history.trial(result.number)


def _follow_live(stored: StoredRun, console: Console, pause_seconds: float, colour: bool) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            going_on = holder(stored.paths) is not None
            stored = stored.again()
            live.update(_view(stored, console.width, console.height, colour), refresh=True)
            if not going_on:
                return
            time.sleep(pause_seconds)


def _view(stored: StoredRun, width: int, height: int, colour: bool) -> Group:
    """Return a view that fits the screen: the latest trials, those in flight and the summary."""
    history = stored.history
    heading, *lines = trial_table.trial_lines(history, history.finished, stored.hashes, stored.metric, colour)
    below = [*_in_flight(stored, width, colour), "", *_closing(stored, width)]
    n_lines = max(3, height - len(below) - _LINES_BESIDE)
    rows = [trial_table.fitted_row(line, stored.metric, width) for line in [heading, *lines[-n_lines:]]]
    shown = [row(f"run {stored.run_id}, mode {stored.label}", width), *rows, *below]
    return Group(*(Text.from_ansi(line) for line in shown))


def _in_flight(stored: StoredRun, width: int, colour: bool) -> list[str]:
    """Return a row for each trial and repeat in flight, with the last line of its log below it."""
    history = stored.history
    rows = [
        (trial_table.trial_line(trial, None, None, stored.metric, colour=False), stored.paths.trial(trial.number).log)
        for trial in history.in_flight.values()
    ]
    if (repeat := history.repeating) is not None:
        line = trial_table.repeat_line(repeat, stored.metric, colour=False)
        rows.append((line, stored.paths.trial(repeat.trial).repeat(repeat.seed).log))
    lines = []
    for line, log in rows:
        lines.append(trial_table.paint(trial_table.fitted_row(line, stored.metric, width), _CYAN, colour))
        if log.exists():
            said = one_line(last_line(read_tail(log)))
            lines.append(trial_table.paint(row(f"{'':7}{said}", width), _FAINT, colour))
    return lines


def _closing(stored: StoredRun, columns: int | None) -> list[str]:
    return sentences(run_summary.summary(stored.history, stored.metric, stored.keeper, pool_size(stored)), columns)


def _say(console: Console, line: str) -> None:
    console.print(Text.from_ansi(line), soft_wrap=True)
