"""What runs on the nodes of Ray: the task of one job, and the actor through which jobs and driver exchange messages.

Ray gets the code of `Mailbox`, `run_job` and `name_of`, which need nothing of this program before the version is
checked: a node that has another one, or none, can still say so.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sandbox.node.sent_job import Progress, SentJob, SentResult, run_sent_job
from sandbox.node.snapshot import FileSnapshot

_REPORT_SECONDS = 60.0


class Mailbox:
    """An actor beside the driver. Tasks post what happens to their jobs, and read whether they must stop."""

    def __init__(self) -> None:
        self._posted: list[tuple[str, str, bytes]] = []  # until the driver confirms them
        self._n_confirmed = 0
        self._stopping: frozenset[str] = frozenset()
        self._replaced: frozenset[str] = frozenset()

    def arrive(self, job: str, node_id: str, task: str) -> bool:
        """Record that a task has arrived at a node; return whether it may run its job, since no other replaced it."""
        if task in self._replaced:
            return False
        self._posted.append((job, node_id, b""))
        return True

    def report(self, job: str, node_id: str, progress: bytes) -> bool:
        """Post the progress of a job on a node, pickled, or none; return whether the job must stop."""
        if progress:
            self._posted.append((job, node_id, progress))
        return job in self._stopping

    def take(
        self, n_confirmed: int, stopping: frozenset[str], replaced: frozenset[str]
    ) -> tuple[int, list[tuple[str, str, bytes]]]:
        """Return how much was ever posted, and what of it was not confirmed yet: jobs, nodes and progress.

        Args:
            n_confirmed: the number that the last answer received had.
            stopping: names of the jobs that must stop.
            replaced: names of the tasks that may not run their job if they have not arrived before this call.
        """
        del self._posted[: n_confirmed - self._n_confirmed]
        self._n_confirmed, self._stopping, self._replaced = n_confirmed, stopping, replaced
        return n_confirmed + len(self._posted), self._posted


def run_job(
    *, box: list[Any], job: str, task: str, version: str, mailbox: Any, node_names: dict[str, str], n_returns: int
) -> tuple[Any, ...]:
    """Run a job, as the task of a worker; return how it ended, and the pieces of the files that it wrote.

    The first value is a SentResult; or the name of this node, and why it cannot run the job; or None if the job was not
    started because another task has replaced this one, or since the run does not answer.

    Args:
        box: a reference to the SentJob.
        job: its name.
        task: name of the task; a job has several if a node dies before it is known which of them has arrived.
        version: of the program that sent it.
        mailbox: handle of the Mailbox.
        node_names: by the ids of nodes.
        n_returns: how many values are to be returned.
    """
    import ray

    node_id = ray.get_runtime_context().get_node_id()

    def asked(method: Any, *arguments: object) -> bool:
        try:
            answer: bool = ray.get(method.remote(job, node_id, *arguments), timeout=_REPORT_SECONDS)
        except ray.exceptions.RayError as error:
            raise ConnectionError(str(error)) from error
        return answer

    nothing = [None] * (n_returns - 1)
    try:
        if not asked(mailbox.arrive, task):
            return (None, *nothing)
    except ConnectionError:
        return (None, *nothing)
    if (node := node_names.get(node_id)) is None:  # it joined the cluster after the run had looked at the nodes
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        node = next((name_of(each) for each in nodes if each["NodeID"] == node_id), node_id[:8])
    found = "has no autocentaur in the Python of Ray"
    try:
        from agent import __version__

        found = f"has autocentaur {__version__}"
        is_same = __version__ == version
    except ImportError:
        is_same = False
    if not is_same:
        remedy = f"install the same there, pip install 'autocentaur[ray]=={version}'"
        return ((node, f"node {node} {found}, and this run is of {version}: {remedy}"), *nothing)
    from agent.execution.placement.on_ray.node_task import run_in_box

    first, pieces = run_in_box(box, node, lambda progress: asked(mailbox.report, progress))
    return (first, *pieces, *nothing[len(pieces) :])


def name_of(node: Mapping[str, Any]) -> str:
    """Return what a person calls a node of `ray.nodes()`: the name that it was started with, or that of its host."""
    return str(node["NodeManagerHostname"] if node["NodeName"] == node["NodeManagerAddress"] else node["NodeName"])


def run_in_box(box: list[Any], node: str, report: Callable[[bytes], bool]) -> tuple[SentResult | None, list[Any]]:
    """Run the job that `box` refers to on this node, called `node`; return as `run_job` does.

    Args:
        report: sends pickled progress, or none, and returns whether the job must stop. Raises ConnectionError.
    """
    import ray

    def fetch(snapshot: FileSnapshot) -> Iterator[bytes]:
        for piece in snapshot.pieces:
            try:
                yield ray.get(piece)
            except ray.exceptions.RayError as error:
                raise OSError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error

    def report_progress(progress: Progress) -> bool:
        has_news = progress.started is not None or progress.has_begun or bool(progress.printed)
        return report(pickle.dumps(progress) if has_news else b"")

    try:
        sent: SentJob = ray.get(box[0])
    except ray.exceptions.RayError:
        return None, []
    result, pieces = run_sent_job(sent, node, fetch, report_progress)
    return result, [pickle.PickleBuffer(piece) if piece.nbytes else None for piece in pieces]
