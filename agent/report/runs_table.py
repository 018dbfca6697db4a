"""The table of `agent runs`: one line about each run of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from agent.errors import AgentError
from agent.modes.registry import find_mode
from agent.report.best import BestValue
from agent.report.live.work import work_lines, work_summary
from agent.report.terminal import fitted, sentences
from agent.run.ending import RunState, state_of
from agent.run.steering.user_input import is_pause_requested
from agent.store.paths import RunsFolder
from agent.store.run_lock import holder
from agent.store.stored_run import StoredRun, interrupted
from agent.text import local_time, one_line, plural, time_of_day
from agent.trials.budget import Ledger, duration

RUNNING, PAUSED, WAITING, INTERRUPTED = "running", "paused", "waiting", "interrupted"
UNREADABLE = "unreadable"
WENT_WELL = (RunState.DONE.value, PAUSED, WAITING)
"""The states of a run on which no process works and that needs nobody's attention."""
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
HEADINGS = ("run", "state", "mode", "trials", "result", "standing", "spent", "size", "began")
_RIGHT = frozenset({"trials", "spent", "size"})  # headings of numbers
_SPARED = ("size", "mode", "spent", "began", "trials", "standing")  # what a narrow terminal leaves out, first to last


@dataclass(frozen=True)
class ListedRun:
    """A run of a folder, or why it cannot be read."""

    run_id: str
    state: str
    stored: StoredRun | None = None
    open_by: int | None = None  # pid of the process that works on it
    fault: str = ""  # why it cannot be read

    @cached_property
    def n_bytes(self) -> int:
        """Size of its folder; 0 if it cannot be read."""
        return self.stored.paths.n_bytes if self.stored else 0

    @cached_property
    def work(self) -> str:
        """What it is doing, in a few words; empty if no process works on it."""
        if self.stored is None or self.open_by is None:
            return ""
        return work_summary(work_lines(self.stored, self.open_by))

    @property
    def ledger(self) -> Ledger:
        return Ledger.of(self.stored.history.results if self.stored else ())

    @property
    def began(self) -> datetime | None:
        """When its baseline started; None if it has not."""
        history = self.stored.history if self.stored else None
        started = [] if history is None else [*history.by_finish[:1], *history.in_flight.values()]
        times = (local_time(trial.started_at) for trial in started)
        return min((moment for moment in times if moment is not None), default=None)


def listed_runs(runs: RunsFolder) -> list[ListedRun]:
    """Return all runs of a folder, oldest first. One that cannot be read is listed with the reason.

    Folders that this user may not look into come first: nobody knows their age.
    """
    return [listed_run(runs, name) for name in [*runs.closed_ids(), *runs.run_ids()]]


def listed_run(runs: RunsFolder, run_id: str) -> ListedRun:
    """Return one run of a folder; one that cannot be read has the reason."""
    try:
        paths = runs.run(run_id)
        pid = holder(paths)  # before reading, so that a run that ends meanwhile is not called interrupted
        stored = StoredRun.find(runs, run_id)
        return ListedRun(run_id, state_word(stored, pid), stored, pid)
    except AgentError as fault:
        return ListedRun(run_id, UNREADABLE, fault=one_line(str(fault)))
    except PermissionError as fault:
        why = f"this user may not read {fault.filename}; its owner can give the right, or show the run"
        return ListedRun(run_id, UNREADABLE, fault=one_line(why))


def state_word(stored: StoredRun, pid: int | None) -> str:
    """Return what a run is doing, in one word; `pid`: of the process that works on it."""
    if pid is not None:
        return RUNNING
    state, mode = state_of(stored), find_mode(stored.config.mode)
    if state is RunState.BASELINE_FAILED:
        return "failed"
    if state is not RunState.GOING_ON:
        return state.value
    if is_pause_requested(stored.paths):
        return PAUSED
    in_flight = stored.history.in_flight.values()
    waits = all(trial.waits_for_approval for trial in in_flight) if in_flight else False
    is_open = mode is not None and mode.awaits_submissions and not in_flight and stored.history.repeating is None
    return WAITING if waits or is_open else INTERRUPTED


