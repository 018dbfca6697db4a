"""Opens one slice of unseen data; what it is opened for is on the disk before any job sees a part of it.

That record is a run's journal, or a file for questions asked after the run. After a kill, the slice is shown again only
to models whose files are unchanged; otherwise it is burned.
"""

import hashlib
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from agent.errors import JournalError
from agent.execution.host import Clock
from agent.execution.slices.source import Answers, Burned, Contender, SliceSource
from agent.execution.workers import Steps
from agent.store.paths import RunPaths, TrialPaths
from agent.trials.events import SliceOpened, SliceScored
from agent.trials.history import History
from agent.trials.keeping.confirmations import (
    BASELINE,
    CHAMPION,
    RESULT,
    Entrant,
    SlicePurpose,
    SliceScore,
    SliceUse,
    dead_flag,
    noise_flag,
)
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, KeepPolicy
from agent.trials.repeat import Purpose
from agent.trials.trial import Score

MAX_BURNED = 3  # slices that one test, or one question after the search, may burn
CHANGED = "its files have changed since the slice was opened"


@dataclass(frozen=True)
class SliceModel:
    """A model that can be evaluated on a slice."""

    name: str
    trial: int
    seed: int
    paths: TrialPaths

    @property
    def contender(self) -> Contender:
        return Contender(self.name, self.paths.artifact, self.paths.files)

    @property
    def entrant(self) -> Entrant:
        """The hashes that identify the model. Raises JournalError if a file of it is missing."""
        try:
            return Entrant(self.trial, self.seed, _hash([self.paths.artifact]), _hash(_files(self.paths.files)))
        except FileNotFoundError as error:
            raise JournalError(
                f"{error.filename} is missing, and the {self.name} must be evaluated on a slice: restore the file, or "
                "start a new run"
            ) from error


class TrialFiles(Protocol):
    """The files of a run, and the history that says to which trials they belong."""

    @property
    def paths(self) -> RunPaths: ...
    @property
    def history(self) -> History: ...


class Searched(TrialFiles, Protocol):
    """A run with its keep rule: open for writing, or stored."""

    @property
    def keeper(self) -> KeepPolicy: ...


class Record(Protocol):
    """Records durably which slices were opened, and for what."""

    @property
    def opener(self) -> str:
        """Name of what opens the slices, unique on this machine."""
        ...

    @property
    def about(self) -> Collection[str]:
        """Runs whose models are evaluated, by `opener_of`; empty if that is the opener alone."""
        ...

    @property
    def taken(self) -> Collection[int]:
        """Slices that were opened for this record before, and must not be opened again."""
        ...

    @property
    def opened(self) -> SliceUse | None:
        """The slice that is open, but not scored yet; None if there is none."""
        ...

    def record(self, event: SliceOpened | SliceScored) -> SliceUse:
        """Add an event durably, and return the slice that it is about."""
        ...

    def folder(self, number: int) -> Path:
        """Folder for the logs and answers of that slice."""
        ...

    def label(self, number: int) -> str:
        """Prefix of the names of that slice's jobs."""
        ...


