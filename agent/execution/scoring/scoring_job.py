"""The scoring job: a fresh sandbox with the artifact, the script and one question from the host.

A script could save its training data in the artifact and continue training when it is loaded, outside the budget. So a
job may take `score.cost_factor` times what the baseline's job took for the same question, plus a start-up. The default,
8, admits every point of the bundled space: its largest model takes 30.0 CPU seconds for a claim and the baseline 2.6,
each plus 2.3 to start, so 6.6 times as much in all (2026-11-29).
"""

import ast
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from agent.edits.syntax import parse_script
from agent.execution.training_job import limits_of
from agent.task.task import Task
from agent.trials.trial import Score, Status
from sandbox.job import OUTPUT, Execution, Job, Limits, Mount, StoppedBy

Question = Literal["claim", "audit", "predict", "rounds"]

START_CPU_SECONDS = 10.0
"""Besides the factor. Importing a library that the baseline does not need, or compiling, costs seconds once; with less,
the factor would only measure the load of the machine."""
START_WALL_SECONDS = 30.0
"""The same in wall time, which is what counts on a GPU. A busy machine makes jobs wait: with a load of 20 on 2
processors, an idle container took 3.8 s (docs/security.md)."""
_COMPILES = re.compile(rb"(?<!\bre)\.compile\(|inductor|triton|cpp_extension")


def scoring_job(
    task: Task,
    question: Question,
    *,
    files: Path,
    artifact: Path,
    inputs: Mapping[str, Path],
    answer: Path,
    answer_bytes: int,
    log: Path,
    label: str,
    environment: Mapping[str, str],
    baseline: Score | None = None,
) -> Job:
    """Return the job that answers `question` about `artifact`.

    Args:
        files: the trial's exported tree.
        inputs: files of the question, by name below /data.
        answer: host file that receives the answer.
        answer_bytes: size of the answer; the sandbox lets it grow no further.
        baseline: the baseline's score, with its cost; None: only the task's limits hold.
    """
    limits = replace(limits_of(task), output_mb=answer_bytes / 2**20, cpu_seconds=None)
    inside = [Mount(path, f"/data/{name}", grows=question == "rounds") for name, path in inputs.items()]
    imports, compiles = needs_of((path.read_bytes() for path in files.rglob("*.py")), task.score.command)
    return Job(
        argv=(*task.score.command, question),
        label=label,
        limits=capped(limits, question, baseline, task.score.cost_factor),
        log=log,
        output=answer,
        mounts=(Mount(files, "/task"), Mount(artifact, "/in/artifact"), *inside),
        environment={**task.variables, **environment, "SCORE_ARTIFACT": "/in/artifact", "SCORE_OUTPUT": OUTPUT},
        workdir="/task",
        apart=True,
        imports=imports,
        compiles=compiles,
    )


def needs_of(sources: Iterable[bytes], command: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the modules that Python `sources` import, or `command` runs, and whether they compile.

    A source that is not Python counts as without imports. Imports by a computed name are not found.
    """
    modules = {module.partition(".")[0] for option, module in pairwise(command) if option == "-m"}
    compiles = False
    for source in sources:
        compiles = compiles or _COMPILES.search(source) is not None
        try:
            nodes = list(ast.walk(parse_script(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in nodes:
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                modules.add(node.module.partition(".")[0])
    return tuple(sorted(modules - sys.stdlib_module_names)), compiles


def capped(limits: Limits, question: Question, baseline: Score | None, factor: float) -> Limits:
    """Return the limits capped at `factor` times the baseline's seconds for the same question, plus a start-up.

    A figure that the baseline lacks caps nothing: journals of earlier versions do not have it.
    """
    cpu_seconds = baseline.cpu_seconds.get(question) if baseline is not None else None
    wall_seconds = baseline.wall_seconds.get(question) if baseline is not None else None
    if cpu_seconds is not None:
        limits = replace(limits, cpu_seconds=factor * cpu_seconds + START_CPU_SECONDS)
    if wall_seconds is not None:
        cap = factor * wall_seconds + START_WALL_SECONDS
        limits = replace(limits, wall_seconds=min(limits.wall_seconds, cap))
    return limits


def with_cost(score: Score, executions: Iterable[tuple[Question, Execution]]) -> Score:
    """Return the score with the CPU and wall seconds of the costliest job of each question."""
    cpu_seconds: dict[str, float] = {}
    wall_seconds: dict[str, float] = {}
    for question, execution in executions:
        wall_seconds[question] = max(wall_seconds.get(question, 0.0), round(execution.wall_seconds, 3))
        if execution.cpu_seconds is not None:
            cpu_seconds[question] = max(cpu_seconds.get(question, 0.0), round(execution.cpu_seconds, 3))
    return replace(score, cpu_seconds=cpu_seconds, wall_seconds=wall_seconds)


def observed(name: str, execution: Execution, answer_bytes: int) -> dict[str, Any]:
    """Return what tells a person why a job has no answer, and what it cost."""
    return {
        "job": name,
        "stopped_by": str(execution.stopped_by),
        "exit_code": execution.exit_code,
        "answer_bytes": execution.output_bytes,
        "expected_bytes": answer_bytes,
        "wall_seconds": round(execution.wall_seconds, 3),
        "cpu_seconds": execution.cpu_seconds,
    }


def fault(execution: Execution, answer_bytes: int) -> tuple[Status, str] | None:
    """Return why there is no answer of the right size, or None.

    Proposers read the sentence, so it holds nothing that the job chose: an exit status or a size could leak the
    held-out text, trial by trial. The numbers are in the evidence.
    """
    if execution.stopped_by is not StoppedBy.ITSELF:
        return Status.BAD_ARTIFACT, f"the scoring job was ended by its {execution.stopped_by.value.replace('_', ' ')}"
    if execution.exit_code != 0:
        return Status.BAD_ARTIFACT, "the scoring job failed: the model could not be loaded or used"
    if execution.output_bytes != answer_bytes:
        return Status.REJECTED_SCORE, "the answer of the scoring job is too short or too long"
    return None
