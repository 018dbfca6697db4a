"""An observer that keeps `work.json` up to date, for `agent watch` and others that look at a run from outside."""

import os
from collections.abc import Callable
from dataclasses import replace

from agent.execution.host import utc_now
from agent.execution.slots import Slot
from agent.report.live.work import Phase, Work, WorkItem
from agent.run.open_run import Observer
from agent.store.paths import RunPaths
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.repeat import Repeat
from agent.trials.steering import RunEvent
from agent.trials.trial import Trial


class WorkRecorder:
    """Passes all events of a run on to another observer, and records what the run is doing after each."""

    def __init__(self, inner: Observer, paths: RunPaths, proposer: str = "", now: Callable[[], str] = utc_now) -> None:
        """Write the file, so that it is this process's.

        Args:
            proposer: who proposes: a mode, or a coding agent.
            now: returns the time as the journal writes it.
        """
        self._inner = inner
        self._paths = paths
        self._proposer = proposer
        self._now = now
        self._items: dict[str, WorkItem] = {}
        self._devices: dict[int, str] = {}
        self._write()

    def proposing(self, number: int) -> None:
        self._add("proposal", WorkItem("proposal", number, "proposing", self._now(), detail=self._proposer))
        self._inner.proposing(number)

    def proposed(self, number: int) -> None:
        self._remove("proposal")
        self._inner.proposed(number)

    def waits_for_approval(self, trial: Trial) -> None:
        self._inner.waits_for_approval(trial)

    def started(self, trial: Trial, slot: Slot) -> None:
        if not trial.is_refused:
            self._devices[slot.number] = slot.device
            item = WorkItem("trial", trial.number, "training", self._now(), slot.number)
            self._add(f"trial {trial.number}", item)
        self._inner.started(trial, slot)

    def scoring(self, what: Trial | Repeat) -> None:
        self._enter(what, "scoring")
        self._inner.scoring(what)

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        self._remove(f"trial {trial.number}")
        self._inner.finished(trial, previous)

    def repeating(self, repeat: Repeat, slot: Slot) -> None:
        self._devices[slot.number] = slot.device
        self._add("repeat", WorkItem("repeat", repeat.trial, "training", self._now(), slot.number))
        self._inner.repeating(repeat, slot)

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        self._remove("repeat")
        self._inner.repeated(repeat, trial)

    def voided(self, void: VoidedAttempt, trial: int) -> None:
        self._again(trial)
        self._inner.voided(void, trial)

    def lost(self, lost: LostAttempt, trial: int) -> None:
        self._again(trial)
        self._inner.lost(lost, trial)

    def recorded(self, event: RunEvent) -> None:
        self._inner.recorded(event)

    def slice_opened(self, use: SliceUse) -> None:
        self._add("slice", WorkItem("slice", use.number, "comparing", self._now(), detail=", ".join(use.entrants)))
        self._inner.slice_opened(use)

    def slice_scored(self, use: SliceUse) -> None:
        self._remove("slice")
        self._inner.slice_scored(use)

    def warned(self, line: str) -> None:
        self._inner.warned(line)

    def _again(self, trial: int) -> None:
        """Record that a trial or its repeat, whichever runs, is trained again."""
        for key in (f"trial {trial}", "repeat"):
            if (item := self._items.get(key)) is not None and item.number == trial:
                self._add(key, replace(item, phase="training"))

    def _enter(self, what: Trial | Repeat, phase: Phase) -> None:
        key = "repeat" if isinstance(what, Repeat) else f"trial {what.number}"
        if (item := self._items.get(key)) is not None:
            self._add(key, replace(item, phase=phase))

    def _add(self, key: str, item: WorkItem) -> None:
        self._items[key] = item
        self._write()

    def _remove(self, key: str) -> None:
        if self._items.pop(key, None) is not None:
            self._write()

    def _write(self) -> None:
        Work(os.getpid(), tuple(self._items.values()), self._devices).write(self._paths)
