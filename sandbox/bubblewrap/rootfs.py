"""A job's file system, as options of bubblewrap. All is read-only except the output files, /tmp and /dev/shm."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sandbox import proc_constants
from sandbox.bubblewrap.launch import Identity
from sandbox.errors import SandboxError
from sandbox.interpreter import NAMED_PYTHON, NAMES, Interpreter
from sandbox.job import EXTRA_OUTPUT, HOST_NAME, OUTPUT, Job, Mount
from sandbox.job_checks import needs_copy

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # below / and below /usr
_SYSTEM_OF_USR = (*_SYSTEM, "libexec", "include")
_GPU_DEVICES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
_MADE_BY_OTHERS = {"/", "/tmp", "/proc", "/dev"}


@dataclass
class RootFs:
    """Options of bubblewrap, and the open files that they refer to. Close it after the launch."""

    options: list[str] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    _folders: set[str] = field(default_factory=lambda: set(_MADE_BY_OTHERS))

    def add(self, *options: str | Path) -> None:
        self.options += [str(option) for option in options]

    def bind(self, source: Path, target: str | Path, how: str = "--ro-bind") -> None:
        self.make_parents(target)
        self.add(how, source, target)

    def make_parents(self, target: str | Path) -> None:
        # bubblewrap creates missing folders with mode 0700, and the job could not enter them.
        for parent in reversed(PurePosixPath(target).parents):
            if str(parent) not in self._folders:
                self._folders.add(str(parent))
                self.add("--perms", "0755", "--dir", str(parent))

    def file(self, content: bytes, target: str) -> None:
        """Create a small file at `target`."""
        self.make_parents(target)
        self.add("--perms", "0444", "--file", str(self.in_memory(content)), target)

    def in_memory(self, content: bytes) -> int:
        """Return the descriptor of a file in memory, at its beginning."""
        self.fds.append(os.memfd_create("sandbox"))
        os.write(self.fds[-1], content)
        os.lseek(self.fds[-1], 0, os.SEEK_SET)
        return self.fds[-1]

    def close(self) -> None:
        """Close the files. Safe to call twice."""
        while self.fds:
            os.close(self.fds.pop())

    def tmpfs(self, target: str, size_bytes: int) -> None:
        self.add("--perms", "1777", "--size", str(size_bytes), "--tmpfs", target)


def build(root: RootFs, job: Job, python: Interpreter, who: Identity, copy: Path = Path("/")) -> None:
    """Add the file system of `job` to an empty `root`. System and interpreter come from the folder `copy`.

    Raises:
        SandboxError: a mount's source is missing, or the job's user could not read it.
    """
    scratch_bytes = int(job.limits.scratch_mb * 2**20)
    _system(root, copy)
    root.tmpfs("/tmp", scratch_bytes)  # before the interpreter, which may lie below /tmp
    for folder in python.shown:
        if _below(copy, folder).is_dir():
            root.bind(_below(copy, folder), folder)
    for link, points_to in python.links:
        root.make_parents(link)
        root.add("--symlink", points_to, link)
    if not python.has_name:
        for name in NAMES:
            root.make_parents(f"{NAMED_PYTHON}/{name}")
            root.add("--symlink", python.executable, f"{NAMED_PYTHON}/{name}")
    for folder in python.hidden if copy == Path("/") else ():  # a copy does not contain them
        root.add("--perms", "0555", "--size", "4096", "--tmpfs", folder, "--remount-ro", folder)
    root.file(f"job:x:{who.uid}:{who.gid}::/tmp:/bin/sh\n".encode(), "/etc/passwd")
    root.file(f"job:x:{who.gid}:\n".encode(), "/etc/group")
    root.file(f"127.0.0.1 localhost {HOST_NAME}\n::1 localhost\n".encode(), "/etc/hosts")
    root.file(b"passwd: files\ngroup: files\nhosts: files\n", "/etc/nsswitch.conf")
    root.add("--proc", "/proc", "--dev", "/dev")
    # Process 1 is bubblewrap. If an ordinary user launched it, it has the job's uid: the job could change its memory.
    for name in ("1", *proc_constants.FOLDERS):
        if Path("/proc", name).is_dir():
            root.add("--perms", "0555", "--size", "4096", "--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}")
    for name, text in proc_constants.texts().items():
        root.add("--perms", "0444", "--ro-bind-data", str(root.in_memory(text)), f"/proc/{name}")
    root.tmpfs("/dev/shm", scratch_bytes)
    _gpus(root, job.gpus)
    root.add("--remount-ro", "/dev")
    for mount in job.mounts:
        _mount(root, mount, who)
    if job.output is not None:
        root.bind(job.output.absolute(), OUTPUT, "--bind")
    if job.extra_output is not None:
        root.bind(job.extra_output.absolute(), EXTRA_OUTPUT, "--bind")
    root.add("--remount-ro", "/", "--chdir", job.workdir)


def _system(root: RootFs, copy: Path) -> None:
    for path in (*(Path("/", name) for name in _SYSTEM), *(Path("/usr", name) for name in _SYSTEM_OF_USR)):
        if path.is_symlink():
            root.add("--symlink", str(path.readlink()), path)
        elif _below(copy, path).is_dir():
            root.bind(_below(copy, path), path)
    if Path("/etc/ld.so.cache").exists():
        root.file(Path("/etc/ld.so.cache").read_bytes(), "/etc/ld.so.cache")
    if _below(copy, Path("/etc/alternatives")).is_dir():  # cc and libblas go through it
        root.bind(_below(copy, Path("/etc/alternatives")), "/etc/alternatives")


def _below(copy: Path, path: Path) -> Path:
    return copy / path.relative_to("/")


def _gpus(root: RootFs, gpus: Iterable[str]) -> None:
    """Show the devices of `gpus` only. This has not run on a machine with a GPU yet."""
    chosen = [f"nvidia{index}" for index in gpus]
    if not chosen:
        return
    for device in chosen:
        if not Path("/dev", device).exists():
            raise SandboxError(f"there is no /dev/{device}; check --gpus against nvidia-smi")
    for device in (*chosen, *_GPU_DEVICES):
        root.add("--dev-bind-try", f"/dev/{device}", f"/dev/{device}")


def _mount(root: RootFs, mount: Mount, who: Identity) -> None:
    if not needs_copy(mount, who.host_uid):
        root.bind(mount.source.absolute(), mount.target)
        return
    root.make_parents(mount.target)
    root.fds.append(os.open(mount.source, os.O_RDONLY))
    root.add("--perms", "0444", "--ro-bind-data", str(root.fds[-1]), mount.target)
