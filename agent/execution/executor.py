"""One execution of a script: trained in a sandbox, scored from what it left behind, judged by the host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import MissingRequirementError, TaskError
from agent.execution.compile_cache import leaving, warmed
from agent.execution.early_stopping import Stop, StoppingRule
from agent.execution.judge import failure, judge, reported, reported_flags, saved_nothing
from agent.execution.scoring.audited import AuditedScorer
from agent.execution.scoring.scorer import Artifact, Scorer
from agent.execution.slices.source import SliceSource
from agent.execution.speed.probe import Canary, has_canary
from agent.execution.training_job import export, training_job
from agent.store.paths import RunPaths, TrialPaths
from agent.store.run_config import RunConfig
from agent.task.corpus import Corpus, find_corpus, prepare_corpus
from agent.task.division import Division
from agent.task.task import Task
from agent.text import Say, counted, read_tail
from agent.trials.learning_curve import Condemned, Curve
from agent.trials.machine_speed import Machine
from agent.trials.trial import Outcome, Score, Status
from sandbox.job import Execution, Sandbox


@dataclass(frozen=True)
class Attempt:
    """One execution of a script: everything that it depends on, beside the executor.

    It is frozen, so that a void attempt can be run again, and several can run at the same time.
    """

    source: str
    paths: TrialPaths  # where the exported tree, the log, the artifact and the evidence go
    label: str  # names the jobs, "RUN/0007"
    number: int  # of the trial whose script this is
    train_seed: int
    baseline: Outcome | None  # of trial 0, which the limits of some budgets follow; None for the baseline itself
    to_beat: float | None = None  # a lower loss would decide something and is audited more closely; None: nothing would
    stopping: StoppingRule | None = None  # what may stop the training early; None: nothing


@dataclass(frozen=True)
class Trained:
    """What the training of a script came to, before anything is scored."""

    attempt: Attempt
    execution: Execution
    log: str  # the end of what the script printed
    failed: tuple[Status, str] | None  # None: the training ended well
    stop: Stop | None = None  # why it was stopped early; None: it was not
    curve: Curve | None = None
    condemned: Condemned | None = None

    @property
    def artifact(self) -> Artifact:
        """What is there to be scored, where the training ended well."""
        attempt = self.attempt
        first = attempt.baseline.score if attempt.baseline else None
        paths = attempt.paths
        return Artifact(
            paths.artifact, paths.files, self.log, paths.score, attempt.label, attempt.number, attempt.to_beat, first
        )


@dataclass(frozen=True)
class Executor:
    """Runs scripts: trains them in a sandbox, and scores what they leave behind.

    It changes no state of its own, so that several attempts with different paths can run at the same time, in a sandbox
    that allows it. Three things are for one attempt at a time: the baseline, which writes `compiled`; `probe`, which
    remembers its last measurement; and `slices`.
    """

    task: Task
    corpus: Corpus | None
    sandbox: Sandbox
    scorer: Scorer
    passed_on: Mapping[str, str]  # variables of the caller that task.toml allows
    compiled: Path  # compiler caches that the baseline saved; see agent.execution.compile_cache
    conditions: Mapping[str, str]  # what results may depend on here; see agent.execution.environment
    probe: Canary | None = None  # measures the machine's speed; None: that decides nothing here
    slices: SliceSource | None = None  # that gains are confirmed on; None: they are repeated

    def run(self, attempt: Attempt, on_scoring: Callable[[], None] = lambda: None) -> Outcome:
        """Train and score a script; return the outcome, with `kept` not yet decided.

        Args:
            on_scoring: called between training and scoring.

        Raises:
            SandboxError: a sandbox failed, not the script.
        """
        trained, score = self.train(attempt), None
        if trained.failed is None:
            on_scoring()
            score = self.score(trained.artifact)
        return self._judged(trained, score)

    def train(self, attempt: Attempt) -> Trained:
        """Export the script to the attempt's folder and train it. Raises SandboxError if a sandbox failed."""
        task, paths, baseline = self.task, attempt.paths, attempt.baseline
        paths.root.mkdir(parents=True, exist_ok=True)
        export({**task.files, task.script: attempt.source.encode()}, paths.files)
        job = training_job(
            task,
            self.corpus,
            paths,
            label=f"{attempt.label}/train",
            train_seed=attempt.train_seed,
            baseline_cpu_seconds=baseline.cpu_seconds if baseline else None,
            baseline_wall_seconds=baseline.wall_seconds if baseline else None,
            passed_on=self.passed_on,
        )
        watch = attempt.stopping.watch(paths.log, task.limits.followed_bytes) if attempt.stopping else None
        job = replace((warmed if baseline else leaving)(job, self.compiled), stop_when=watch)
        execution = self.sandbox.run(job)
        stop = watch.end() if watch is not None else None
        log = read_tail(paths.log)
        failed = (stop.status, stop.reason) if stop is not None else failure(execution, log, task.budget)
        if failed is None and task.score.kind != "printed" and execution.output_bytes == 0:
            failed = saved_nothing(log)
        if watch is None:
            return Trained(attempt, execution, log, failed)
        return Trained(attempt, execution, log, failed, stop, watch.curve, watch.condemned)

    def score(self, left_behind: Artifact, split: str = "val") -> Score:
        """Return the score of what a training left behind on a split of the data.

        Raises:
            SandboxError: a sandbox failed, not the script.
        """
        scorer = self.scorer if split == "val" else scorer_of(self.task, self.corpus, self.sandbox, split=split)
        return scorer.score(left_behind)

    def _judged(self, trained: Trained, score: Score | None) -> Outcome:
        """Return what a training and its score come to, with all that was observed; None: nothing was scored."""
        task, execution = self.task, trained.execution
        outcome = judge(execution, trained.failed, score, task.budget)
        said = reported(trained.log)
        flags = reported_flags(said, execution, outcome.val_loss, task.metric, trained.attempt.baseline)
        outcome = replace(
            outcome,
            reported=said,
            flags=flags,
            conditions=self.conditions,
            curve=trained.curve,
            condemned=trained.condemned,
        )
        if trained.stop is not None:
            charged = trained.stop.charge_seconds(task.budget, execution.wall_seconds)
            outcome = replace(outcome, train_seconds=charged, stopped_at=trained.stop.share)
        return replace(outcome, machine=_gpu_of(execution)) if task.budget.unit == "seconds" else outcome


