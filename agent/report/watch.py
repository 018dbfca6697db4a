"""`agent watch`: a run seen from another terminal. It reads the journal again and again, and writes nothing."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.judge import last_line, read_tail
from agent.record import one_line
from agent.report import text
from agent.report.stored_run import StoredRun
from agent.run_lock import holder

PAUSE_SECONDS = 0.5
_LINES_BESIDE = 9  # of a screen: heading, summary, the trial in flight


def follow(stored: StoredRun, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Show the run until no process works on it any more.

    On a terminal the view stays in place; elsewhere each trial is one line, printed when it has ended.
    """
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        _follow_live(stored, console, pause_seconds)
    else:
        _follow_in_lines(stored, console, pause_seconds)
    for line in ["", *_closing(stored.again())]:
        _say(console, line)


def _follow_in_lines(stored: StoredRun, console: Console, pause_seconds: float) -> None:
    n_shown = 0
    while True:
        going_on = holder(stored.paths) is not None  # asked first, so that nothing is missed that came before its end
        stored = stored.again()
        lines = text.trial_lines(stored.history.results, stored.hashes, stored.metric, colour=False)
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
            live.update(_view(stored, console.height), refresh=True)
            if not going_on:
                return
            time.sleep(pause_seconds)


def _view(stored: StoredRun, height: int) -> Group:
    """Return what fits on a screen: the latest trials, what the run has come to, and the trial in flight."""
    done = [result for result in stored.history.timeline if result.outcome is not None]
    heading, *lines = text.trial_lines(done, stored.hashes, stored.metric, colour=True)
    n_lines = max(3, height - _LINES_BESIDE)
    shown = [f"run {stored.run_id}, mode {stored.config.mode}", heading, *lines[-n_lines:], *_in_flight(stored), "",
             *_closing(stored)]  # fmt: skip
    return Group(*(Text.from_ansi(line, no_wrap=True, overflow="ellipsis") for line in shown))


def _in_flight(stored: StoredRun) -> list[str]:
    history, what = stored.history, ""
    if history.pending is not None:
        number, what = history.pending.number, history.pending.proposal.title
        log = stored.paths.trial(number).log
    elif history.repeating is not None:
        number, what = history.repeating.trial, text.purpose(history.repeating)
        log = stored.paths.trial(number).repeat(history.repeating.seed).log
    if not what:
        return []
    return [text.paint(one_line(f"{number:>5}  running  {what} | {last_line(read_tail(log))}"), "36", colour=True)]


def _closing(stored: StoredRun) -> list[str]:
    return text.summary(stored.history, stored.metric, stored.keeper)


def _say(console: Console, line: str) -> None:
    console.print(Text.from_ansi(line), soft_wrap=True)
