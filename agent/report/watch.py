"""`agent watch`: follows a run from another terminal. It polls the journal and writes nothing."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.report import run_summary, trial_table
from agent.report.slices import pool_size
from agent.report.terminal import row, sentences
from agent.store.run_lock import holder
from agent.store.stored_run import StoredRun
from agent.text import last_line, one_line, read_tail

PAUSE_SECONDS = 0.5
_LINES_BESIDE = 3  # lines of the screen taken by the run's name, the heading and the cursor
_CYAN, _FAINT = "36", "2"


def follow(stored: StoredRun, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Show the run until no process works on it.

    A terminal shows one view that is updated in place; other outputs get one line per finished trial.
    """
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        _follow_live(stored, console, pause_seconds)
        return
    _follow_in_lines(stored, console, pause_seconds)
    for line in ["", *_closing(stored.again(), None)]:
        _say(console, line)


def _follow_in_lines(stored: StoredRun, console: Console, pause_seconds: float) -> None:
    n_shown = 0
    while True:
        going_on = holder(stored.paths) is not None  # checked before reading, so no trial is missed
        stored = stored.again()
        history = stored.history
        lines = trial_table.trial_lines(history, history.results, stored.hashes, stored.metric, colour=False)
        for line in lines[n_shown:]:
            _say(console, line)
        n_shown = len(lines)
        if not going_on:
            return
        time.sleep(pause_seconds)


def _follow_live(stored: StoredRun, console: Console, pause_seconds: float) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            going_on = holder(stored.paths) is not None
            stored = stored.again()
            live.update(_view(stored, console.width, console.height), refresh=True)
            if not going_on:
                return
            time.sleep(pause_seconds)


def _view(stored: StoredRun, width: int, height: int) -> Group:
    """Return a view that fits the screen: the latest trials, those in flight and the summary."""
    history = stored.history
    heading, *lines = trial_table.trial_lines(history, history.finished, stored.hashes, stored.metric, colour=True)
    below = [*_in_flight(stored), "", *_closing(stored, width)]
    n_lines = max(3, height - len(below) - _LINES_BESIDE)
    shown = [f"run {stored.run_id}, mode {stored.label}", heading, *lines[-n_lines:], *below]
    return Group(*(Text.from_ansi(row(line, width, trial_table.spared(stored.metric))) for line in shown))


def _in_flight(stored: StoredRun) -> list[str]:
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
        lines.append(trial_table.paint(line, _CYAN, colour=True))
        if log.exists():
            said = one_line(last_line(read_tail(log)))
            lines.append(trial_table.paint(f"{'':16}{said}", _FAINT, colour=True))
    return lines


def _closing(stored: StoredRun, columns: int | None) -> list[str]:
    return sentences(run_summary.summary(stored.history, stored.metric, stored.keeper, pool_size(stored)), columns)


def _say(console: Console, line: str) -> None:
    console.print(Text.from_ansi(line), soft_wrap=True)
