"""One slice for the results of all runs of a comparison, and the leads of runs and modes on it.

All models answer it in the same rounds, so every difference is paired. None of these runs has opened the slice: it is
reserved before the first run opens any.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from agent.analysis.comparison import Comparison
from agent.analysis.unseen.slice_file import SliceFile
from agent.execution.host import Clock
from agent.execution.slices.source import Answers
from agent.execution.workers import finished
from agent.run.one_slice import Searched, SliceModel, baseline_of, models_of_result, needs_another_slice, show
from agent.run.open_run import Run
from agent.store.paths import RunsFolder
from agent.text import Say, plural
from agent.trials.keeping.confirmations import BASELINE, CHAMPION, SlicePurpose, SliceScore, SliceUse
from agent.trials.keeping.noise import Lead, mean_of

MOST_MODELS = 24
"""Limit on models alive at once. If there would be more, each run enters with one."""
_ASKS = "slice"


@dataclass(frozen=True)
class CommonSlice:
    """The losses and leads of all results on one slice. Losses are minimised."""

    use: SliceUse  # scored; perhaps burned
    score_kind: str  # of the task: text or examples
    is_current: bool  # whether the runs still have the same results as when the slice was opened

    @property
    def score(self) -> SliceScore:
        assert self.use.score is not None
        return self.use.score

    @property
    def baseline(self) -> float:
        """The loss of the baseline, with which all results are compared."""
        return self.score.losses[BASELINE]

    def loss(self, run_id: str) -> float:
        """Return the loss of a run's result: the mean over its models."""
        return mean_of(loss for name, loss in self.score.losses.items() if _run_of(name) == run_id)

    def lead(self, name: str) -> Lead:
        """Return the lead of a run's result over the baseline, or that of a mode: the mean over its runs."""
        return self.score.lead(name, BASELINE)

    def difference(self, mode: str, reference: str) -> Lead:
        """Return a mode's mean loss over its runs minus the reference's, with the sampling error."""
        if f"{reference}-{mode}" in self.score.leads:
            return self.score.lead(reference, mode)
        lead = self.score.lead(mode, reference)
        return Lead(-lead.mean, lead.error)

    def to_json(self) -> dict[str, Any]:
        leads = {pair: {"mean": lead.mean, "error": lead.error} for pair, lead in self.score.leads.items()}
        return {
            "slice": self.use.number,
            "opened_at": self.use.opened_at,
            "n_other_runs": self.use.n_other_runs,
            "current": self.is_current,
            "losses": dict(self.score.losses),
            "leads": leads,
            "burned_by": self.score.burned_by or None,
            "reason": self.score.reason,
        }


def reserve(comparison: Comparison, runs: RunsFolder, open_runs: Sequence[Run]) -> None:
    """Reserve the slice for the results, so that no run opens it. Every run has started, and has a baseline."""
    slices = open_runs[0].executor.slices
    if slices is None or not _have_slices(open_runs):
        return
    record = _record(comparison, runs, open_runs)
    slices.openings.reserve(record.opener, slices.n_slices, record.taken, record.about)


def finish(comparison: Comparison, runs: RunsFolder, open_runs: Sequence[Run], say: Say) -> bool:
    """Score a slice that a killed process had opened, before the runs get other results; return whether there is one.

    Raises what `compare_on_slice` raises.
    """
    if not runs.run(comparison.name).unseen.exists() or _record(comparison, runs, open_runs).opened is None:
        return False
    return compare_on_slice(comparison, runs, open_runs, say)


def compare_on_slice(comparison: Comparison, runs: RunsFolder, open_runs: Sequence[Run], say: Say) -> bool:
    """Open one slice for the results of all runs, which have ended; return whether it was opened.

    It is opened once for the same results.

    Raises:
        JournalError: a model's file is missing, or the disk is full.
        SandboxError: a sandbox failed, not a script.
    """
    slices = open_runs[0].executor.slices
    if slices is None or not _have_slices(open_runs):
        return False
    record = _record(comparison, runs, open_runs)
    models = [baseline_of(open_runs[0]), *_models(open_runs)]
    known = _of_results(record.slices, _entered(models))
    if known and not needs_another_slice(known):
        return False
    first = open_runs[0].history.trials[0].outcome
    while not known or needs_another_slice(known):
        use = finished(
            show(
                slices,
                record,
                SlicePurpose.COMPARE,
                models,
                lambda answers: _score(comparison, answers),
                baseline=first.score if first is not None else None,
                clock=Clock(),
                opened=lambda use: say(
                    f"slice {use.number}, which none of the runs has opened, is scored for "
                    f"{plural(len(models), 'model')}"
                ),
            )
        )
        if use is None:
            say(
                "these runs have opened all slices, so their results are not compared on one; "
                "a larger pool has more (docs/tasks.md)"
            )
            return False
        known.append(use)
    return True