def _gpu_of(execution: Execution) -> Machine | None:
    """Return what the driver said of the job's GPU; None if it had none."""
    seen = execution.gpu_state
    return Machine(gpu=seen.held_back, sm_mhz=seen.sm_mhz, others=seen.others) if seen is not None else None


def canary_of(
    config: RunConfig, paths: RunPaths, task: Task, sandbox: Sandbox, passed_on: Mapping[str, str]
) -> Canary | None:
    """Return what measures the machine's speed beside a run's executions; None where that decides nothing."""
    if not has_canary(task):
        return None
    return Canary(task, sandbox, paths.canary, label=config.run_id, on_gpu=bool(config.gpus), passed_on=passed_on)


def scorer_of(
    task: Task, corpus: Corpus | None, sandbox: Sandbox, split: str = "val", division: Division | None = None
) -> Scorer:
    """Return the scorer that task.toml declares, for a split of the data, or for the part that stands of a division."""
    if task.score.kind == "printed":
        from agent.execution.scoring.printed import PrintedScorer

        return PrintedScorer(task.metric, task.score.line, task.score.between)
    assert corpus is not None, "the other kinds need data, and `corpus_of` made sure of it"
    if task.score.kind == "predictions":
        from agent.execution.scoring.predictions import PredictionScorer

        return PredictionScorer(task, corpus, sandbox, split=split, division=division)
    return AuditedScorer(task, corpus, sandbox, split=split)


def division_of(task: Task, corpus: Corpus | None, cache: Path, say: Say, *, make: bool = True) -> Division | None:
    """Return how the validation examples are divided, drawn now if they never were, unless it is not to `make` that.

    Returns:
        None where the host does not compare predictions with labels, and where there are too few; then it is said.

    Raises:
        TaskError: the inputs are not rows of equal size, the labels are of no use, or the division is broken.
    """
    if corpus is None or task.score.kind != "predictions":
        return None
    from agent.execution.scoring.predictions import examples_of
    from agent.execution.slices.row_slices import why_too_alike
    from agent.task.division import fewest_examples, find_division, prepare_division

    examples = examples_of(task, corpus, "val")
    n = len(examples.labels)
    if not make:
        return find_division(corpus, n, cache)
    if n < fewest_examples():
        why = f"{counted(n, 'validation example')} are too few to keep slices back, which takes {fewest_examples()}"
    else:
        division = prepare_division(corpus, n, cache)
        found = why_too_alike(task, examples, division)
        if found is None:
            return division
        why = found
    say(f"{why}: gains will be repeated, not confirmed")
    return None


def slices_of(
    task: Task,
    corpus: Corpus | None,
    cache: Path,
    sandbox: Sandbox,
    say: Say,
    *,
    division: Division | None,
    make: bool = True,
) -> SliceSource | None:
    """Return what gains are confirmed on; None for a task without, and, unless it is to `make` it, if it is not there.

    Raises:
        TaskError: the pool is too small for one slice, or broken.
        MissingRequirementError: making it failed.
    """
    if corpus is not None and division is not None:
        from agent.execution.scoring.predictions import examples_of
        from agent.execution.slices.row_slices import RowSlices

        return RowSlices(task, examples_of(task, corpus, "val"), division, sandbox)
    if corpus is None or not task.data.pool:
        return None
    from agent.execution.slices.text_slices import TextSlices
    from agent.task.pool import find_pool
    from agent.task.pool_making import prepare_pool

    pool = find_pool(task, cache)
    if pool is None and not make:
        return None
    if pool is None:
        say(f"making the pool of {task.name}, text that no job sees (once)")
        pool = prepare_pool(task, cache)
    return TextSlices(task, corpus, pool, sandbox)


def corpus_of(task: Task, cache: Path, say: Say) -> Corpus | None:
    """Return the task's data, prepared now if need be; None for a task without, whose script brings its own.

    Raises:
        TaskError: the task's score needs data, and it declares none.
        MissingRequirementError: preparing failed.
    """
    if not task.data.prepare:
        if task.score.kind != "printed":
            raise TaskError(f"{task.folder}/task.toml: score.kind = {task.score.kind!r} needs [data] prepare")
        return None
    found = find_corpus(task, cache)
    if found is not None:
        return found
    say(f"preparing the data of {task.name} (once, about a minute)")
    return prepare_corpus(task, cache)


def passed_variables(task: Task, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's variables that task.toml lets through. Raises MissingRequirementError for one not set."""
    missing = [name for name in task.environment.variables if name not in variables]
    if missing:
        raise MissingRequirementError(f"the task passes on the variable {missing[0]}, which is not set; export it")
    return {name: variables[name] for name in task.environment.variables}
