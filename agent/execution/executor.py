"""Executes a script: trains it in a sandbox, scores its artifact, and judges the outcome on the host."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from agent.execution.compile_cache import saves_cache, with_cache
from agent.execution.early_stopping import Stop, StoppingRule
from agent.execution.environment import conditions_of, require_packages
from agent.execution.host import Host
from agent.execution.judge import failure, judge, reported, reported_flags, saved_nothing
from agent.execution.placement.places import HERE, open_place
from agent.execution.sandboxes import open_sandbox
from agent.execution.scoring.metric_file import hands_out_metric_file
from agent.execution.scoring.scorer import Artifact, Scorer
from agent.execution.slices.source import SliceSource
from agent.execution.slots import SlotSandbox
from agent.execution.speed.cpu_meter import CpuMeter, cpu_meter_of
from agent.execution.speed.probe import SpeedProbe, has_canary
from agent.execution.task_data import corpus_of, division_of, passed_variables, scorer_of, slices_of
from agent.execution.training_job import export, training_job
from agent.store.paths import RunPaths, TrialPaths
from agent.store.run_config import RunConfig
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.text import read_tail
from agent.trials.learning_curve import LearningCurve, PruningDecision
from agent.trials.machine_speed import MachineSpeed
from agent.trials.trial import Outcome, Score, Status
from sandbox.job import Execution, Sandbox


class Unseen(Enum):
    """How much is opened of the data that no trial is scored on: slices of text, or of rows."""

    NOTHING = "nothing"  # the whole split is scored
    DIVISION = "division"  # its standing part is scored, and no slice can be opened
    SLICES = "slices"  # existing slices can be opened
    MADE = "made"  # the same, and missing slices are made now


@dataclass(frozen=True)
class ExecutionSettings:
    """Where and how the scripts of a run, or of an analysis of it, are executed."""

    sandbox: str  # its kind
    compiled: Path  # compiler caches that the baseline has saved, or will save
    accept_unenforced: frozenset[str] = frozenset()  # limits that the sandbox need not enforce
    gpus: tuple[str, ...] = ()
    image: str | None = None  # digest of one to use in place of the task's own
    unseen: Unseen = Unseen.NOTHING
    trains: bool = True  # False: only saved models are scored, and variables for training are not needed
    probe: tuple[str, Path] | None = None  # name of the run and folder of its speed probe; None: there is no probe
    on: str = HERE  # where jobs run; see agent.execution.placement.places
    jobs: Path | None = None  # folder of the jobs on a cluster, which its nodes share

    @classmethod
    def of_run(
        cls, config: RunConfig, paths: RunPaths, *, image: str | None, unseen: Unseen, trains: bool = True
    ) -> "ExecutionSettings":
        """Return the settings for a run of this configuration."""
        unenforced = frozenset(config.accept_unenforced)
        # The speed of one node says nothing about that of the next one.
        probe = (config.run_id, paths.canary) if config.on == HERE else None
        where = (config.on, paths.jobs)
        return cls(config.sandbox, paths.compiled, unenforced, config.gpus, image, unseen, trains, probe, *where)


@dataclass(frozen=True)
class Attempt:
    """One execution of a script: everything that it depends on, besides the executor.

    It is frozen, so that a void attempt can be run again, and several can run at the same time.
    """

    source: str
    paths: TrialPaths  # where the exported tree, the log, the artifact and the evidence go
    label: str  # names the jobs, "RUN/0007"
    number: int  # of the trial whose script this is
    train_seed: int
    baseline: Outcome | None  # of trial 0, which the limits of some budgets follow; None for the baseline itself
    to_beat: float | None = None  # a lower loss decides something, and is audited more closely; None: no loss does
    stopping: StoppingRule | None = None  # may stop the training early; None: nothing may


def _artifact(attempt: Attempt, log: str, stdout: str) -> Artifact:
    """Return what training left to score; `log` and `stdout`: the ends of what the script printed."""
    paths = attempt.paths
    return Artifact(
        paths.artifact,
        paths.files,
        log,
        paths.score,
        attempt.label,
        attempt.number,
        attempt.to_beat,
        stdout=stdout,
        baseline=attempt.baseline.score if attempt.baseline else None,
    )


@dataclass(frozen=True)
class Trained:
    """The result of training a script, before it is scored."""

    attempt: Attempt
    execution: Execution
    log: str  # the end of what the script printed
    stdout: str  # the end of its standard output alone
    failed: tuple[Status, str] | None  # None: the training ended well
    stop: Stop | None = None  # why it was stopped early; None: it was not
    curve: LearningCurve | None = None
    condemned: PruningDecision | None = None

    @property
    def artifact(self) -> Artifact:
        """The artifact to score, if the training ended well."""
        return _artifact(self.attempt, self.log, self.stdout)


@dataclass(frozen=True)
class Executor:
    """Runs scripts: trains them in a sandbox, and scores their artifacts.

    It changes no state of its own, so several attempts with different paths can run at the same time, each in a slot
    (agent.execution.slots). Two things run alone: the baseline, which writes `compiled`, and evaluation on `slices`.
    """

    task: Task
    corpus: Corpus | None
    sandbox: Sandbox
    scorer: Scorer
    passed_on: Mapping[str, str]  # variables of the caller that task.toml allows
    compiled: Path  # compiler caches that the baseline saved; see agent.execution.compile_cache
    conditions: Mapping[str, str]  # what results may depend on here; see agent.execution.environment
    probe: SpeedProbe | None = None  # measures the machine's speed; None: the speed decides nothing here
    slices: SliceSource | None = None  # to confirm gains on; None: gains are only repeated
    cpu_meter: CpuMeter | None = None  # None: CPU seconds are not compared with the baseline's

    @classmethod
    @contextmanager
    def open(cls, task: Task, settings: ExecutionSettings, host: Host) -> Iterator["Executor"]:
        """Open sandbox, data, scorer and slices for the scripts of a task; the sandbox is closed at the end.

        Raises:
            TaskError: the task lacks what its score needs, or is invalid.
            MissingRequirementError, SandboxError: the machine lacks something.
        """
        require_packages(task, settings.sandbox)
        passed_on = passed_variables(task, host.variables) if settings.trains else {}
        sandbox = SlotSandbox(
            open_place(settings.on, task, settings.accept_unenforced, settings.jobs, host.say)
            if settings.on != HERE
            else open_sandbox(
                settings.sandbox, task, settings.accept_unenforced, settings.gpus, host.say, image=settings.image
            )
        )
        try:
            corpus = corpus_of(task, host.cache, host.say)
            division, slices, is_made = None, None, settings.unseen is Unseen.MADE
            if settings.unseen is not Unseen.NOTHING:
                division = division_of(task, corpus, host.cache, host.say, make=is_made)
            if settings.unseen in (Unseen.SLICES, Unseen.MADE):
                slices = slices_of(task, corpus, host.cache, sandbox, host.say, division=division, make=is_made)
            yield cls(
                task=task,
                corpus=corpus,
                sandbox=sandbox,
                scorer=scorer_of(task, corpus, sandbox, division=division),
                passed_on=passed_on,
                compiled=settings.compiled,
                conditions=conditions_of(
                    task, corpus, settings.sandbox, settings.gpus, division, is_here=settings.on == HERE
                ),
                probe=_probe(task, settings, sandbox, passed_on),
                slices=slices,
                cpu_meter=_cpu_meter(task, corpus, settings, sandbox, passed_on),
            )
        finally:
            sandbox.close()

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
        job = replace((with_cache if baseline else saves_cache)(job, self.compiled), stop_when=watch)
        execution = self.sandbox.run(hands_out_metric_file(job, task))
        stop = watch.end() if watch is not None else None
        log, stdout = read_tail(paths.log), read_tail(paths.stdout)
        failed = (stop.status, stop.reason) if stop is not None else failure(execution, log, task.budget)
        if failed is None and not task.score.row.is_self_reported and execution.output_bytes == 0:
            failed = saved_nothing(log)
        if watch is None:
            return Trained(attempt, execution, log, stdout, failed)
        return Trained(attempt, execution, log, stdout, failed, stop, watch.curve, watch.condemned)

    def scored_again(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """Return the outcome of an executed attempt, scored again under its present `to_beat`.

        Raises:
            SandboxError: a sandbox failed, not the script.
        """
        score = self.score(_artifact(attempt, read_tail(attempt.paths.log), read_tail(attempt.paths.stdout)))
        is_ok = score.status is Status.OK
        return replace(
            outcome,
            status=score.status,
            val_loss=score.val_loss if is_ok else None,
            reason=outcome.reason if is_ok else score.reason,
            score=score,
        )

    def score(self, artifact: Artifact, split: str = "val") -> Score:
        """Return the score of an artifact on a split of the data.

        Raises:
            SandboxError: a sandbox failed, not the script.
        """
        scorer = self.scorer if split == "val" else scorer_of(self.task, self.corpus, self.sandbox, split=split)
        return scorer.score(artifact)

    def _judged(self, trained: Trained, score: Score | None) -> Outcome:
        """Return the outcome of a training and its score, with all observations; None: nothing was scored."""
        task, execution = self.task, trained.execution
        outcome = judge(execution, trained.failed, score, task.budget)
        reports = reported(trained.stdout) or reported(trained.log)
        flags = reported_flags(reports, execution, outcome.val_loss, task.metric, trained.attempt.baseline)
        outcome = replace(
            outcome,
            reported=reports,
            flags=flags,
            conditions=self.conditions,
            curve=trained.curve,
            condemned=trained.condemned,
        )
        if trained.stop is not None:
            charged = trained.stop.charge_seconds(task.budget, execution.wall_seconds)
            outcome = replace(outcome, train_seconds=charged, stopped_at=trained.stop.share)
        return replace(outcome, machine=_gpu_of(execution)) if task.budget.unit == "seconds" else outcome


def _gpu_of(execution: Execution) -> MachineSpeed | None:
    """Return what the driver reported of the job's GPU; None if the job had none."""
    seen = execution.gpu_state
    return MachineSpeed(gpu=seen.throttled, sm_mhz=seen.sm_mhz, others=seen.others) if seen is not None else None


def _probe(
    task: Task, settings: ExecutionSettings, sandbox: Sandbox, passed_on: Mapping[str, str]
) -> SpeedProbe | None:
    """Return the probe of the machine's speed; None where the speed decides nothing."""
    if settings.probe is None or not has_canary(task):
        return None
    label, folder = settings.probe
    return SpeedProbe(task, sandbox, folder, label=label, on_gpu=bool(settings.gpus), passed_on=passed_on)


def _cpu_meter(
    task: Task, corpus: Corpus | None, settings: ExecutionSettings, sandbox: Sandbox, passed_on: Mapping[str, str]
) -> CpuMeter | None:
    """Return the meter for CPU seconds; None where they are not compared."""
    if settings.probe is None:
        return None
    label, folder = settings.probe
    return cpu_meter_of(task, corpus, sandbox, folder, label=label, passed_on=passed_on)
