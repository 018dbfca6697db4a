"""The observer that prints the events of a run to a console."""

from collections.abc import Callable

from agent.execution.slots import Slot
from agent.report import trial_table
from agent.report.live.console import LiveConsole, worker
from agent.report.live.work import proposing_text, repeat_text, scoring_text, slice_text, training_text
from agent.report.steering.messages import event_line
from agent.store.paths import RunPaths
from agent.text import cut, one_line
from agent.trials.keeping.confirmations import SlicePurpose, SliceUse
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.steering import PersonMessage, RunEvent
from agent.trials.trial import Trial


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
        proposer: str = "",
        model: str | None = None,
        runs_option: str = "",
        confirmed: Callable[[Trial], None] = lambda _trial: None,
    ) -> None:
        """Print to `live`.

        Args:
            label: begins every line about this run, to distinguish interleaved runs.
            proposer: who proposes: a mode, or a coding agent.
            model: name of the model whose replies are counted.
            runs_option: what other commands need to find the run, such as ` --runs DIR`.
            confirmed: called with each trial whose gain a fresh run has confirmed.
        """
        self._metric = metric
        self._paths = paths
        self._hash_of = hash_of
        self._live = live
        self._label = label
        self._runs_option = runs_option
        self._confirmed = confirmed
        self._proposer, self._model = proposer, model
        self._proposal, self._slice = f"{label}proposal", f"{label}slice"  # live lines
        self._workers: dict[int, str] = {}  # the live line of each trial that runs
        self._repeats = ""  # the live line of the repeat that runs

    def proposing(self, number: int) -> None:
        self._live.propose(self._proposal, f"{self._label}{proposing_text(number, self._proposer)}", self._model)

    def proposed(self, number: int) -> None:
        self._live.clear(self._proposal)

    def waits_for_approval(self, trial: Trial) -> None:
        line, option = f"{self._label}trial {trial.number} {trial_table.WAITS}", self._runs_option
        self._live.demand(f"{line}: {cut(one_line(trial.proposal.title), trial_table.MAX_TITLE_WIDTH)}")
        name = f"{self._paths.run_id}/{trial.number}"
        commands = (f"agent {verb} {name}{option}" for verb in ("show", "approve", "refuse"))
        self._live.demand(f"{self._label}  {' · '.join(commands)}")
        self._live.show(f"{self._label}approval {trial.number}", line)

    def started(self, trial: Trial, slot: Slot) -> None:
        self._live.clear(f"{self._label}approval {trial.number}")
        if not trial.is_refused:
            log = self._paths.trial(trial.number).log
            self._workers[trial.number] = worker(slot)
            self._live.show(worker(slot), f"{self._label}{training_text(trial)}", log)

    def scoring(self, what: Trial | Repeat) -> None:
        about = self._repeats if isinstance(what, Repeat) else self._workers[what.number]
        self._live.show(about, f"{self._label}{scoring_text(what)}", is_continued=True)

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        self._live.clear(self._workers.pop(trial.number, ""))
        colour = self._live.colour
        self._live.head(self._metric, self._label)
        line = trial_table.trial_line(trial, self._hash_of(trial.number), previous, self._metric, colour)
        self._live.row(line, self._metric, self._label)
        self._live.advance(trial.number)

    def repeating(self, repeat: Repeat, slot: Slot) -> None:
        log = self._paths.trial(repeat.trial).repeat(repeat.seed).log
        self._repeats = worker(slot)
        self._live.show(self._repeats, f"{self._label}{repeat_text(repeat, self._metric)}", log)

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        self._live.clear(self._repeats)
        line = trial_table.repeat_line(repeat, self._metric, self._live.colour)
        self._live.row(line, self._metric, self._label)
        if repeat.verdict is not None and repeat.verdict.standing.holds:
            self._confirmed(trial)

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
        self._live.show(self._slice, f"{self._label}{slice_text(use.number, ', '.join(use.entrants))}")

    def slice_scored(self, use: SliceUse) -> None:
        self._live.clear(self._slice)
        score = use.score
        if score is not None and score.is_burned and use.purpose is SlicePurpose.FINAL:  # no row shows it
            line = f"slice {use.number}, for the result, was burned by the {score.burned_by}: {score.reason}"
            self._live.report(f"{self._label}{one_line(line)}")

    def warned(self, line: str) -> None:
        self._live.report(f"{self._label}warning: {one_line(line)}")
