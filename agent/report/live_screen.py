"""The console output of `agent run`: one line per trial and, on a terminal, live lines about what is in flight."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agent.execution.slots import Slot
from agent.report import terminal, trial_table
from agent.report.steering.messages import event_line
from agent.store.paths import RunPaths
from agent.text import one_line, plural, read_tail
from agent.trials.keeping.confirmations import SlicePurpose, SliceUse
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.steering import PersonMessage, RunEvent
from agent.trials.trial import Trial

_PROGRESS = re.compile(r"progress +(\d(?:\.\d+)?)")
_LOSS = re.compile(r"\bloss +([\d.]+|nan|inf)")
_WIDE = 110  # columns of a terminal
_BAR_WIDTHS = (10, 24)  # on a narrower one, and on a wide one


@dataclass
class _Line:
    """A live line about work in progress."""

    what: str
    log: Path | None  # of the script, which reports progress and loss at its end; None: the bar has no end
    began: float  # by the monotonic clock
    n_tokens: int = 0  # of a model's reply, so far
    done: float = 0.0  # share of the budget, as reported

    def cells(self, device: str, bar_width: int) -> tuple[Text, ProgressBar, Text, Text]:
        """Return the line as cells: what it is about, a bar, the time since it began, and the loss reported last."""
        now = time.monotonic()
        said = read_tail(self.log)[-2000:] if self.log is not None else ""
        progress, loss = _PROGRESS.findall(said), _LOSS.findall(said)
        if progress:
            self.done = min(float(progress[-1]), 1.0)
        tokens = f", {plural(self.n_tokens, 'token')}" if self.n_tokens else ""
        total = None if self.log is None else 1.0
        return (
            Text(f"{device}{self.what}{tokens}", no_wrap=True, overflow="ellipsis"),
            ProgressBar(total, self.done, width=bar_width, animation_time=now),
            Text(str(timedelta(seconds=int(now - self.began))), style="progress.elapsed"),
            Text(f"loss {loss[-1]} (reported)" if loss else "", style="dim"),
        )


class LiveConsole:
    """The console, with live lines below the output on a terminal. Several screens may share it.

    There is one live line, about what began last; after `split`, one for each worker, proposal and slice.
    """

    def __init__(self, quiet: bool = False) -> None:
        """`quiet`: show nothing."""
        self._is_quiet = quiet
        self._console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True)
        self.colour = self._console.is_terminal
        self._headed = False
        self._lines: dict[str, _Line] = {}  # by what they are about
        self._devices: dict[str, str] = {}  # of the workers, once the screen is split
        self._asked: _Line | None = None  # the line of the latest proposal
        self._spinner = Spinner("dots", style="progress.spinner")
        self._live: Live | None = None
        if self._console.is_terminal and not quiet:
            self._live = Live(console=self._console, get_renderable=self._view, transient=True, refresh_per_second=4)

    def split(self, slots: Sequence[Slot]) -> None:
        """Show one line for each of these slots from now on, and one for each proposal."""
        self._devices = {worker(slot): slot.device for slot in slots}

    def report(self, line: str) -> None:
        """Print one line above the live ones."""
        self._console.print(Text.from_ansi(line))

    def demand(self, line: str) -> None:
        """Print one line that a person must act on; to standard error if this console is quiet."""
        if self._is_quiet:
            print(line, file=sys.stderr, flush=True)
        self.report(line)

    def row(self, line: str, metric: Metric, label: str = "") -> None:
        """Print a label and one row of the table of trials, cut to the terminal's width."""
        columns = self._console.width - len(label) if self._console.is_terminal else None
        self.report(label + terminal.row(line, columns, trial_table.spared(metric)))

    def head(self, metric: Metric, label: str = "") -> None:
        """Print the heading of the table; later calls do nothing."""
        if not self._headed:
            self._headed = True
            self.row(trial_table.paint(trial_table.header(metric), "1", self.colour), metric, " " * len(label))

    def show(self, about: str, what: str, log: Path | None = None, *, is_continued: bool = False) -> None:
        """Show `what` on a live line, with the progress that `log` reports.

        Args:
            about: what the line is about, such as `worker(slot)`. It decides only on a split screen.
            is_continued: on a split screen, the time goes on from what the line showed before.
        """
        if not self._devices:
            self._lines.clear()
        before = self._lines.get(about) if is_continued else None
        self._lines[about] = _Line(what, log, before.began if before is not None else time.monotonic())
        if self._live is not None:
            self._live.start()

    def propose(self, about: str, what: str) -> None:
        """Show a proposal in progress, with the length of the model's reply."""
        self.show(about, what)
        self._asked = self._lines[about]

    def clear(self, about: str) -> None:
        """Remove a line of a split screen."""
        if self._devices:
            self._lines.pop(about, None)

    def replying(self, n_tokens: int) -> None:
        """Show how many tokens of the model's reply have arrived."""
        if self._asked is not None:
            self._asked.n_tokens = n_tokens

    def close(self) -> None:
        """Restore the terminal. Safe to call twice."""
        if self._live is not None:
            self._live.stop()

    def _view(self) -> Table:
        """Return the live lines: of all workers in their order, then of proposals and slices."""
        grid = Table.grid(padding=(0, 1))
        for is_whole in (True, False, True, True, True):  # a narrow terminal cuts the second column only
            grid.add_column(no_wrap=is_whole)
        bar_width = _BAR_WIDTHS[self._console.width >= _WIDE]
        lines = dict(self._lines)  # the thread that decides may change it
        width = max(map(len, self._devices.values()), default=0)
        idle = "waiting for a proposal" if lines.keys() - self._devices.keys() else "idle"
        for about, device in self._devices.items():
            line = lines.pop(about, None)
            if line is None:
                grid.add_row("", Text(f"{device:{width}}  {idle}", style="dim"))
            else:
                grid.add_row(self._spinner, *line.cells(f"{device:{width}}  ", bar_width))
        for line in lines.values():
            grid.add_row(self._spinner, *line.cells("", bar_width))
        return grid


