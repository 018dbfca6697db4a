"""Whatever goes wrong when a result comes, its job has ended: nobody would see the error, and the run would wait."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.execution.placement.on_ray.mirror import Mirror
from agent.execution.placement.on_ray.results import ResultReceiver
from sandbox.job import Job, Limits
from sandbox.node.job_folder import InnerSandbox, JobFolder, JobRequest, JobResult
from sandbox.node.sent_job import SentResult


class StandInError(Exception):
    """In place of those of Ray."""


@pytest.mark.parametrize(
    "result", [("n1", "it has no autocentaur"), "of another kind", SentResult(JobResult(), None, {}, {"output": 3})]
)
def test_a_result_that_cannot_be_kept_ends_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    job = Job(("true",), "RUN/1/train", Limits(60.0, 1.0), tmp_path / "log", tmp_path / "artifact")
    request = JobRequest.of(job, InnerSandbox(), needs_gpu=False)
    folder = JobFolder(tmp_path / "job")
    folder.create(request)
    names = ("TaskCancelledError", "RayTaskError", "RayError")
    errors = SimpleNamespace(**{name: type(name, (StandInError,), {}) for name in names})
    ray, mirror = SimpleNamespace(get=lambda ref: ref, exceptions=errors), Mirror(folder, request)
    receiver = ResultReceiver(ray, dict)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JobFolder, "finish", fail)
    monkeypatch.setattr(JobFolder, "start", fail)
    receiver.receive(mirror, [result])
    receiver.close()
    assert not mirror.is_alive
