"""What runs on the nodes of Ray: the task of one job, and the actor through which jobs and driver exchange messages."""

from collections.abc import Iterator
from typing import Any

from agent import __version__
from sandbox.node.job_folder import JobResult
from sandbox.node.sent_job import Progress, SentJob, SentResult, n_pieces, run_sent_job
from sandbox.node.snapshot import FileSnapshot

_REPORT_SECONDS = 60.0


class Mailbox:
    """An actor beside the driver. Jobs post their progress here, and read whether they must stop."""

    def __init__(self) -> None:
        self._new: list[tuple[str, Progress]] = []
        self._stopping: frozenset[str] = frozenset()

    def report(self, node_id: str, progress: Progress) -> bool:
        """Post the progress of a job on a node; return whether the job must stop."""
        if progress.started is not None or progress.has_begun or progress.printed:
            self._new.append((node_id, progress))
        return progress.name in self._stopping

    def take(self, stopping: frozenset[str]) -> list[tuple[str, Progress]]:
        """Return the progress posted since the last call. `stopping`: names of the jobs that must stop."""
        self._stopping = stopping
        new, self._new = self._new, []
        return new


def run_job(sent: SentJob, version: str, mailbox: Any, node_names: dict[str, str]) -> tuple[Any, ...]:
    """Run a job, as the task of a worker; return its SentResult, and the pieces of the files that it wrote.

    Args:
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

    def report(progress: Progress) -> bool:
        try:
            is_to_stop: bool = ray.get(mailbox.report.remote(node_id, progress), timeout=_REPORT_SECONDS)
        except ray.exceptions.RayError as error:
            raise ConnectionError(str(error)) from error
        return is_to_stop

    result, pieces = run_sent_job(sent, node, fetch, report)
    mapped = [pickle.PickleBuffer(piece) if piece.nbytes else None for piece in pieces]
    return (result, *mapped, *[None] * (n_empty - len(mapped)))
