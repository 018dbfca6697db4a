"""Slices of unseen text, opened by a run: to confirm a gain, and once more to publish the result.

Everything that a slice is about has been trained before it is opened. That it is opened, and for which files, is on the
disk before any job sees something of it; after a kill it is shown again only to the same files.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import JournalError
from agent.execution.slices.source import Answers, Burned, Contender, SliceSource
from agent.run.open_run import OpenRun
from agent.store.paths import TrialPaths
from agent.trials.confirmations import (
    BASELINE,
    CHALLENGER,
    CHAMPION,
    RESULT,
    Entrant,
    SlicePurpose,
    SliceScore,
    SliceUse,
    dead_flag,
    gap_flag,
)
from agent.trials.events import SliceOpened, SliceScored
from agent.trials.keep_rule import HELD_OUT_SEED
from agent.trials.noise import Lead
from agent.trials.repeat import Purpose, Repeat, Verdict
from agent.trials.trial import Score, Standing

MAX_BURNED = 3  # slices that one test, or the final runs, may use up for nothing
CHANGED = "its files have changed since the slice was opened"


@dataclass(frozen=True)
class Model:
    """A model that a run can put on a slice."""

    name: str
    trial: int
    seed: int
    paths: TrialPaths


def rehearse(run: OpenRun, slices: SliceSource, score: Score) -> str:
    """Return why nothing can be confirmed though there are slices; empty if something can.

    Asks the baseline, which has just been trained and has this score, about what every job sees anyway.
    """
    baseline = Model(BASELINE, 0, 0, run.paths.trial(0))
    label = f"{run.run_id}/rehearsal"
    return slices.why_none(_contender(baseline), score, folder=run.paths.rehearsal, label=label) or ""


def decide_on_slices(run: OpenRun, slices: SliceSource, repeat: Repeat) -> Verdict:
    """Open the next slice for a challenger that has been trained, and return what follows."""
    trial = repeat.trial
    uses = list(repeat.slices)
    for use in uses:  # of a process that was killed
        run.keeper.tests.take(trial, use)
    models = _challenge(run, repeat)
    while not uses or (_is_undecided(uses[-1]) and len(uses) < MAX_BURNED and not run.keeper.is_used_up):
        shown = _show(run, slices, SlicePurpose.CONFIRM, models)
        if shown is None:
            return Verdict(Standing.PROVISIONAL, None, "the pool is used up: no slice is left to confirm it on")
        run.keeper.tests.take(trial, shown)
        uses.append(shown)
    return run.keeper.verdict_on(trial, uses[-1])


def publish_on_slice(run: OpenRun, slices: SliceSource) -> SliceUse | None:
    """Open one slice for the final runs of the result, the champion and the baseline; return it, None if none is left.

    Once it is scored it stands for that result, however often the run goes on. So does one that was burned by another
    than the baseline: a model that ends when it sees that it is unlucky is not asked about other text.
    """
    result = run.keeper.result
    assert result is not None
    uses = [use for use in run.history.slices if _is_final(use, result)]
    while not uses or uses[-1].score is None or (_is_baselines_fault(uses[-1]) and len(uses) < MAX_BURNED):
        use = _show(run, slices, SlicePurpose.FINAL, _final(run, result))
        if use is None:
            return None
        uses.append(use)
    return uses[-1]


def drop_artifacts(run: OpenRun) -> None:
    """Remove what repeats have left behind and no slice will be asked about: all but the champion's."""
    for repeat in run.history.repeats:
        if repeat.trial != run.keeper.champion:
            run.paths.trial(repeat.trial).repeat(repeat.seed).artifact.unlink(missing_ok=True)


def _is_undecided(use: SliceUse) -> bool:
    """Whether the slice was burned by another than the challenger, so that the next one may be opened."""
    return use.score is None or (use.score.is_burned and use.score.burned_by != CHALLENGER)


def _is_baselines_fault(use: SliceUse) -> bool:
    """Whether the slice was burned by the one model that has no interest in it."""
    return use.score is not None and use.score.burned_by == BASELINE


def _is_final(use: SliceUse, result: int) -> bool:
    return use.purpose is SlicePurpose.FINAL and any(
        name.startswith(RESULT) and entrant.trial == result for name, entrant in use.entrants.items()
    )


def _model(run: OpenRun, name: str, trial: int, seed: int) -> Model:
    paths = run.paths.trial(trial)
    is_first = run.history.trials[trial].proposal.train_seed == seed
    return Model(name, trial, seed, paths if is_first else paths.repeat(seed))


def _champion(run: OpenRun, seed: int) -> list[Model]:
    """Return the champion's model that one under `seed` is compared with; none if that is the baseline's own."""
    champion = run.keeper.champion
    assert champion is not None
    own = run.keeper.champion_seed(seed)
    is_baseline = champion == 0 and own == run.history.trials[0].proposal.train_seed
    return [] if is_baseline else [_model(run, CHAMPION, champion, own)]