def on_common_slice(comparison: Comparison, runs: RunsFolder, stored: Sequence[Searched]) -> CommonSlice | None:
    """Return the results on the slice that was scored last; None if there is none.

    Raises:
        JournalError: the comparison's file of slices cannot be read.
    """
    if not stored or not stored[0].history.trials or not runs.run(comparison.name).unseen.exists():
        return None
    record = _record(comparison, runs, stored)
    scored = [use for use in record.slices if use.score is not None]
    if not scored:
        return None
    have_results = all(run.keeper.result is not None for run in stored)
    entered = _entered([baseline_of(stored[0]), *_models(stored)]) if have_results else {}
    first = stored[0].history.trials[0].outcome
    kind = first.score.kind if first is not None and first.score is not None else ""
    return CommonSlice(scored[-1], kind, is_current=bool(_of_results(scored[-1:], entered)))


def _record(comparison: Comparison, runs: RunsFolder, searched: Sequence[Searched]) -> SliceFile:
    paths = runs.run(comparison.name)
    return SliceFile(paths.unseen, paths, searched, _ASKS)


def _have_slices(runs: Sequence[Run]) -> bool:
    """Return whether all these runs confirm their gains on slices. Runs of one task share one pool."""
    return all(run.executor.slices is not None and run.keeper.on_slices for run in runs)


def _models(searched: Sequence[Searched]) -> list[SliceModel]:
    """Return the models of all results; for a run without a confirmed gain, its own baseline's."""
    found = [list(_of_run(run)) for run in searched]
    if 1 + sum(map(len, found)) > MOST_MODELS:
        found = [of_run[:1] for of_run in found]
    return [model for of_run in found for model in of_run]


def _of_run(run: Searched) -> Iterator[SliceModel]:
    """Yield the models of a run's result: of its final runs, else of the confirming run, else of its baseline."""
    result = run.keeper.result
    every = models_of_result(run, result) if result else [baseline_of(run)]
    held_out = [model for model in every if model.name not in (BASELINE, CHAMPION)]
    for model in held_out or every:
        yield SliceModel(f"{run.paths.run_id}-seed-{model.seed}", model.trial, model.seed, model.paths)


def _run_of(name: str) -> str:
    """Return the run in a model's name on the common slice."""
    return name.rpartition("-seed-")[0]


def _entered(models: Sequence[SliceModel]) -> dict[str, tuple[int, int]]:
    """Return trial and training seed by model, which identify the results."""
    return {model.name: (model.trial, model.seed) for model in models}


def _of_results(uses: Sequence[SliceUse], entered: Mapping[str, tuple[int, int]]) -> list[SliceUse]:
    """Return the slices that were opened for these results."""
    return [use for use in uses if {name: (e.trial, e.seed) for name, e in use.entrants.items()} == dict(entered)]


def _score(comparison: Comparison, answers: Answers) -> SliceScore:
    """Return the leads of each run and each mode over the baseline, and of each mode over the modes listed after it."""
    names = {
        mode: [[name for name in answers.losses if _run_of(name) == run_id] for run_id in run_ids]
        for mode, run_ids in comparison.run_ids().items()
    }
    leads = {f"{_run_of(own[0])}-{BASELINE}": answers.lead(own, BASELINE) for of in names.values() for own in of}
    weighed = {mode: _weighed(of_runs) for mode, of_runs in names.items()}
    leads |= {f"{mode}-{BASELINE}": answers.lead(models, BASELINE) for mode, models in weighed.items()}
    for one, other in combinations(comparison.modes, 2):
        leads[f"{one}-{other}"] = answers.lead(weighed[one], weighed[other])
    return SliceScore(answers.losses, leads, 0.0)


def _weighed(of_runs: Sequence[Sequence[str]]) -> list[str]:
    """Return the models of all runs, repeated so that every run has the same weight in their mean."""
    often = math.lcm(*map(len, of_runs))
    return [name for own in of_runs for name in own for _ in range(often // len(own))]
