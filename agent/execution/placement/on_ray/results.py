"""The results of tasks: each is brought into the local folder of its job, by a few threads."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent.execution.placement.on_ray.mirror import Mirror

_AT_ONCE = 4


class ResultReceiver:
    """Receives what `run_job` returns, several at once, since large files may be slow to come."""

    def __init__(self, ray: Any, node_names: Callable[[], Mapping[str, str]]) -> None:
        """`ray`: the module; `node_names` returns the names of nodes by their ids."""
        self._ray = ray
        self._node_names = node_names
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def receive(self, mirror: Mirror, refs: list[Any]) -> None:
        """Begin to bring the result of a task, to which `refs` refer, into the folder of its job."""
        self._pool.submit(self._received, mirror, refs)

    def close(self) -> None:
        """Wait until all have come."""
        self._pool.shutdown()

    def _received(self, mirror: Mirror, refs: list[Any]) -> None:
        """Bring a result. Whatever goes wrong, the job has ended then: nobody would see the error."""
        try:
            self._bring(mirror, refs)
        except OSError as error:
            mirror.end(f"its files cannot be written here: {error}")
        except Exception as error:  # noqa: BLE001  whatever Ray raises
            mirror.end(f"{type(error).__name__}: {_first_sentence(error)}")

    def _bring(self, mirror: Mirror, refs: list[Any]) -> None:
        errors = self._ray.exceptions
        try:
            result = self._ray.get(refs[0])
            if result is None:
                mirror.end("NOT_STARTED")
            elif isinstance(result, tuple):
                mirror.fail(*result)
            else:
                mirror.finish(result, self._pieces(refs[1:]))
        except errors.TaskCancelledError:
            mirror.end("CANCELLED")
        except errors.RayTaskError as error:  # the program on the node failed, and would fail again
            cause = str(error).strip().splitlines()[-1]
            node = self._node_names().get(mirror.node_id, "")
            mirror.fail(node, f"the program there failed: {cause}; see the logs of Ray on that node")

    def _pieces(self, refs: list[Any]) -> Iterator[memoryview]:
        for ref in refs:
            piece = self._ray.get(ref)
            yield memoryview(b"" if piece is None else piece)


def _first_sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0][:200]
