"""What a task does on this machine outside of any sandbox: its steps, the consent to them, and how they are run.

A task can come from a stranger. Consent is given to the digest of a step, which covers every file that the step
executes. The step then runs in a private copy that holds these files and no others, made and checked in one pass.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.errors import TaskError, UsageError
from agent.task.host_commands.host_files import Parts, context_files, digest_files, named_files
from agent.task.host_commands.prepared import run_command

if TYPE_CHECKING:
    from agent.task.task import Task  # it brings numpy and pydantic, and `agent --help` does without

Kind = Literal["prepare", "pool"]

_COMMANDS: Mapping[Kind, str] = {"prepare": "prepares data", "pool": "makes the pool"}


@dataclass(frozen=True)
class HostStep:
    """One thing that a task does outside of the sandbox."""

    line: str  # for a person
    digest: str  # of the command or setting, and of every file that it executes


def host_steps(task: "Task", *, with_data: bool = True) -> tuple[HostStep, ...]:
    """Return what a task does outside of the sandbox, empty if it does nothing there.

    Without `with_data`, the commands that prepare data and make the pool are left out.

    The interpreter that runs this program is no stranger's, and is left out. Commands and Dockerfiles have the same
    digest wherever the task lies, because all that they execute is in it. What leads to other files of this machine
    (interpreters, mounts, variables) is tied to the task's folder.

    Raises:
        TaskError: a file of it cannot be read, or there are too many.
    """
    commands = [_Command.of(task, kind) for kind in _COMMANDS if with_data and _words(task, kind)]
    steps = [HostStep(command.line, command.digest()) for command in commands]
    environment = task.environment
    if environment.python is not None and not is_own_interpreter(environment.python):
        path = Path(environment.python)
        line = f"interpreter: {path}" + (f", a link to {os.path.realpath(path)}" if path.is_symlink() else "")
        steps.append(HostStep(line, _tied(task, line, *_place_of(task, path))))
    for mount in environment.mounts:
        line = f"opens to jobs: {mount.source}, as {mount.target}"
        steps.append(HostStep(line, _tied(task, line)))
    if environment.variables:
        line = f"passes to jobs your variables {', '.join(environment.variables)}"
        steps.append(HostStep(line, _tied(task, line)))
    if environment.dockerfile is not None:
        steps.append(HostStep(f"builds: {environment.dockerfile}", _context_digest(_dockerfile(task))))
    return tuple(steps)


def is_own_interpreter(python: str) -> bool:
    """Whether an interpreter is the one that runs this program: the same file in the same folder, so the same packages.

    A link to it from another folder is another environment, with packages and start-up files of its own.
    """
    path, own = Path(python), Path(sys.executable)
    return os.path.realpath(path) == os.path.realpath(own) and os.path.realpath(path.parent) == os.path.realpath(
        own.parent
    )


@dataclass
class _Consent:
    """The digests that this process has agreed to; nobody is asked where it serves as a library."""

    is_required: bool = False
    digests: set[str] = field(default_factory=set)


_consent = _Consent()


def require_consent() -> None:
    """From now on refuse every step that was not agreed to: a command that forgets to ask runs nothing."""
    _consent.is_required = True


def give_consent(steps: Iterable[HostStep]) -> None:
    """Let this process run these steps, as long as their files are the same."""
    _consent.digests.update(step.digest for step in steps)


def check_environment(task: "Task") -> None:
    """Raise UsageError if interpreter, mounts, variables or Dockerfile of a task are not what was agreed to."""
    if _consent.is_required:
        for step in host_steps(task, with_data=False):
            _check(step.digest, step.line, task)


def run_step(task: "Task", kind: Kind, places: Mapping[str, Path]) -> str:
    """Run the command that prepares data or makes the pool; return the last line that it printed.

    It runs in a private copy with what its digest covers: the frozen files, the files that its words name, Python
    files beside the script, and for the pool `pool_files`. Nothing else of the task's folder can be imported or read.

    Args:
        places: what stands for {name} in the command; {out} among them.

    Raises:
        UsageError: a file of it is not what was agreed to.
        MissingRequirementError: it failed; the message has its last line.
    """
    command = _Command.of(task, kind)
    with tempfile.TemporaryDirectory(prefix=f".{task.name}-{kind}-", dir=places["out"].parent) as copy:
        _check(command.digest(Path(copy)), command.line, task)
        here = {name: place.absolute() for name, place in places.items()}
        return run_command(Path(copy), command.words, here, "the data" if kind == "prepare" else "the pool")


@contextmanager
def build_context(task: "Task") -> Iterator[Path]:
    """Yield the task's Dockerfile in a private copy of its folder, which is removed afterwards.

    Raises:
        TaskError: there is no such file in the task's folder, or the folder has too many files.
        UsageError: a file of it is not what was agreed to.
    """
    dockerfile = _dockerfile(task)
    if dockerfile is None:
        raise TaskError(f"{task.folder}/task.toml: no dockerfile {task.environment.dockerfile} in the task's folder")
    with tempfile.TemporaryDirectory(prefix="autocentaur-build-") as copy:
        _check(_context_digest(dockerfile, Path(copy)), f"builds: {task.environment.dockerfile}", task)
        yield Path(copy) / dockerfile.name


def _check(digest: str, line: str, task: "Task") -> None:
    if _consent.is_required and digest not in _consent.digests:
        raise UsageError(
            f"nobody has agreed to this of {task.name}, or a file of it has changed since: {line}; look at it, then "
            f"`agent trust {task.folder}`"
        )


@dataclass(frozen=True)
class _Command:
    """A command of task.toml with the files that it runs on."""

    words: tuple[str, ...]
    parts: Parts
    tied_to: tuple[str, ...]  # where the program is an interpreter of an environment: which one; else empty
    kind: Kind

    @classmethod
    def of(cls, task: "Task", kind: Kind) -> "_Command":
        words = tuple(_within(task.folder, word) for word in _words(task, kind))
        program = task.folder.absolute() / words[0]
        is_path = "/" in words[0]
        tied = is_path and _is_in_environment(program)
        named = words if is_path and not tied else words[1:]
        if tied:  # its packages lie beside it, and are too many to be copied
            words = (str(program), *words[1:])
        own = {name: task.files[name] for name in task.frozen} | (task.pool_files if kind == "pool" else {})
        parts: dict[str, bytes | Path] = {os.path.normpath(name): content for name, content in own.items()}
        for path in (*_beside(task), *named_files(task.folder, named)):
            parts.setdefault(os.path.relpath(path, task.folder.absolute()), path)
        return cls(words, parts, _place_of(task, program) if tied else (), kind)

    @property
    def line(self) -> str:
        """What it does, for a person."""
        return f"{_COMMANDS[self.kind]}: {' '.join(self.words)}"

    def digest(self, into: Path | None = None) -> str:
        """Return the digest of the command and of its files; with `into`, copy them there as they are read."""
        return digest_files(self.parts, _state(self.kind, self.tied_to, self.words), into)


def _words(task: "Task", kind: Kind) -> tuple[str, ...]:
    return task.data.prepare if kind == "prepare" else task.data.pool


def _within(folder: Path, word: str) -> str:
    """Return a word of a command; a path within the task's folder as one from there."""
    for above in (folder.absolute(), folder.resolve()):
        if word.startswith("/") and Path(word).is_relative_to(above):
            return os.path.join(".", os.path.relpath(word, above))
    return word


