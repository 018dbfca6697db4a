"""The places where the jobs of a run can be executed, one row each, and the function that opens one for a run.

A place is a file in this folder and a row of PLACES. Its modules are imported only when it is opened.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import UsageError
from agent.extras import require_extra
from agent.text import no_such

if TYPE_CHECKING:
    from agent.execution.placement.job_queue import JobQueue
    from agent.execution.placement.placing import PlacingSandbox
    from agent.task.task import Task
    from agent.text import Say

HERE = "here"
"""The place of a run that names none: this machine. RunConfig has the same default."""
PLACED_SANDBOX = "bubblewrap"
"""The sandbox that nodes open."""


@dataclass(frozen=True)
class PlaceKind:
    """One place. Where it is a cluster, jobs run on its nodes."""

    name: str
    detail: str  # what may follow the name and a colon, as in the help; empty: nothing
    open: "Callable[[Task, str | None], JobQueue] | None"  # gets what follows; None: it is this machine
    detail_pattern: str = "[A-Za-z0-9_.,-]+"  # of what may follow
    grace_seconds: float = 120.0  # for the files of a job that the cluster calls ended; NFS may show them 60 s late
    extra: str = ""  # the extra that it needs; empty: none
    gpu_remedy: str = ""  # what to do if a job that asks for a GPU sees none

    @property
    def form(self) -> str:
        """What a user writes: "slurm[:PARTITION]"."""
        return f"{self.name}[:{self.detail}]" if self.detail else self.name


def _slurm(task: "Task", partition: str | None) -> "JobQueue":
    from agent.execution.placement.slurm import Slurm

    return Slurm(task.cluster, partition)


def _ray(task: "Task", address: str | None) -> "JobQueue":
    from agent.execution.placement.on_ray.ray_queue import Ray

    return Ray(task.cluster, address)


_HOST_AND_PORT = r"([A-Za-z0-9_.-]+|\[[0-9a-fA-F:]+\]):[0-9]+"
_ROWS = (
    PlaceKind(HERE, "", None),
    PlaceKind("slurm", "PARTITION", _slurm, gpu_remedy="check gres.conf of the node, and its driver"),
    PlaceKind(
        "ray",
        "HOST:PORT",
        _ray,
        detail_pattern=_HOST_AND_PORT,
        grace_seconds=2.0,
        extra="ray",
        gpu_remedy="start Ray there with --num-gpus, and check its driver",
    ),
)
PLACES = {row.name: row for row in _ROWS}


def place_named(on: str) -> tuple[PlaceKind, str | None]:
    """Return the place that `on` names, as in `slurm:gpu`, and what follows its name.

    Raises:
        UsageError: there is no such place.
    """
    name, colon, detail = on.partition(":")
    if name not in PLACES:
        raise UsageError(f"--on {on}: {no_such('place', name, PLACES)}")
    row = PLACES[name]
    if colon and (not row.detail or not re.fullmatch(row.detail_pattern, detail, re.ASCII)):
        raise UsageError(f"--on {on}: write {name}{f':{row.detail}' if row.detail else ''}")
    return row, detail or None


def cluster_of(on: str) -> str:
    """Return the name of the cluster that `on` names; empty for this machine. Raises UsageError for no place."""
    row, _ = place_named(on)
    return "" if row.open is None else row.name


def refuse_with_cluster(on: str, *, sandbox: str, gpus: str | None) -> None:
    """Check, before anything is written, that jobs can be placed there with these options.

    Raises:
        UsageError: options are given that have no effect on the nodes of a cluster.
        MissingRequirementError: the place needs an extra that is not installed.
    """
    row, _ = place_named(on)
    name = row.name
    if row.open is None:
        return
    if row.extra:
        require_extra(row.extra, f"--on {name}")
    if gpus is not None:
        raise UsageError(
            f"--gpus {gpus} names GPUs of this machine; on {name}, write gpus = 1 into [cluster] of task.toml"
        )
    if sandbox != PLACED_SANDBOX:
        raise UsageError(
            f"--sandbox {sandbox}: on {name}, jobs run in {PLACED_SANDBOX} on each node; use --sandbox {PLACED_SANDBOX}"
        )


def open_place(
    on: str, task: "Task", accept_unenforced: frozenset[str], folder: Path | None, say: "Say"
) -> "PlacingSandbox":
    """Return the sandbox whose jobs run on the nodes of a cluster.

    Args:
        folder: of the files of jobs; for Slurm on a file system that the nodes share.

    Raises:
        UsageError: there is no such place, or the user has not trusted what the task names.
        SandboxError: the cluster cannot be used, or refuses such jobs; the message has the remedy.
    """
    from agent.execution.placement.placed_job import Timeouts
    from agent.execution.placement.placing import PlacingSandbox
    from agent.execution.training_job import limits_of
    from agent.task.host_commands.host_code import check_environment
    from sandbox.node.job_folder import InnerSandbox

    row, detail = place_named(on)
    assert row.open is not None, "jobs on this machine need no place"
    assert folder is not None, "jobs on a cluster need a folder"
    check_environment(task)
    inner = InnerSandbox(task.environment.python, tuple(sorted(accept_unenforced)))
    timeouts = Timeouts(grace=row.grace_seconds)
    placing = PlacingSandbox(row.open(task, detail), inner, folder, gpus=task.cluster.gpus, say=say, timeouts=timeouts)
    try:
        placing.check(limits_of(task))
    except BaseException:
        placing.close()
        raise
    return placing