def worker(slot: Slot) -> str:
    """Return what the live line of a slot is about."""
    return f"worker {slot.number}"


class ConsoleObserver:
    """An Observer that prints the events of a run, as plain lines if the output is not a terminal."""

    def __init__(
        self,
        metric: Metric,
        paths: RunPaths,
        hash_of: Callable[[int], str | None],
        live: LiveConsole,
        label: str = "",
        *,
        runs_option: str = "",
    ) -> None:
        """Print to `live`.

        Args:
            label: begins every line about this run, to tell interleaved runs apart.
            runs_option: what other commands need to find the run, such as ` --runs DIR`.
        """
        self._metric = metric
        self._paths = paths
        self._hash_of = hash_of
        self._live = live
        self._label = label
        self._runs_option = runs_option
        self._proposal, self._slice = f"{label}proposal", f"{label}slice"  # live lines
        self._workers: dict[int, str] = {}  # the live line of each trial that runs
        self._repeats = ""  # the live line of the repeat that runs

    def proposing(self, number: int) -> None:
        self._live.propose(self._proposal, f"{self._label}trial {number}: proposing")

    def proposed(self, number: int) -> None:
        self._live.clear(self._proposal)

    def waits_for_approval(self, trial: Trial) -> None:
        line, option = f"{self._label}trial {trial.number} {trial_table.WAITS}", self._runs_option
        self._live.demand(f"{line}: {one_line(trial.proposal.title)[: trial_table.TITLE_WIDTH]}")
        name = f"{self._paths.run_id}/{trial.number}"
        commands = (f"agent {verb} {name}{option}" for verb in ("show", "approve", "refuse"))
        self._live.demand(f"{self._label}  {' · '.join(commands)}")
        self._live.show(f"{self._label}approval {trial.number}", line)

    def started(self, trial: Trial, slot: Slot) -> None:
        self._live.clear(f"{self._label}approval {trial.number}")
        if not trial.is_refused:
            title = one_line(trial.proposal.title)[:44]
            log = self._paths.trial(trial.number).log
            self._workers[trial.number] = worker(slot)
            self._live.show(worker(slot), f"{self._label}trial {trial.number}: training, {title}", log)

    def scoring(self, trial: Trial) -> None:
        self._live.show(self._workers[trial.number], f"{self._label}trial {trial.number}: scoring", is_continued=True)

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        self._live.clear(self._workers.pop(trial.number, ""))
        colour = self._live.colour
        self._live.head(self._metric, self._label)
        line = trial_table.trial_line(trial, self._hash_of(trial.number), previous, self._metric, colour)
        self._live.row(line, self._metric, self._label)

    def repeating(self, repeat: Repeat, slot: Slot) -> None:
        log = self._paths.trial(repeat.trial).repeat(repeat.seed).log
        self._repeats = worker(slot)
        what = f"{self._label}trial {repeat.trial} again: {trial_table.purpose(repeat, self._metric)}"
        self._live.show(self._repeats, what, log)

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        self._live.clear(self._repeats)
        line = trial_table.repeat_line(repeat, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)

    def voided(self, void: VoidedAttempt, trial: int) -> None:
        line = trial_table.void_line(void, trial, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)

    def lost(self, lost: LostAttempt, trial: int) -> None:
        line = trial_table.lost_line(lost, trial, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)

    def recorded(self, event: RunEvent) -> None:
        if isinstance(event, PersonMessage):
            self._live.head(self._metric, self._label)
            self._live.row(event_line(event, self._metric, self._live.colour), self._metric, self._label)
        else:
            self._live.report(f"{self._label}{trial_table.run_event_line(event)}")

    def slice_opened(self, use: SliceUse) -> None:
        self._live.show(self._slice, f"{self._label}slice {use.number}: {', '.join(use.entrants)}")

    def slice_scored(self, use: SliceUse) -> None:
        self._live.clear(self._slice)
        score = use.score
        if score is not None and score.is_burned and use.purpose is SlicePurpose.FINAL:  # no row shows it
            told = f"slice {use.number}, for the result, was burned by the {score.burned_by}: {score.reason}"
            self._live.report(f"{self._label}{one_line(told)}")

    def warned(self, line: str) -> None:
        self._live.report(f"{self._label}warning: {one_line(line)}")