def _challenge(run: OpenRun, repeat: Repeat) -> list[Model]:
    challenger = _model(run, CHALLENGER, repeat.trial, repeat.seed)
    return [_model(run, BASELINE, 0, 0), *_champion(run, repeat.seed), challenger]


def _final(run: OpenRun, result: int) -> list[Model]:
    held_out = [seed for seed in run.keeper.losses(result) if seed >= HELD_OUT_SEED]
    confirmed = [
        repeat.seed for repeat in run.history.repeats if repeat.trial == result and repeat.purpose is Purpose.CONFIRM
    ]
    champion = [_model(run, CHAMPION, result, seed) for seed in confirmed[-1:]]
    results = [_model(run, f"{RESULT}-{seed}", result, seed) for seed in held_out]
    return [_model(run, BASELINE, 0, 0), *champion, *results]


def _contender(model: Model) -> Contender:
    return Contender(model.name, model.paths.artifact, model.paths.files)


def _show(run: OpenRun, slices: SliceSource, purpose: SlicePurpose, models: Sequence[Model]) -> SliceUse | None:
    """Open the next slice, or take the one that a killed process has opened, and score it; None if none is left."""
    began = run.monotonic()
    entrants = {model.name: _entrant(model) for model in models}
    use = run.history.opened
    if use is None:
        taken = [before.number for before in run.history.slices]
        found = slices.openings.next(_identity(run), slices.n_slices, taken)
        if found is None:
            return None
        if run.paths.slice(found[0]).exists():  # of an earlier run of this name: its answers are not those of ours
            shutil.rmtree(run.paths.slice(found[0]))
        opened = SliceOpened(found[0], purpose, entrants, found[1], run.now())
        run.journal.append(opened)
        use = run.history.add(opened)
    run.observer.slice_opened(use)
    changed = [name for name, entrant in use.entrants.items() if entrants.get(name) != entrant]
    answers: Answers | Burned = Burned(changed[0], CHANGED, []) if changed else _ask(run, slices, use, models)
    seconds = round(run.monotonic() - began, 3)
    if isinstance(answers, Burned):
        score = SliceScore({}, {}, seconds, answers.model, answers.reason)
    else:
        score = _score(run, slices, models, answers, seconds)
    event = SliceScored(use.number, score, run.now())
    run.journal.append(event)
    scored = run.history.add(event)
    run.observer.slice_scored(scored)
    return scored


def _ask(run: OpenRun, slices: SliceSource, use: SliceUse, models: Sequence[Model]) -> Answers | Burned:
    first = run.history.trials[0].outcome
    return slices.ask(
        use.number,
        [_contender(model) for model in models],
        first.score if first is not None else None,
        folder=run.paths.slice(use.number),
        label=f"{run.run_id}/slice-{use.number:03d}",
    )


def _identity(run: OpenRun) -> str:
    """Return what no other run of this machine is called: one that was removed had perhaps the same folder."""
    return f"{run.paths.root.resolve()} {run.history.trials[0].started_at}"


def _entrant(model: Model) -> Entrant:
    """Return what identifies a model. Raises JournalError if its file is gone."""
    try:
        return Entrant(model.trial, model.seed, _hash([model.paths.artifact]), _hash(_files(model.paths.files)))
    except FileNotFoundError as error:
        raise JournalError(
            f"{error.filename} is gone, and the {model.name} is needed to confirm a gain: restore it, "
            "or start a new run"
        ) from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hash(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of files by name and content."""
    state = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            state.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return state.hexdigest()


def _score(run: OpenRun, slices: SliceSource, models: Sequence[Model], answers: Answers, seconds: float) -> SliceScore:
    """Return what the answers say: the leads that decide or are published, and what is odd about them."""
    names = [model.name for model in models]
    leads: dict[str, Lead] = {}
    flags, gap = [], ""
    if CHAMPION in names:
        leads[f"{CHAMPION}-{BASELINE}"] = has = answers.lead([CHAMPION], BASELINE)
        seed = next(model.seed for model in models if model.name == CHAMPION)
        had = run.keeper.tests.champion_had(seed)
        flags += [flag] if had is not None and (flag := dead_flag(had, has)) else []
    if CHALLENGER in names:
        leads[f"{CHALLENGER}-{BASELINE}"] = over_baseline = answers.lead([CHALLENGER], BASELINE)
        if CHAMPION in names:
            leads[f"{CHALLENGER}-{CHAMPION}"] = answers.lead([CHALLENGER], CHAMPION)
        own, first = run.history.repeating, run.history.trials[0].val_loss
        assert own is not None
        assert own.trained is not None
        if first is not None and own.trained.val_loss is not None:
            lead = first - own.trained.val_loss
            gap = gap_flag(over_baseline, lead, slices.n_items, slices.n_standing) or ""
    results = [name for name in names if name.startswith(RESULT)]
    if results:
        leads[f"{RESULT}-{BASELINE}"] = answers.lead(results, BASELINE)
    return SliceScore(answers.losses, leads, seconds, gap=gap, flags=tuple(flags))
