"""What runs on the nodes of Ray: the task of one job, and the actor through which jobs and driver exchange messages."""

from collections.abc import Iterator
from typing import Any

from agent import __version__
from sandbox.node.job_folder import JobResult
from sandbox.node.sent_job import Progress, SentJob, SentResult, n_pieces, run_sent_job
from sandbox.node.snapshot import FileSnapshot

_REPORT_SECONDS = 60.0


class Mailbox:
    """An actor beside the driver. Tasks post the progress of their jobs, and read whether they must stop."""

    def __init__(self) -> None:
        self._posted: list[tuple[str, Progress]] = []  # node and progress, until the driver confirms them
        self._n_confirmed = 0
        self._stopping: frozenset[str] = frozenset()
        self._replaced: frozenset[str] = frozenset()

    def arrive(self, node_id: str, task: str, job: str) -> bool:
        """Record that a task has arrived at a node; return whether it may run its job, since no other replaced it."""
        if task in self._replaced:
            return False
        self._posted.append((node_id, Progress(job, None)))
        return True

    def report(self, node_id: str, progress: Progress) -> bool:
        """Post the progress of a job on a node; return whether the job must stop."""
        if progress.started is not None or progress.has_begun or progress.printed:
            self._posted.append((node_id, progress))
        return progress.name in self._stopping

    def take(
        self, n_confirmed: int, stopping: frozenset[str], replaced: frozenset[str]
    ) -> tuple[int, list[tuple[str, Progress]]]:
        """Return how much was ever posted, and what of it was not confirmed yet.

        Args:
            n_confirmed: the number that the last answer received had.
            stopping: names of the jobs that must stop.
            replaced: names of the tasks that may not run their job if they have not arrived before this call.
        """
        del self._posted[: n_confirmed - self._n_confirmed]
        self._n_confirmed, self._stopping, self._replaced = n_confirmed, stopping, replaced
        return n_confirmed + len(self._posted), self._posted


def run_job(sent: SentJob, task: str, version: str, mailbox: Any, node_names: dict[str, str]) -> tuple[Any, ...]:
    """Run a job, as the task of a worker; return its SentResult, and the pieces of the files that it wrote.

    Args:
        task: name of the task; a job has several if a node dies before it is known which of them has arrived.
        version: of the program that sent it.
        mailbox: handle of the Mailbox.
        node_names: by the ids of nodes.
    """
    import pickle

    import ray

    n_empty = n_pieces(sent.request) * 2
    node_id = ray.get_runtime_context().get_node_id()
    node = node_names.get(node_id, node_id[:8])
    if version != __version__:
        message = (
            f"node {node} has autocentaur {__version__}, and this run is of {version}: install the same there, "
            f"pip install autocentaur=={version}"
        )
        return (SentResult(JobResult(failed=message), None, {}, {}), *[None] * n_empty)

    def fetch(snapshot: FileSnapshot) -> Iterator[bytes]:
        for piece in snapshot.pieces:
            try:
                yield ray.get(piece)
            except ray.exceptions.RayError as error:
                raise OSError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error

    def asked(method: Any, *arguments: object) -> bool:
        try:
            answer: bool = ray.get(method.remote(node_id, *arguments), timeout=_REPORT_SECONDS)
        except ray.exceptions.RayError as error:
            raise ConnectionError(str(error)) from error
        return answer

    try:
        may_run = asked(mailbox.arrive, task, sent.name)
    except ConnectionError:
        may_run = False
    if not may_run:
        lost = JobResult(lost="another task has replaced it, or the run does not answer")
        return (SentResult(lost, None, {}, {}), *[None] * n_empty)
    result, pieces = run_sent_job(sent, node, fetch, lambda progress: asked(mailbox.report, progress))
    mapped = [pickle.PickleBuffer(piece) if piece.nbytes else None for piece in pieces]
    return (result, *mapped, *[None] * (n_empty - len(mapped)))