def show(
    slices: SliceSource,
    record: Record,
    purpose: SlicePurpose,
    models: Sequence[SliceModel],
    score_of: Callable[[Answers], SliceScore],
    *,
    baseline: Score | None,
    clock: Clock,
    opened: Callable[[SliceUse], None] = lambda _use: None,
) -> Steps[SliceUse | None]:
    """Open the next slice, or the one that a killed process opened, and score it; None if none is left.

    Args:
        score_of: computes the score from the answers of all models; its seconds are set here.
        baseline: the score of the baseline, whose cost limits the time for an answer.
        opened: called before the models are evaluated.

    Raises:
        JournalError: a model's file is gone, or the disk is full.
        SandboxError: a sandbox failed, not a script.
    """
    began = clock.monotonic()
    entrants = {model.name: model.entrant for model in models}
    use = record.opened
    if use is None:
        found = slices.openings.next(record.opener, slices.n_slices, record.taken, record.about)
        if found is None:
            return None
        if record.folder(found[0]).exists():  # of an earlier run of this name, with the answers of its models
            shutil.rmtree(record.folder(found[0]))
        use = record.record(SliceOpened(found[0], purpose, entrants, found[1], clock.now()))
    opened(use)
    known, number = use.entrants, use.number
    changed = sorted(name for name in known.keys() | entrants if known.get(name) != entrants.get(name))
    answers: Answers | Burned
    if changed:
        answers = Burned(changed[0], CHANGED, [])
    else:
        contenders, folder = [model.contender for model in models], record.folder(number)
        label = record.label(number)
        answers = yield lambda: slices.ask(number, contenders, baseline, folder=folder, label=label)
    if isinstance(answers, Burned):
        score = SliceScore({}, {}, round(clock.monotonic() - began, 3), answers.model, answers.reason)
    else:
        score = replace(score_of(answers), seconds=round(clock.monotonic() - began, 3))
    return record.record(SliceScored(use.number, score, clock.now()))


def needs_another_slice(uses: Sequence[SliceUse]) -> bool:
    """Return whether the last slice opened for a result is unscored, or is burned and may be followed by another.

    Another may follow if the baseline burned the slice, since it gains nothing by that. Any other model could exit on
    an unlucky slice to be evaluated on another.
    """
    score = uses[-1].score
    return score is None or (score.burned_by == BASELINE and len(uses) < MAX_BURNED)


def opener_of(run: TrialFiles) -> str:
    """Return the name of a run that is unique on this machine: its folder, and when its baseline started.

    So a removed run of the same name in the same folder counts as another run.
    """
    return f"{run.paths.root.resolve()} {run.history.trials[0].started_at}"


def model_of(run: TrialFiles, name: str, trial: int, seed: int) -> SliceModel:
    """Return the model that a trial saved under a training seed, in its first run or in a repeat."""
    paths = run.paths.trial(trial)
    is_first = run.history.trial(trial).proposal.train_seed == seed
    return SliceModel(name, trial, seed, paths if is_first else paths.repeat(seed))


def baseline_of(run: TrialFiles) -> SliceModel:
    """Return the model of the baseline, trial 0."""
    return model_of(run, BASELINE, 0, run.history.trials[0].proposal.train_seed)


def models_of_result(run: Searched, result: int) -> list[SliceModel]:
    """Return the models of a result of the search: from its last confirmation, and from its final runs."""
    confirmed = [
        repeat.seed for repeat in run.history.repeats if repeat.trial == result and repeat.purpose is Purpose.CONFIRM
    ]
    champion = [model_of(run, CHAMPION, result, seed) for seed in confirmed[-1:]]
    held_out = [seed for seed in run.keeper.losses(result) if seed >= HELD_OUT_SEED]
    return [*champion, *(model_of(run, f"{RESULT}-{seed}", result, seed) for seed in held_out)]


def score_of_result(answers: Answers, models: Sequence[SliceModel], keeper: KeepPolicy) -> SliceScore:
    """Return the score of a slice for those of baseline, champion and final runs that are among the models."""
    results = [model.name for model in models if model.name.startswith(RESULT)]
    leads, flags = {}, []
    for model in models:
        if model.name == CHAMPION:
            leads[f"{CHAMPION}-{BASELINE}"] = has = answers.lead([CHAMPION], BASELINE)
            had = keeper.tests.champion_had(model.seed)
            flags += [flag] if had is not None and (flag := dead_flag(had, has)) else []
            flags += [flag] if model.trial == 0 and (flag := noise_flag(has, keeper.deciding_sigma)) else []
    if results:
        leads[f"{RESULT}-{BASELINE}"] = answers.lead(results, BASELINE)
    return SliceScore(answers.losses, leads, 0.0, flags=tuple(flags))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hash(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of files by name and content."""
    state = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            state.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return state.hexdigest()