def resume_hints(stored: StoredRun, state: str, option: str = "") -> list[str]:
    """Return sentences on what is left of a run on which no process works, and on the command that continues it.

    Args:
        state: as `state_word` returns it.
        option: what commands need to find the run, such as ` --runs DIR`.
    """
    if state == RUNNING:
        return []
    command = f"{stored.run_id}{option}"
    found = interrupted(stored.history, command)
    if not found and state in (INTERRUPTED, PAUSED):
        found.append(f"the run is {state}; `agent resume {command}` continues it")
    return found


def table(listed: Sequence[ListedRun], now: datetime, columns: int | None) -> list[str]:
    """Return the table as lines of at most `columns` columns; None: as wide as it is.

    Where even the most important columns do not fit, each run is a short paragraph.
    """
    cells = [cells_of(run, now) for run in listed]
    lines = fitted(HEADINGS, cells, columns, right=_RIGHT, spared=_SPARED)
    if lines is None:
        words = (f"{name}: {', '.join(cell for cell in rest if cell)}" for name, *rest in cells)
        lines = sentences(words, columns)
    notes = [f"{run.run_id}: {run.fault}" for run in listed if run.fault]
    notes += [f"{run.run_id}: {run.work}" for run in listed if run.work]
    return [*lines, *sentences(notes, columns)]


def totals(listed: Sequence[ListedRun]) -> str:
    """Return the number of runs and their size, in words."""
    n_running = sum(run.open_by is not None for run in listed)
    running = f", {n_running} running" if n_running else ""
    return f"{plural(len(listed), 'run')}{running}, {_size(sum(run.n_bytes for run in listed))}"


def cells_of(run: ListedRun, now: datetime, *, with_size: bool = True) -> list[str]:
    """Return a run's cells, in the order of HEADINGS; `with_size`: look at all its files for that of their size."""
    if run.stored is None:
        return [run.run_id, run.state, *[""] * (len(HEADINGS) - 2)]
    began = run.began
    return [
        run.run_id,
        run.state,
        run.stored.label,
        _trials(run.stored),
        result(run.stored),
        standing_word(run.stored),
        _spent(run.ledger),
        _size(run.n_bytes) if with_size else "",
        "" if began is None else time_of_day(began, now),
    ]


def _trials(stored: StoredRun) -> str:
    most = stored.config_now.trials
    n_done = len(stored.history.trials)
    return str(n_done) if most is None else f"{n_done} of {most}"


def result(stored: StoredRun) -> str:
    """Return the best value with its change from the baseline or, of `agent noise`, the measured noise."""
    mode = find_mode(stored.config.mode)
    if mode is not None and mode.measures_noise:
        from statistics import stdev  # 10 ms to import, which other runs do not need

        losses = [trial.val_loss for trial in stored.history.trials if trial.val_loss is not None]
        return f"sigma {stdev(losses):.2g}" if len(losses) > 1 else ""
    best = BestValue.of(stored.history, stored.keeper)
    return "" if best is None else best.describe(stored.metric)


def standing_word(stored: StoredRun) -> str:
    """Return how sure the gain of a run is: `confirmed`, `repeated`, `provisional`, or `no gain`.

    Empty before the baseline has a loss, and for `agent noise`, which looks for none.
    """
    mode, best = find_mode(stored.config.mode), stored.best
    if best is None or (mode is not None and mode.measures_noise):
        return ""
    if best.number == 0:
        return "no gain"
    return best.standing.value.replace("_", " ") if best.standing is not None else "provisional"


def _spent(ledger: Ledger) -> str:
    dollars = ledger.usage.dollars if ledger.usage is not None else None
    return duration(ledger.wall_seconds) + (f", ${dollars:.2f}" if dollars else "")


def _size(n_bytes: int) -> str:
    factor, unit = next((each for each in _UNITS if n_bytes >= each[0]), _UNITS[-1])
    return f"{n_bytes / factor:.{int(n_bytes < 10 * factor)}f} {unit}"
