"""Slices of unseen data that a run opens: to confirm a gain, and once more to publish the result.

All models that a slice compares are trained before it is opened (agent.run.one_slice).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.execution.slices.source import Answers, SliceSource
from agent.execution.workers import Steps
from agent.run.one_slice import (
    MAX_BURNED,
    Searched,
    SliceModel,
    baseline_of,
    model_of,
    models_of_result,
    needs_another_slice,
    opener_of,
    score_of_result,
    show,
)
from agent.run.open_run import Run
from agent.run.records import Records
from agent.store.paths import RunPaths
from agent.trials.events import SliceOpened, SliceScored
from agent.trials.history import History
from agent.trials.keeping.confirmations import (
    BASELINE,
    CHALLENGER,
    CHAMPION,
    RESULT,
    SlicePurpose,
    SliceScore,
    SliceUse,
    gap_flag,
)
from agent.trials.repeat import Repeat, RepeatVerdict
from agent.trials.trial import KeepState, Score


def rehearse(slices: SliceSource, paths: RunPaths, score: Score) -> str:
    """Return why no gain can be confirmed although there are slices; empty if gains can be.

    It evaluates the baseline, just trained and with this score, on data that every scoring job sees anyway.
    """
    baseline = SliceModel(BASELINE, 0, 0, paths.trial(0))
    label = f"{paths.run_id}/rehearsal"
    return slices.why_none(baseline.contender, score, folder=paths.rehearsal, label=label) or ""


def decide_on_slices(run: Run, slices: SliceSource, repeat: Repeat) -> Steps[RepeatVerdict]:
    """Open the next slice for a trained challenger, and return the verdict."""
    trial = repeat.trial
    uses = list(repeat.slices)
    for use in uses:  # opened by a killed process
        run.keeper.tests.take(trial, use)
    models = _challenge(run, repeat)
    while not uses or (_is_undecided(uses[-1]) and len(uses) < MAX_BURNED and not run.keeper.is_used_up):
        shown = yield from _show(run, slices, SlicePurpose.CONFIRM, models)
        if shown is None:
            return RepeatVerdict(
                KeepState.PROVISIONAL, None, "the pool is used up: no slice is left to confirm the gain on"
            )
        run.keeper.tests.take(trial, shown)
        uses.append(shown)
    return run.keeper.verdict_on(trial, uses[-1])


def publish_on_slice(run: Run, slices: SliceSource) -> Steps[SliceUse | None]:
    """Open one slice for the final runs of the result, the champion and the baseline; return it, None if none is left.

    Once scored, the slice is final for that result, however often the run is resumed. So is a slice that a model other
    than the baseline burned: otherwise a model could exit on an unlucky slice to be evaluated on another.
    """
    result = run.keeper.result
    assert result is not None
    uses = [use for use in run.history.slices if _is_final(use, result)]
    models = [baseline_of(run), *models_of_result(run, result)]
    while not uses or needs_another_slice(uses):
        use = yield from _show(run, slices, SlicePurpose.FINAL, models)
        if use is None:
            return None
        uses.append(use)
    return uses[-1]


def drop_artifacts(history: History, paths: RunPaths, champion: int | None) -> None:
    """Remove the artifacts of repeats that no slice will need: all but those of the champion and of provisional trials.

    A provisional trial may become the champion. Models of the next challenger are then compared with its models under
    the same training seeds, also with those of tests that were not enough to confirm it.
    """
    for repeat in history.repeats:
        if repeat.trial != champion and history.trial(repeat.trial).standing is not KeepState.PROVISIONAL:
            paths.trial(repeat.trial).repeat(repeat.seed).artifact.unlink(missing_ok=True)


def _is_undecided(use: SliceUse) -> bool:
    """Whether the slice is unscored, or burned by a model other than the challenger: the next one may be opened."""
    return use.score is None or (use.score.is_burned and use.score.burned_by != CHALLENGER)


def _is_final(use: SliceUse, result: int) -> bool:
    return use.purpose is SlicePurpose.FINAL and any(
        name.startswith(RESULT) and entrant.trial == result for name, entrant in use.entrants.items()
    )


def _champion(run: Searched, seed: int) -> list[SliceModel]:
    """Return the champion's model to compare with one trained under `seed`; none if it is the baseline's own."""
    champion = run.keeper.champion
    assert champion is not None
    own = run.keeper.champion_seed(seed)
    is_baseline = champion == 0 and own == run.history.trials[0].proposal.train_seed
    return [] if is_baseline else [model_of(run, CHAMPION, champion, own)]


def _challenge(run: Searched, repeat: Repeat) -> list[SliceModel]:
    challenger = model_of(run, CHALLENGER, repeat.trial, repeat.seed)
    return [baseline_of(run), *_champion(run, repeat.seed), challenger]


@dataclass(frozen=True)
class _Journaled:
    """Records the slices that a run opens in its journal."""

    records: Records

    @property
    def opener(self) -> str:
        return opener_of(self.records)

    @property
    def about(self) -> Collection[str]:
        return ()

    @property
    def taken(self) -> Collection[int]:
        return [use.number for use in self.records.history.slices]

    @property
    def opened(self) -> SliceUse | None:
        return self.records.history.opened

    def record(self, event: SliceOpened | SliceScored) -> SliceUse:
        return self.records.add(event)

    def folder(self, number: int) -> Path:
        return self.records.paths.slice(number)

    def label(self, number: int) -> str:
        return f"{self.records.run_id}/slice-{number:03d}"


def _show(run: Run, slices: SliceSource, purpose: SlicePurpose, models: Sequence[SliceModel]) -> Steps[SliceUse | None]:
    """Open the next slice, or the one that a killed process opened, and score it; None if none is left."""
    first = run.baseline
    scored = yield from show(
        slices,
        _Journaled(run.records),
        purpose,
        models,
        lambda answers: _score(run, slices, models, answers),
        baseline=first.score if first is not None else None,
        clock=run.clock,
        opened=run.observer.slice_opened,
    )
    if scored is not None:
        run.observer.slice_scored(scored)
    return scored


def _score(run: Searched, slices: SliceSource, models: Sequence[SliceModel], answers: Answers) -> SliceScore:
    """Return the score of a slice: the leads that decide or are published, and flags for what is odd about them."""
    score = score_of_result(answers, models, run.keeper)
    names = [model.name for model in models]
    if CHALLENGER not in names:
        return score
    over_baseline = answers.lead([CHALLENGER], BASELINE)
    leads = {**score.leads, f"{CHALLENGER}-{BASELINE}": over_baseline}
    if CHAMPION in names:
        leads[f"{CHALLENGER}-{CHAMPION}"] = answers.lead([CHALLENGER], CHAMPION)
    own, first = run.history.repeating, run.history.trials[0].val_loss
    assert own is not None
    assert own.trained is not None
    gap = ""
    if first is not None and own.trained.val_loss is not None:
        lead = first - own.trained.val_loss
        gap = gap_flag(over_baseline, lead, slices.n_items, slices.n_standing) or ""
    return replace(score, leads=leads, gap=gap)
