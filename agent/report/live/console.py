"""The console output of `agent run`: one line per trial and, on a terminal, live lines about what is in flight."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agent.execution.slots import Slot
from agent.report import trial_table
from agent.text import plural, read_tail, width_of
from agent.trials.metric import Metric

_PROGRESS = re.compile(r"progress +(\d(?:\.\d+)?)")
_LOSS = re.compile(r"\bloss +([\d.]+|nan|inf)")
_WIDE = 110  # columns of a terminal
_BAR_WIDTHS = (10, 24)  # on a narrower one, and on a wide one
_TRIALS_A_LINE = 10  # off a terminal, between two lines about how far the run is


@dataclass
class _Line:
    """A live line about work in progress."""

    what: str
    log: Path | None  # of the script, which reports progress and loss at its end; None: the bar has no end
    began: float  # by the monotonic clock
    n_tokens: int = 0  # of a model's reply, so far
    model: str | None = None  # its name
    done: float = 0.0  # share of the budget, as reported

    def cells(self, device: str, bar_width: int) -> tuple[Text, ProgressBar, Text, Text]:
        """Return the line as cells: what it is about, a bar, the time since it began, and the loss reported last."""
        now = time.monotonic()
        tail = read_tail(self.log)[-2000:] if self.log is not None else ""
        progress, loss = _PROGRESS.findall(tail), _LOSS.findall(tail)
        if progress:
            self.done = min(float(progress[-1]), 1.0)
        writer = f" by {self.model}" if self.model else ""
        tokens = f", {plural(self.n_tokens, 'token')}{writer}" if self.n_tokens else ""
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

    def __init__(self, *, quiet: bool = False, colour: bool = True, moves: bool = True) -> None:
        """Print to standard output.

        Args:
            quiet: show nothing.
            colour: whether a terminal shows colours; moves: whether it can draw lines again, so that some are live.
        """
        self._is_quiet = quiet
        self._console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True)
        self.colour = self._console.is_terminal and colour
        self._how_far: Callable[[], str] | None = None
        self._progress = ""  # the last live line
        self._headed = False
        self._lines: dict[str, _Line] = {}  # by what they are about
        self._devices: dict[str, str] = {}  # of the workers, once the screen is split
        self._proposal: _Line | None = None  # the line of the latest proposal
        self._spinner = Spinner("dots", style="progress.spinner" if colour else "none")
        self._live: Live | None = None
        if self._console.is_terminal and moves and not quiet:
            self._live = Live(console=self._console, get_renderable=self._view, transient=True, refresh_per_second=4)

    def split(self, slots: Sequence[Slot]) -> None:
        """Show one line for each of these slots from now on, and one for each proposal."""
        self._devices = {worker(slot): slot.device for slot in slots}

    def follow(self, how_far: Callable[[], str]) -> None:
        """Show how far a run is from now on, on the last live line, whenever one of its trials has finished.

        Without live lines, print it after the baseline and after every tenth trial.
        """
        self._how_far = how_far
        self._progress = how_far()

    def advance(self, number: int) -> None:
        """Show how far the run is, now that a trial of that number has finished."""
        if self._how_far is None:
            return
        self._progress = self._how_far()
        if self._live is not None and self._live.is_started:
            self._live.refresh()
        elif self._live is None and number % _TRIALS_A_LINE == 0:
            self.report(self._progress)

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
        columns = max(1, self._console.width - width_of(label)) if self._console.is_terminal else None
        self.report(label + trial_table.fitted_row(line, metric, columns))

    def head(self, metric: Metric, label: str = "") -> None:
        """Print the heading of the table; later calls do nothing."""
        if not self._headed:
            self._headed = True
            self.row(trial_table.paint(trial_table.header(metric), "1", self.colour), metric, " " * len(label))

    def show(self, about: str, what: str, log: Path | None = None, *, is_continued: bool = False) -> None:
        """Show `what` on a live line, with the progress that `log` reports.

        Args:
            about: what the line is about, such as `worker(slot)`. It decides only on a split screen.
            is_continued: on a split screen, the time continues from what the line showed before.
        """
        if not self._devices:
            self._lines.clear()
        before = self._lines.get(about) if is_continued else None
        self._lines[about] = _Line(what, log, before.began if before is not None else time.monotonic())
        if self._live is not None:
            self._live.start()

    def propose(self, about: str, what: str, model: str | None = None) -> None:
        """Show a proposal in progress, with the length of the reply of a model of that name."""
        self.show(about, what)
        self._lines[about].model = model
        self._proposal = self._lines[about]

    def clear(self, about: str) -> None:
        """Remove a line of a split screen."""
        if self._devices:
            self._lines.pop(about, None)

    def replying(self, n_tokens: int) -> None:
        """Show how many tokens of the model's reply have arrived."""
        if self._proposal is not None:
            self._proposal.n_tokens = n_tokens

    def close(self) -> None:
        """Restore the terminal. Safe to call twice."""
        if self._live is not None:
            self._live.stop()

    def _view(self) -> Group:
        """Return the live lines: of all workers in their order, of proposals and slices, and how far the run is."""
        progress = [Text(self._progress, no_wrap=True, overflow="ellipsis")] if self._progress else []
        return Group(self._work(), *progress)

    def _work(self) -> Table:
        """Return the live lines about work in progress."""
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
