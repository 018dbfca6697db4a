"""Keeps idle slots busy while trials train for a time, so that each of them shares the machine with as many jobs.

The baseline runs alone, and at the end of a run fewer trials are in flight than before. Jobs share processors, memory
bandwidth and power, so these trials would train more steps in the same time, and the canary of an idle machine would be
the wrong reference. So a slot without a trial runs the canary.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

from agent.execution.slots import Slot, StoppedError, in_slot
from agent.execution.speed.probe import SpeedProbe
from agent.execution.workers import in_thread


class Fillers:
    """Canaries in idle slots, one each. Used by the deciding thread alone."""

    def __init__(self, probe: SpeedProbe | None) -> None:
        """`probe`: of the trials; None: the machine's speed decides nothing, and no slot is filled."""
        self._probe = probe
        self._running: dict[int, tuple[threading.Event, Future[Any]]] = {}  # by number of the slot

    def fill(self, slots: Iterable[Slot]) -> None:
        """Start a canary in each of these slots that has none."""
        probe = self._probe
        if probe is None:
            return
        for slot in slots:
            if slot.number not in self._running:
                stop = threading.Event()
                self._running[slot.number] = stop, in_thread(partial(in_slot, slot, stop, probe.occupy))

    def clear(self, slot: Slot) -> None:
        """End the canary in a slot, if one runs there.

        Raises:
            MachineError, SandboxError: it had failed.
        """
        found = self._running.pop(slot.number, None)
        if found is None:
            return
        stop, ended = found
        stop.set()
        fault = ended.exception()
        if fault is not None and not isinstance(fault, StoppedError):
            raise fault

    def close(self) -> None:
        """End all canaries, whether or not they had failed."""
        for stop, _ in self._running.values():
            stop.set()
        for _, ended in self._running.values():
            ended.exception()
        self._running.clear()
