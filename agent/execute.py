"""One execution of a script: trained in a sandbox, scored from what it left behind, judged by the host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agent.compile_cache import leaving, warmed
from agent.data import Corpus
from agent.flags import reported_flags
from agent.judge import failure, judge, read_tail, reported, saved_nothing
from agent.machine import Machine
from agent.paths import TrialPaths
from agent.prune import Watch
from agent.score.scorer import Artifact, Scorer
from agent.task import Task
from agent.train_job import export, training_job
from agent.trial import Outcome
from sandbox.job import Execution, Sandbox


@dataclass(frozen=True)
class Workbench:
    """What scripts are executed with: the same for every execution of a run."""

    task: Task
    corpus: Corpus | None
    sandbox: Sandbox
    scorer: Scorer
    passed_on: Mapping[str, str]  # variables of the caller that task.toml allows
    compiled: Path  # what the baseline left of its compilers; see agent.compile_cache
    conditions: Mapping[str, str]  # what results may depend on here; see agent.conditions


def execute(
    bench: Workbench,
    source: str,
    paths: TrialPaths,
    *,
    label: str,
    number: int,
    train_seed: int,
    baseline: Outcome | None,
    to_beat: float | None,
    watch: Watch | None = None,
    scoring: Callable[[], None] = lambda: None,
) -> Outcome:
    """Train `source` and score what it leaves behind; return what came of it, `kept` not yet decided.

    Args:
        paths: where the exported tree, log, artifact and evidence go.
        label: names the jobs, "RUN/0007".
        number: of the trial whose script this is.
        baseline: outcome of trial 0, which the limits of some budgets follow; None for the baseline itself.
        to_beat: what is lower would decide something, and is audited more closely; None: nothing would.
        watch: follows the training and may stop it; None: it runs to its end.
        scoring: called between training and scoring.

    Raises:
        SandboxError: a sandbox failed, not the script.
    """
    task = bench.task
    paths.root.mkdir(parents=True, exist_ok=True)
    export({**task.files, task.script: source.encode()}, paths.files)
    job = training_job(
        task,
        bench.corpus,
        paths,
        label=f"{label}/train",
        train_seed=train_seed,
        baseline_cpu_seconds=baseline.cpu_seconds if baseline else None,
        baseline_wall_seconds=baseline.wall_seconds if baseline else None,
        passed_on=bench.passed_on,
    )
    job = replace((warmed if baseline else leaving)(job, bench.compiled), stop_when=watch)
    execution = bench.sandbox.run(job)
    stop = watch.end() if watch is not None else None
    log = read_tail(paths.log)
    failed = (stop.status, stop.reason) if stop is not None else failure(execution, log, task.budget)
    if failed is None and task.score.kind != "printed" and execution.output_bytes == 0:
        failed = saved_nothing(log)
    score = None
    if failed is None:
        scoring()
        left_behind = Artifact(paths.artifact, paths.files, log, paths.score, label, number, to_beat=to_beat)
        score = bench.scorer.score(left_behind)
    outcome = judge(execution, failed, score, task.budget)
    said = reported(log)
    flags = reported_flags(said, execution, outcome.val_loss, task.metric, baseline)
    outcome = replace(outcome, reported=said, flags=flags, conditions=bench.conditions)
    if watch is not None:
        outcome = replace(outcome, curve=watch.curve, condemned=watch.condemned)
    if stop is not None:
        charged = stop.charge_seconds(task.budget, execution.wall_seconds)
        outcome = replace(outcome, train_seconds=charged, stopped_at=stop.share)
    return replace(outcome, machine=_gpu_of(execution)) if task.budget.unit == "seconds" else outcome


def _gpu_of(execution: Execution) -> Machine | None:
    """Return what the driver said of the job's GPU; None if it had none."""
    seen = execution.gpu_state
    return Machine(gpu=seen.held_back, sm_mhz=seen.sm_mhz, others=seen.others) if seen is not None else None
