"""The console output of `agent run`: one line per trial and, on a terminal, a live progress line."""

import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from agent.report import terminal, trial_table
from agent.store.paths import RunPaths
from agent.text import one_line, plural, read_tail
from agent.trials.confirmations import SlicePurpose, SliceUse
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

_PROGRESS = re.compile(r"progress +(\d(?:\.\d+)?)")
_LOSS = re.compile(r"\bloss +([\d.]+|nan|inf)")


class _Reported(TextColumn):
    """Moves the progress bar at each refresh, by the progress that the script reports at the end of its log."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        log: Path | None = task.fields.get("log")
        if log is None:
            return Text("")
        said = read_tail(log)[-2000:]
        progress, loss = _PROGRESS.findall(said), _LOSS.findall(said)
        if progress:
            task.completed = min(float(progress[-1]), 1.0)
        return Text(f"loss {loss[-1]} (reported)" if loss else "", style="dim")


class LiveConsole:
    """The console, with a live line below the output on a terminal. Several screens may share it."""

    def __init__(self, quiet: bool = False) -> None:
        """`quiet`: show nothing."""
        self._console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True)
        self.colour = self._console.is_terminal
        self._headed = False
        self._what = ""
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if self._console.is_terminal and not quiet:
            self._progress = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn(),
                _Reported(), console=self._console, transient=True, refresh_per_second=4,
            )  # fmt: skip

    def report(self, line: str) -> None:
        """Print one line above the live one."""
        self._console.print(Text.from_ansi(line))

    def row(self, line: str, metric: Metric, label: str = "") -> None:
        """Print a label and one row of the table of trials, cut to the terminal's width."""
        columns = self._console.width - len(label) if self._console.is_terminal else None
        self.report(label + terminal.row(line, columns, trial_table.spared(metric)))

    def head(self, metric: Metric, label: str = "") -> None:
        """Print the heading of the table; later calls do nothing."""
        if not self._headed:
            self._headed = True
            self.row(trial_table.paint(trial_table.header(metric), "1", self.colour), metric, " " * len(label))

    def show(self, what: str, log: Path | None = None) -> None:
        """Show `what` on the live line, with the progress that `log` reports."""
        self._what = what
        if self._progress is None:
            return
        self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=1.0 if log else None, log=log)

    def replying(self, n_tokens: int) -> None:
        """Show how many tokens of the model's reply have arrived."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=f"{self._what}, {plural(n_tokens, 'token')}")

    def close(self) -> None:
        """Restore the terminal. Safe to call twice."""
        if self._progress is not None:
            self._progress.stop()


class ConsoleObserver:
    """An Observer that prints the events of a run, as plain lines if the output is not a terminal."""

    def __init__(
        self, metric: Metric, paths: RunPaths, hash_of: Callable[[int], str | None], live: LiveConsole, label: str = ""
    ) -> None:
        """`label` begins every line about this run, to tell interleaved runs apart."""
        self._metric = metric
        self._paths = paths
        self._hash_of = hash_of
        self._live = live
        self._label = label

    def proposing(self, number: int) -> None:
        self._live.show(f"{self._label}trial {number}: proposing")

    def started(self, trial: Trial) -> None:
        if trial.proposal.refused is None:
            title = one_line(trial.proposal.title)[:44]
            log = self._paths.trial(trial.number).log
            self._live.show(f"{self._label}trial {trial.number}: training, {title}", log)

    def scoring(self, trial: Trial) -> None:
        self._live.show(f"{self._label}trial {trial.number}: scoring")

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        colour = self._live.colour
        self._live.head(self._metric, self._label)
        line = trial_table.trial_line(trial, self._hash_of(trial.number), previous, self._metric, colour)
        self._live.row(line, self._metric, self._label)

    def repeating(self, repeat: Repeat) -> None:
        log = self._paths.trial(repeat.trial).repeat(repeat.seed).log
        self._live.show(f"{self._label}trial {repeat.trial} again: {trial_table.purpose(repeat, self._metric)}", log)

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        line = trial_table.repeat_line(repeat, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)

    def voided(self, void: VoidedAttempt, trial: int) -> None:
        line = trial_table.void_line(void, trial, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)

    def lost(self, lost: LostAttempt, trial: int) -> None:
        line = trial_table.lost_line(lost, trial, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)

    def slice_opened(self, use: SliceUse) -> None:
        self._live.show(f"{self._label}slice {use.number}: {', '.join(use.entrants)}")

    def slice_scored(self, use: SliceUse) -> None:
        score = use.score
        if score is not None and score.is_burned and use.purpose is SlicePurpose.FINAL:  # no row shows it
            told = f"slice {use.number}, for the result, was burned by the {score.burned_by}: {score.reason}"
            self._live.report(f"{self._label}{one_line(told)}")
