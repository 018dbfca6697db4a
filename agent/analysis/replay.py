"""Running a recorded trial again: its commit, its seed, its limits, the same data, in a folder of its own."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agent.analysis.recorded_trial import Recorded
from agent.analysis.replay_verdict import Replayed
from agent.errors import NotReplayableError, TaskError, UsageError
from agent.execution.early_stopping import StoppingRule, pruner_of
from agent.execution.environment import conditions_of
from agent.execution.executor import Attempt, Executor, corpus_of, division_of, passed_variables, scorer_of
from agent.execution.sandboxes import open_sandbox
from agent.execution.scoring.scorer import Artifact
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus, find_corpus
from agent.task.division import Division
from agent.task.task import Task
from agent.text import Say, read_tail
from agent.trials.trial import Outcome, Status


@dataclass(frozen=True)
class Place:
    """Where and how trials are run again."""

    replays: Path  # the only folder that is written to, beside the cache of prepared data
    task_folder: Path  # where data can be prepared from, and what else is not in the commit
    cache: Path
    variables: Mapping[str, str]  # the caller's environment, of which task.toml may let names through
    say: Say
    compiled: Path | None = None  # compiler caches that the run's baseline saved
    sandbox: str | None = None  # kind; None: as recorded
    accept_unenforced: frozenset[str] = frozenset()
    gpus: tuple[str, ...] = ()
    train_seed: int | None = None  # None: as recorded
    test: bool = False  # score the test split too


def replay(recorded: Recorded, place: Place) -> Replayed:
    """Train and score a recorded trial again, as the loop did, and return the comparison; it is also written down.

    Whatever stops it, an interrupt included, leaves nothing of it behind.

    Raises:
        UsageError: there is no test split to score.
        NotReplayableError: not on the same data, or there is no score on the test split.
        MissingRequirementError, SandboxError: the machine lacks something.
    """
    task = recorded.task(place.task_folder)
    if place.test and task.score.kind == "printed":
        raise UsageError(f"{recorded.name}: the score is self-reported, and such a task has no test split")
    corpus = _corpus(recorded, task, place)
    division = _division(recorded, task, corpus, place)
    kind = place.sandbox or recorded.sandbox_kind
    seed = recorded.train_seed if place.train_seed is None else place.train_seed
    sandbox = open_sandbox(kind, task, place.accept_unenforced, place.gpus, place.say, image=recorded.outcome.image)
    try:
        with _fresh_folder(place.replays, f"{recorded.number:04d}-{recorded.commit[:7]}") as folder:
            paths = TrialPaths(folder)
            executor = Executor(
                task,
                corpus,
                sandbox,
                scorer_of(task, corpus, sandbox, division=division),
                passed_variables(task, place.variables),
                place.compiled if place.compiled and recorded.number else folder / "compiled.tar",
                conditions_of(task, corpus, kind, place.gpus, division),
            )
            place.say(f"training {recorded.name} again (commit {recorded.commit[:7]}, seed {seed})")
            attempt = Attempt(
                source=task.source,
                paths=paths,
                label=f"{recorded.run_id}/{recorded.number:04d}/replay",
                number=recorded.number,
                train_seed=seed,
                baseline=recorded.baseline,
                to_beat=math.inf if recorded.decided else None,
                stopping=_stopping(recorded.outcome, task),
            )
            outcome = executor.run(attempt, lambda: place.say("scoring"))
            replayed = Replayed(
                recorded=recorded,
                outcome=outcome,
                train_seed=seed,
                deterministic=task.budget.unit != "seconds" and not place.gpus,
                sigma=recorded.sigma or task.noise.sigma,
                folder=folder,
            )
            if place.test and outcome.val_loss is not None:
                place.say("scoring on the test split")
                replayed = replace(replayed, test_loss=_test_loss(recorded, executor, paths))
            for left in (paths.artifact, folder / "compiled.tar"):
                left.unlink(missing_ok=True)
            document = json.dumps(replayed.to_json(task.metric), indent=2) + "\n"
            (folder / "replay.json").write_text(document)
            return replayed
    finally:
        sandbox.close()


def _stopping(outcome: Outcome, task: Task) -> StoppingRule | None:
    """Return what stops the replay of a trial that was stopped early; None for any other.

    One that diverged is stopped again. One that was pruned runs to its end: to see what it would have come to is what
    it is replayed for, and its curve up to where it was stopped shows whether it is the same.
    """
    rule = pruner_of(task, 0, ())
    if rule is None or outcome.stopped_at is None:
        return None
    return StoppingRule(rule.form, diverges=outcome.status is Status.DIVERGED)


def _corpus(recorded: Recorded, task: Task, place: Place) -> Corpus | None:
    """Return the data that the trial was trained and scored on.

    Nothing of a commit is ever run on the host: what prepares the data must lie in the task's own folder as well.

    Raises:
        NotReplayableError: it is not here and cannot be prepared, or it is other data.
    """
    if not task.data.prepare:
        return None
    if find_corpus(task, place.cache) is None:
        _refuse_foreign_code(task, place)
    corpus = corpus_of(task, place.cache, place.say)
    known = recorded.outcome.conditions.get("data")
    if corpus is not None and known is not None and corpus.digest != known:
        raise NotReplayableError(
            f"the data in {corpus.folder} are not those of {recorded.name} (digest {corpus.digest}, recorded {known}), "
            "so a loss on them says nothing; bring the same data, or remove that folder to prepare them again"
        )
    return corpus


def _division(recorded: Recorded, task: Task, corpus: Corpus | None, place: Place) -> Division | None:
    """Return which examples the trial was scored on; None: on all.

    Raises:
        NotReplayableError: that is not known here.
    """
    known = recorded.outcome.conditions.get("rows")
    if known is None:
        return None
    division = division_of(task, corpus, place.cache, place.say, make=False)
    if division is None or division.digest != known:
        raise NotReplayableError(
            f"{recorded.name} was scored on part of the validation examples, and no division in {place.cache} has the "
            f"recorded digest {known}; replay it on the machine that it ran on, or with the cache of that machine"
        )
    return division


def _refuse_foreign_code(task: Task, place: Place) -> None:
    """Raise NotReplayableError unless the task's folder holds the very files that prepare the commit's data."""
    missing = f"the data of {task.name} are not prepared in {place.cache}, and"
    try:
        own = Task.load(place.task_folder, task.profile)
    except TaskError as error:
        raise NotReplayableError(f"{missing} ({error}); give the task's folder with --task DIR") from error
    changed = [name for name in task.frozen if own.files.get(name) != task.files[name]]
    if own.name != task.name or own.data.prepare != task.data.prepare:
        changed.append("task.toml")
    if changed:
        raise NotReplayableError(
            f"{missing} {place.task_folder} is another task or version: its {changed[0]} differs from the commit's; "
            "give the task's folder with --task DIR"
        )


def _test_loss(recorded: Recorded, executor: Executor, paths: TrialPaths) -> float:
    label, folder = f"{recorded.run_id}/{recorded.number:04d}/replay-test", paths.root / "score-test"
    left_behind = Artifact(paths.artifact, paths.files, read_tail(paths.log), folder, label, recorded.number)
    score = executor.score(left_behind, "test")
    if score.val_loss is None:
        raise NotReplayableError(f"no score on the test split: {score.status}, {score.reason}")
    return score.val_loss


@contextmanager
def _fresh_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `name-N` in `parent`; it is removed again if anything goes wrong."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder)
        with suppress(OSError):  # not empty: earlier replays
            parent.rmdir()
        raise
