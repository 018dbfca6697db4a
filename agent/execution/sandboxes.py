"""The sandboxes by name, one row each, and the function that opens one for a run.

A sandbox is a folder in sandbox/ and a row of SANDBOXES. Its modules are imported only when it is opened, since the
help of the command line needs nothing but the names.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import TaskError, UsageError
from agent.text import no_such

if TYPE_CHECKING:
    from agent.task.task import Task
    from agent.text import Say
    from sandbox.job import Sandbox

DEFAULT_SANDBOX = "bubblewrap"
"""The sandbox of a run that names none; RunConfig has the same default."""


@dataclass(frozen=True)
class SandboxInputs:
    """What a sandbox is opened with."""

    task: "Task"
    accept_unenforced: frozenset[str]  # limits that this machine need not enforce
    gpus: tuple[str, ...]  # that jobs may use; the sandbox does not assign them
    say: "Say"  # prints one line
    image: str | None = None  # digest of an image on this machine to use in place of the task's own
    is_check: bool = False  # opened by `agent doctor`: this program's interpreter is the default


@dataclass(frozen=True)
class SandboxKind:
    """One sandbox. An Execution's `sandbox` begins with its name."""

    name: str
    needs: str  # what the machine must offer
    open: "Callable[[SandboxInputs], Sandbox]"
    has_image: Callable[[str], bool] | None = None  # whether an image is on this machine; None: it has no images
    find: Callable[[], None] = lambda: None  # raises SandboxError if the machine does not offer that

    @property
    def owns_image(self) -> bool:
        """Whether its jobs see an image in place of this machine's files."""
        return self.has_image is not None


def _bubblewrap(inputs: SandboxInputs) -> "Sandbox":
    from sandbox.bubblewrap import BubblewrapSandbox

    return BubblewrapSandbox(_python(inputs.task), inputs.accept_unenforced)


def _docker(inputs: SandboxInputs) -> "Sandbox":
    from agent.task.host_commands.host_code import build_context
    from sandbox import interpreter
    from sandbox.container import DockerSandbox
    from sandbox.container.image import ImageSpec

    task = inputs.task
    image, dockerfile, python = task.environment.image, task.environment.dockerfile, _python(task)
    if image is not None and dockerfile is not None:
        raise TaskError(f"{task.folder}/task.toml: [environment] names both an image and a dockerfile; choose one")
    names_image = image is not None or dockerfile is not None
    if names_image:
        python = None
    elif inputs.is_check and inputs.image is None:
        python = python or interpreter.own_interpreter()
    with build_context(task) if dockerfile is not None and inputs.image is None else nullcontext() as context:
        wanted = ImageSpec(inputs.image or image, context, python)
        return DockerSandbox(wanted, inputs.accept_unenforced, gpus=bool(inputs.gpus), say=inputs.say)


def _docker_has(image: str) -> bool:
    from sandbox.container.engine import Engine

    with Engine() as engine:
        return engine.image(image) is not None


def _find_docker() -> None:
    from sandbox.container.engine import Engine

    Engine().close()


_ROWS = (
    SandboxKind(DEFAULT_SANDBOX, "unprivileged user namespaces", _bubblewrap),
    SandboxKind("docker", "a container engine", _docker, has_image=_docker_has, find=_find_docker),
)
SANDBOXES = {row.name: row for row in _ROWS}


def sandbox_named(name: str) -> SandboxKind:
    """Return the sandbox of that name. Raises UsageError if there is none."""
    if name not in SANDBOXES:
        raise UsageError(f"--sandbox {name}: {no_such('sandbox', name, SANDBOXES)}")
    return SANDBOXES[name]


def recorded_kind(identity: str) -> str:
    """Return the name of the sandbox that an Execution records as `identity`."""
    name = identity.partition(" ")[0]
    return name if name in SANDBOXES else DEFAULT_SANDBOX


def open_sandbox(
    kind: str,
    task: "Task",
    accept_unenforced: frozenset[str] = frozenset(),
    gpus: tuple[str, ...] = (),
    say: "Say" = print,
    *,
    image: str | None = None,
    is_check: bool = False,
) -> "Sandbox":
    """Return the sandbox of that kind; with `gpus`, each of its jobs gets one of them to itself.

    `image` is the digest of one to use in place of the task's own, if it is on this machine; `is_check` is for
    `agent doctor`, and makes this program's interpreter the default.

    Raises:
        UsageError: there is no such sandbox, or the user has not trusted what the task names.
        TaskError: the task's [environment] is invalid.
        SandboxError: the sandbox does not work here, or not with one of the GPUs; the message has the remedy.
    """
    from agent.task.host_commands.host_code import check_environment

    row = sandbox_named(kind)
    check_environment(task)
    if image is not None and row.has_image is not None and not row.has_image(image):
        say(f"the image {image} is not on this machine; the task's own is used")
        image = None
    sandbox = row.open(SandboxInputs(task, accept_unenforced, gpus, say, image, is_check))
    if not gpus:
        return sandbox
    from sandbox.gpu.leasing import GpuLeasingSandbox, Leases, shared_folder

    return GpuLeasingSandbox(sandbox, gpus, Leases(shared_folder(), say))


def image_is_here(image: str) -> bool:
    """Return whether this machine has the image of that digest. Raises SandboxError if no engine for images is here."""
    return any(row.has_image(image) for row in SANDBOXES.values() if row.has_image is not None)


def _python(task: "Task") -> Path | None:
    python = task.environment.python
    return Path(python) if python else None
