"""Where the jobs of a run go: the sandbox that was asked for, with what the task says of its environment."""

from pathlib import Path

from agent.errors import TaskError
from agent.task.task import Task
from agent.text import Say
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.container import DockerSandbox
from sandbox.container.engine import Engine
from sandbox.container.image import ImageSpec
from sandbox.gpu.leasing import GpuLeasingSandbox, Leases, shared_folder
from sandbox.job import Sandbox


def open_sandbox(
    kind: str,
    task: Task,
    accept_unenforced: frozenset[str] = frozenset(),
    gpus: tuple[str, ...] = (),
    say: Say = print,
    *,
    image: str | None = None,
) -> Sandbox:
    """Return the sandbox of that kind; with `gpus`, each of its jobs gets one of them to itself.

    `image` is the digest of one to use in place of the task's own, if it is on this machine.

    Raises:
        TaskError: what the task says of its environment cannot be.
        SandboxError: it does not work here, or not with one of the GPUs; the message has the remedy.
    """
    sandbox: Sandbox
    if kind == "docker":
        wanted = _wanted(task)
        if image is not None and image_is_here(image):
            wanted = ImageSpec(image, python=wanted.python)
        elif image is not None:
            say(f"the image {image} is not on this machine; the task's own takes its place")
        sandbox = DockerSandbox(wanted, accept_unenforced, gpus=bool(gpus), say=say)
    else:
        sandbox = BubblewrapSandbox(_python(task), accept_unenforced)
    if not gpus:
        return sandbox
    return GpuLeasingSandbox(sandbox, gpus, Leases(shared_folder(), say))


def _wanted(task: Task) -> ImageSpec:
    """Return what the task says of its image. Raises TaskError if it says two things."""
    image, dockerfile, python = task.environment.image, _dockerfile(task), _python(task)
    if image is not None and dockerfile is not None:
        raise TaskError(f"{task.folder}/task.toml: [environment] names both an image and a dockerfile; choose one")
    return ImageSpec(image, dockerfile, python if image is None and dockerfile is None else None)


def image_is_here(image: str) -> bool:
    """Return whether this machine has the image of that digest. Raises SandboxError if no engine answers."""
    with Engine() as engine:
        return engine.image(image) is not None


def _python(task: Task) -> Path | None:
    python = task.environment.python
    return Path(python).expanduser() if python else None


def _dockerfile(task: Task) -> Path | None:
    if task.environment.dockerfile is None:
        return None
    path = (task.folder / task.environment.dockerfile).resolve()
    if not path.is_file() or not path.is_relative_to(task.folder.resolve()):
        raise TaskError(f"{task.folder}/task.toml: no dockerfile {task.environment.dockerfile} in the task's folder")
    return path
