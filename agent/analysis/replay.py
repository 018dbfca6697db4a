"""Replays a recorded trial: trains its commit with its seed, its limits and the same data, in a separate folder."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agent.analysis.recorded_trial import RecordedTrial
from agent.analysis.replay_verdict import ReplayResult
from agent.errors import NotReplayableError, TaskError, UsageError
from agent.execution.early_stopping import StoppingRule, pruner_of
from agent.execution.executor import Attempt, ExecutionSettings, Executor, Unseen
from agent.execution.host import Host
from agent.execution.scoring.scorer import artifact_in
from agent.store.paths import TrialPaths
from agent.task.corpus import find_corpus
from agent.task.task import Task
from agent.trials.trial import Outcome, Status


@dataclass(frozen=True)
class ReplayOptions:
    """Where and how to replay a trial."""

    replays: Path  # the only folder that is written to, besides the cache of prepared data
    task_folder: Path  # has what is not in the commit, such as what prepares the data
    compiled: Path | None = None  # compiler caches that the run's baseline saved
    sandbox: str | None = None  # kind; None: as recorded
    accept_unenforced: frozenset[str] = frozenset()
    gpus: tuple[str, ...] = ()
    train_seed: int | None = None  # None: as recorded
    test: bool = False  # score the test split too


def replay(recorded: RecordedTrial, options: ReplayOptions, host: Host) -> ReplayResult:
    """Train and score a recorded trial again, as the loop did; save and return the comparison with the record.

    A replay that fails or is interrupted leaves no files.

    Raises:
        UsageError: there is no test split to score.
        NotReplayableError: the data differ from the recorded ones, or the trial gets no score on the test split.
        MissingRequirementError, SandboxError: the machine lacks something.
    """
    task = recorded.task(options.task_folder)
    if options.test and not task.score.row.needs_data:
        raise UsageError(
            f"{recorded.name}: a score of kind {task.score.kind} needs no data, and such a task has no test split"
        )
    if task.data.prepare and find_corpus(task, host.cache) is None:
        _refuse_foreign_code(task, options.task_folder, host.cache)
    seed = recorded.train_seed if options.train_seed is None else options.train_seed
    with _fresh_folder(options.replays, f"{recorded.number:04d}-{recorded.commit[:7]}") as folder:
        with Executor.open(task, _settings(recorded, options, folder), host) as executor:
            _refuse_other_data(recorded, executor, host.cache)
            host.say(f"training {recorded.name} again (commit {recorded.commit[:7]}, seed {seed})")
            paths = TrialPaths(folder)
            attempt = Attempt(
                source=task.source,
                paths=paths,
                label=f"{recorded.run_id}/{recorded.number:04d}/replay",
                number=recorded.number,
                train_seed=seed,
                baseline=recorded.baseline,
                to_beat=math.inf if recorded.moved_incumbent else None,
                stopping=_stopping(recorded.outcome, task),
            )
            outcome = executor.run(attempt, lambda: host.say("scoring"))
            replayed = ReplayResult(
                recorded=recorded,
                outcome=outcome,
                train_seed=seed,
                deterministic=task.budget.unit != "seconds" and not options.gpus,
                sigma=recorded.sigma or task.noise.sigma,
                folder=folder,
            )
            if options.test and outcome.val_loss is not None:
                host.say("scoring on the test split")
                replayed = replace(replayed, test_loss=_test_loss(recorded, executor, paths))
        for left in (paths.artifact, folder / "compiled.tar"):
            left.unlink(missing_ok=True)
        document = json.dumps(replayed.to_json(task.metric), indent=2) + "\n"
        (folder / "replay.json").write_text(document, encoding="utf-8")
        return replayed


def _settings(recorded: RecordedTrial, options: ReplayOptions, folder: Path) -> ExecutionSettings:
    """Return where and how the trial runs. A baseline saves its compiler caches in `folder`."""
    compiled = options.compiled if recorded.number != 0 else None
    return ExecutionSettings(
        sandbox=options.sandbox or recorded.sandbox_kind,
        compiled=compiled or folder / "compiled.tar",
        accept_unenforced=options.accept_unenforced,
        gpus=options.gpus,
        image=recorded.outcome.image,
        unseen=Unseen.DIVISION if "rows" in recorded.outcome.conditions else Unseen.NOTHING,
    )


def _stopping(outcome: Outcome, task: Task) -> StoppingRule | None:
    """Return the stopping rule for the replay of a trial that was stopped early; None for any other trial.

    A diverged trial is stopped again. A pruned trial runs to its end, which shows the loss that it would have reached;
    its curve up to the recorded stop shows whether it is reproduced.
    """
    rule = pruner_of(task, 0, ())
    if rule is None or outcome.stopped_at is None:
        return None
    return StoppingRule(rule.form, diverges=outcome.status is Status.DIVERGED)


def _refuse_other_data(recorded: RecordedTrial, executor: Executor, cache: Path) -> None:
    """Raise NotReplayableError unless the trial was trained and scored on these data."""
    known, here = recorded.outcome.conditions, executor.conditions
    if executor.corpus is not None and "data" in known and here["data"] != known["data"]:
        raise NotReplayableError(
            f"the data in {executor.corpus.folder} are not those of {recorded.name} (digest {here['data']}, recorded "
            f"{known['data']}), so the losses cannot be compared; copy the same data there, or remove that folder to "
            "prepare them again"
        )
    if "rows" in known and here.get("rows") != known["rows"]:
        raise NotReplayableError(
            f"{recorded.name} was scored on part of the validation examples, and no division in {cache} has the "
            f"recorded digest {known['rows']}; replay it on the machine where it ran, or with that machine's cache"
        )


def _refuse_foreign_code(task: Task, folder: Path, cache: Path) -> None:
    """Raise NotReplayableError unless the task's folder and the commit prepare the data with the same files.

    No file of a commit ever runs on the host, so the files that prepare the data must come from the task's folder.
    """
    missing = f"the data of {task.name} are not prepared in {cache}, and"
    try:
        own = Task.load(folder, task.profile)
    except TaskError as error:
        raise NotReplayableError(f"{missing} ({error}); give the task's folder with --task DIR") from error
    changed = [name for name in task.frozen if own.files.get(name) != task.files[name]]
    if own.name != task.name or own.data.prepare != task.data.prepare:
        changed.append("task.toml")
    if changed:
        raise NotReplayableError(
            f"{missing} {folder} is another task or version: its {changed[0]} differs from the commit's; "
            "give the task's folder with --task DIR"
        )


def _test_loss(recorded: RecordedTrial, executor: Executor, paths: TrialPaths) -> float:
    label, folder = f"{recorded.run_id}/{recorded.number:04d}/replay-test", paths.root / "score-test"
    artifact = artifact_in(paths, folder, label, recorded.number)
    score = executor.score(artifact, "test")
    if score.val_loss is None:
        raise NotReplayableError(f"no score on the test split: {score.status}, {score.reason}")
    return score.val_loss


@contextmanager
def _fresh_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `name-N` in `parent`, which is removed after any exception."""
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
        with suppress(OSError):  # not empty: it holds earlier replays
            parent.rmdir()
        raise
