"""`agent watch`: follows a run from another terminal. It polls the journal and writes nothing."""

import time
from collections.abc import Callable
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.report import run_summary, trial_table
from agent.report.live.work import work_lines
from agent.report.runs_table import resume_hints, state_word
from agent.report.slices import pool_size
from agent.report.terminal import row, sentences
from agent.store.run_lock import holder
from agent.store.stored_run import StoredRun
from agent.text import local_now, padded, width_of
from agent.trials.history import History
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

PAUSE_SECONDS = 0.5
_LINES_BESIDE = 3  # lines of the screen taken by the run's name, the heading and the cursor
_CYAN, _FAINT = "36", "2"


def follow(
    stored: StoredRun,
    *,
    colour: bool = True,
    moves: bool = True,
    option: str = "",
    pause_seconds: float = PAUSE_SECONDS,
) -> str:
    """Show the run until no process works on it; return its state then, as `agent runs` shows it.

    A terminal shows one view that is updated in place; other outputs get one line per finished trial.

    Args:
        colour: whether a terminal shows colours; moves: whether it can draw lines again.
        option: what other commands need to find the run, such as ` --runs DIR`.
    """
    console = Console(highlight=False, markup=False)
    if console.is_terminal and moves:
        return _follow_live(stored, console, pause_seconds, colour, option)
    stored = follow_rows(stored, lambda line: _say(console, line), pause_seconds=pause_seconds)
    state = state_word(stored, None)
    columns = console.width if console.is_terminal else None
    for line in ["", *_closing(stored, columns), *sentences(resume_hints(stored, state, option), columns)]:
        _say(console, line)
    return state


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


def _follow_live(stored: StoredRun, console: Console, pause_seconds: float, colour: bool, option: str) -> str:
    with Live(console=console, auto_refresh=False) as live:
        while True:
            pid = holder(stored.paths)  # before reading, so that a run that ends meanwhile is read to its end
            stored = stored.again()
            live.update(_view(stored, pid, (console.width, console.height), colour, option), refresh=True)
            if pid is None:
                return state_word(stored, None)
            time.sleep(pause_seconds)


def _view(stored: StoredRun, pid: int | None, size: tuple[int, int], colour: bool, option: str) -> Group:
    """Return a view that fits the screen: the latest trials, what the run is doing, and the summary.

    Args:
        pid: of the process that works on the run; None: none does.
        size: columns and lines of the screen.
    """
    history, (width, height), state = stored.history, size, state_word(stored, pid)
    shown = history.finished if pid is not None else history.timeline
    is_open = pid is not None
    heading, *lines = trial_table.trial_lines(history, shown, stored.hashes, stored.metric, colour, is_open=is_open)
    work = _work(stored, pid, width, colour) if pid is not None else []
    hints = sentences(resume_hints(stored, state, option), width)
    below = [*work, "", *_closing(stored, width), *hints]
    n_lines = max(3, height - len(below) - _LINES_BESIDE)
    rows = [trial_table.fitted_row(line, stored.metric, width) for line in [heading, *lines[-n_lines:]]]
    head = row(f"run {stored.run_id}, mode {stored.label}, {state}", width)
    return Group(*(Text.from_ansi(line) for line in [head, *rows, *below]))


def _work(stored: StoredRun, pid: int, width: int, colour: bool) -> list[str]:
    """Return a row for each thing that the run is doing, with the last line of its log below it."""
    lines, now = work_lines(stored, pid), local_now()
    place_width = max((width_of(line.place) for line in lines), default=0)
    rows = []
    for line in lines:
        seconds = line.seconds(now)
        since = "" if seconds is None else str(timedelta(seconds=int(seconds)))
        begin = f"  {padded(line.place, place_width)}  " if place_width else "  "
        rows.append(trial_table.paint(row(f"{begin}{since:>8}  {line.what}", width), _CYAN, colour))
        if (output := line.last_log_line()) is not None:
            rows.append(trial_table.paint(row(f"{' ' * (len(begin) + 10)}{output}", width), _FAINT, colour))
    return rows


def _closing(stored: StoredRun, columns: int | None) -> list[str]:
    pool, added = pool_size(stored), stored.added_lines
    return sentences(run_summary.summary(stored.history, stored.metric, stored.keeper, pool, added), columns)


def _say(console: Console, line: str) -> None:
    console.print(Text.from_ansi(line), soft_wrap=True)
