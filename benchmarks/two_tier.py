"""A simulated run under the product's keep rule: trials in one or several slots, judged when they end.

The baseline runs first and alone. A repeat is the next to start in a free slot; one runs at a time, beside trials. Its
verdict is about the trial that it was started for, even if the incumbent has changed since.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

import numpy as np

from agent.trials.keeping.keep_rule import FINAL_RUNS, HELD_OUT_SEED, KeepPolicy, KeepRule, RepeatRequest, closing_runs
from agent.trials.repeat import Purpose
from benchmarks.simulated_days import CRASH_SECONDS, RUN_SECONDS, Day, Ended, Script, ended
from benchmarks.simulated_slices import Slices


@dataclass(frozen=True)
class Job:
    """A trial or repeat that was started, with the loss that it will have."""

    trial: int
    loss: float | None  # None: it crashes
    repeat: RepeatRequest | None = None


@dataclass
class Slots:
    """A simulated clock: jobs start now, in a free slot, and end in the order of their ends."""

    width: int = 1
    jitter: float = 0.0  # standard deviation of a job's duration, as a share of it
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    now: float = 0.0  # seconds
    _running: list[tuple[float, int, Job]] = field(default_factory=list)  # end, order of the start, job
    _n_started: int = 0

    @property
    def n_running(self) -> int:
        return len(self._running)

    @property
    def device_seconds(self) -> float:
        """The time of all slots so far, and that of the running jobs until they end."""
        return self.width * self.now + sum(end - self.now for end, _, _ in self._running)

    def start(self, job: Job, seconds: float) -> None:
        assert self.n_running < self.width
        if self.jitter:
            seconds *= 1 + self.jitter * float(self.rng.standard_normal())
        heapq.heappush(self._running, (self.now + seconds, self._n_started, job))
        self._n_started += 1

    def finish(self) -> Job:
        """Advance the clock to the next end of a job; return that job."""
        self.now, _, job = heapq.heappop(self._running)
        return job


class TwoTier(Generic[Script]):
    """A run of `day` in which the product's KeepPolicy decides."""

    def __init__(self, day: Day[Script], rule: KeepRule, slots: Slots, slice_error: float = 0.0) -> None:
        """`slice_error`: standard deviation of the difference of two models on one slice, in the unit of the loss."""
        self.keeper = KeepPolicy(rule)
        self._day, self._slots = day, slots
        self._slices = Slices(slice_error, day.slices)
        self._scripts: list[Script | None] = [day.search.first()]  # by trial; None: it crashes
        self._is_repeating = False

    def run(self) -> Iterator[Job]:
        """Yield trials and repeats as they end, until the day's time is spent but for the closing runs."""
        self._start(0, None)
        yield self._finish()
        while self._start_next():
            yield self._finish()

    def close(self) -> Ended:
        """Run the closing repeats, one at a time; report fresh runs of the champion."""
        keeper = self.keeper
        while (wanted := keeper.final(FINAL_RUNS)) is not None:
            self._start(wanted.trial, wanted)
            self._finish()
        champion = keeper.champion or 0
        reported = keeper.reading(champion).mean
        if keeper.on_slices and champion:
            held_out = [seed for seed in keeper.losses(champion) if seed >= HELD_OUT_SEED]
            reported = self._day.search.loss(self._script(0)) - self._slices.published(champion, held_out)
        return ended(self._day, self._script(champion), reported, self._slices.counts)

    def _start_next(self) -> bool:
        """Fill the free slots; return whether anything runs."""
        closing = closing_runs(self.keeper.rule, FINAL_RUNS)
        while self._slots.n_running < self._slots.width and self._day.seconds_left >= RUN_SECONDS * (1 + closing):
            wanted = None if self._is_repeating else self.keeper.next_repeat()
            if wanted is not None:
                self._start(wanted.trial, wanted)
            else:
                self._scripts.append(self._day.edited(self._script(self.keeper.incumbent or 0)))
                self._start(len(self._scripts) - 1, None)
        return self._slots.n_running > 0

    def _start(self, trial: int, repeat: RepeatRequest | None) -> None:
        if self._scripts[trial] is None:  # charged when it was drawn
            self._slots.start(Job(trial, None), CRASH_SECONDS)
            return
        self._is_repeating |= repeat is not None
        loss = self._day.run(self._script(trial), extra=repeat is not None)
        self._slots.start(Job(trial, loss, repeat), RUN_SECONDS)

    def _finish(self) -> Job:
        job = self._slots.finish()
        if job.repeat is not None:
            self._judge(job.repeat, job.loss)
            return job
        self._day.search.learn(job.trial, job.loss)
        if job.loss is not None:
            is_better = self.keeper.improves(0, job.loss)
            self._read(job.trial, 0, job.loss)
            if is_better:
                self.keeper.keep(job.trial)
        return job

    def _judge(self, repeat: RepeatRequest, loss: float | None) -> None:
        assert loss is not None, "a script that ran once runs again"
        self._is_repeating = False
        self._read(repeat.trial, repeat.seed, loss)
        if repeat.purpose is not Purpose.CONFIRM:
            return
        keeper, before = self.keeper, self.keeper.champion
        decide = partial(self._slices.decide, keeper) if keeper.on_slices else keeper.verdict
        keeper.move(repeat.trial, decide(repeat.trial, repeat.seed).standing)
        if keeper.champion != before:
            self._day.claim(self._script(repeat.trial), self._script(before or 0))

    def _read(self, trial: int, seed: int, loss: float) -> None:
        self._slices.losses[trial, seed] = loss - self._day.offset(self._script(trial))
        self.keeper.read(trial, seed, loss)

    def _script(self, trial: int) -> Script:
        script = self._scripts[trial]
        assert script is not None, "only scripts that ran are edited, repeated or claimed"
        return script


def two_tier(day: Day[Script], rule: KeepRule, slice_error: float = 0.0, width: int = 1) -> Ended:
    """Let the product's KeepPolicy decide; report fresh runs of its champion.

    Args:
        slice_error: standard deviation of the difference of two models on one slice, in the unit of the loss, where
            the rule has slices.
        width: trials in flight.
    """
    run = TwoTier(day, rule, Slots(width), slice_error)
    for _ in run.run():
        pass
    return run.close()
