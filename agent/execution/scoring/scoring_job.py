"""The scoring job: a fresh sandbox with the artifact, the script and one question from the host."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agent.execution.training_job import limits_of
from agent.task.task import Task
from agent.trials.trial import Status
from sandbox.job import OUTPUT, Execution, Job, Mount, StoppedBy

Question = Literal["claim", "audit", "predict"]


def scoring_job(
    task: Task,
    question: Question,
    *,
    files: Path,
    artifact: Path,
    asked: Mapping[str, Path],
    answer: Path,
    answer_bytes: int,
    log: Path,
    label: str,
    environment: Mapping[str, str],
) -> Job:
    """Return the job that answers `question` about `artifact`.

    Args:
        files: the trial's exported tree.
        asked: files of the question by their name below /data.
        answer: host file that receives the answer.
        answer_bytes: its size; the sandbox lets it grow no further.
    """
    inside = [Mount(path, f"/data/{name}") for name, path in asked.items()]
    return Job(
        argv=(*task.score.command, question),
        label=label,
        limits=replace(limits_of(task), output_mb=answer_bytes / 2**20, cpu_seconds=None),
        log=log,
        output=answer,
        mounts=(Mount(files, "/task"), Mount(artifact, "/in/artifact"), *inside),
        environment={**task.variables, **environment, "SCORE_ARTIFACT": "/in/artifact", "SCORE_OUTPUT": OUTPUT},
        workdir="/task",
    )


def fault(execution: Execution, answer_bytes: int) -> tuple[Status, str] | None:
    """Return why there is no answer of the right size, or None.

    The sentence goes back to proposers, so nothing is in it that the job chose: an exit status or a size could tell
    them, trial by trial, of the held-out text. The numbers are in the evidence.
    """
    if execution.stopped_by is not StoppedBy.ITSELF:
        return Status.BAD_ARTIFACT, f"the scoring job was ended by its {execution.stopped_by.value.replace('_', ' ')}"
    if execution.exit_code != 0:
        return Status.BAD_ARTIFACT, "the scoring job failed: the model could not be loaded or used"
    if execution.output_bytes != answer_bytes:
        return Status.REJECTED_SCORE, "the answer of the scoring job is too short or too long"
    return None