def _is_in_environment(program: Path) -> bool:
    """Whether a program lies in an environment of Python's or Conda's."""
    return any((program.parent.parent / mark).exists() for mark in ("pyvenv.cfg", "conda-meta"))


def _beside(task: "Task") -> Iterator[Path]:
    """Yield the Python files beside the script, which a command may import. The script itself may change."""
    for path in sorted(task.folder.absolute().glob("*.py")):
        if path.name != task.script and path.is_file():
            yield path


def _dockerfile(task: "Task") -> Path | None:
    """Return the path of the task's Dockerfile, links resolved; None if there is no such file in the task's folder."""
    path = (task.folder / str(task.environment.dockerfile)).resolve()
    return path if path.is_file() and path.is_relative_to(task.folder.resolve()) else None


def _context_digest(dockerfile: Path | None, into: Path | None = None) -> str:
    if dockerfile is None:  # a sandbox that builds nothing does without
        return digest_files({}, _state("dockerfile"))
    return digest_files(context_files(dockerfile.parent), _state("dockerfile", dockerfile.name), into)


def _state(*words: object) -> str:
    return json.dumps(words)


def _tied(task: "Task", *words: str) -> str:
    """Return the digest of a setting that leads to other files of this machine, for the task in its folder."""
    return digest_files({}, _state(str(task.folder.resolve()), *words))


def _place_of(task: "Task", program: Path) -> tuple[str, ...]:
    """Return which interpreter lies at a path of this task: where links lead, its settings, itself if it is the task's.

    One that belongs to the machine may be upgraded. What is installed beside it is not looked at.
    """
    real, settings = Path(os.path.realpath(program)), program.parent.parent / "pyvenv.cfg"
    own: Parts = {"program": real} if real.is_relative_to(task.folder.resolve()) else {}
    return (str(task.folder.resolve()), str(real), digest_files({**own, "pyvenv.cfg": settings}, ""))
