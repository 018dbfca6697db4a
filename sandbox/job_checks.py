"""Checks of a job before it starts, the same for every sandbox."""

import os
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from sandbox.errors import SandboxError
from sandbox.job import Job, Mount

ADDED_BY_SHELLS = ("PWD", "OLDPWD", "SHLVL", "_")
"""Variables that the shell which starts a job adds; they are removed before the job runs."""
_SET_BY_SHELLS = (
    *(
        "BASHOPTS",
        "BASHPID",
        "BASH_VERSINFO",
        "DIRSTACK",
        "EPOCHREALTIME",
        "EPOCHSECONDS",
        "EUID",
        "FUNCNAME",
        "GROUPS",
    ),
    *(
        "HISTCMD",
        "IFS",
        "LINENO",
        "OPTIND",
        "PPID",
        "PS1",
        "PS2",
        "PS4",
        "RANDOM",
        "SECONDS",
        "SHELLOPTS",
        "SRANDOM",
        "UID",
    ),
)
"""Variables that dash or bash sets itself, or cannot export with a given value."""
_STARTS_THE_JOB = re.compile(r"etc|lib\w*|usr|bin|sbin|proc|dev|sys", re.ASCII)
"""Top-level folders with programs that run before a job has dropped its rights."""
WITHOUT_ADDED = " ".join(f"-u {name}" for name in ADDED_BY_SHELLS)
"""The options of env(1) that remove them."""
HAS_LOGGED_IN = "{ echo 65534 >/proc/self/loginuid; } 2>/dev/null"
"""What the shell that starts a job runs first: a process can log in once, and the kernel counts logins for all jobs."""


def validate_job(job: Job) -> None:
    """Check the command, the variables and the mounts of a job.

    Raises:
        SandboxError: one of them cannot be passed to a job; the message says which.
    """
    if not job.argv or "=" in job.argv[0]:
        raise SandboxError(f"cannot run the command {job.argv}: its first word must name a program")
    for name in job.environment:
        identifier = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII)
        if not identifier or name in ADDED_BY_SHELLS or name in _SET_BY_SHELLS:
            raise SandboxError(f"the variable {name!r} cannot be given to a job; rename it in task.toml")
    _check_targets(job.mounts)
    mounts = (word for mount in job.mounts for word in (str(mount.source), mount.target))
    variables = (word for pair in job.environment.items() for word in pair)
    if any("\0" in word for word in (*job.argv, *variables, *mounts, job.workdir)):
        raise SandboxError(f"a zero byte in the command, variables or mounts of {job.label}; remove it")


def _check_targets(mounts: Sequence[Mount]) -> None:
    """Refuse targets that would cover system folders, by name or through a symbolic link in another mount."""
    for mount in mounts:
        target = mount.target
        if not target.startswith("/") or ".." in PurePosixPath(target).parts:
            raise SandboxError(f"mount target {target!r} must be an absolute path without '..'")
        top = PurePosixPath(target).parts[1:2]
        if not top or _STARTS_THE_JOB.fullmatch(top[0]):
            raise SandboxError(
                f"mount target {target!r} covers a system folder that starts the job; choose another: /tmp/data"
            )
        for other in mounts:
            if other is mount or not PurePosixPath(target).is_relative_to(other.target):
                continue
            step = other.source
            for part in PurePosixPath(target).relative_to(other.target).parts:
                step /= part
                if step.is_symlink():
                    raise SandboxError(
                        f"mount target {target!r} leads through the symbolic link {step}; choose a target outside of "
                        f"{other.target}"
                    )


def needs_copy(mount: Mount, uid: int) -> bool:
    """Return whether the job, which runs as user `uid` of the host, needs a copy of the mount's source.

    It does if root runs the job as another user, and that user may not read the file.

    Raises:
        SandboxError: the source does not exist, or is a folder that the job's user may not read.
    """
    try:
        mode = mount.source.stat().st_mode
    except OSError as error:
        raise SandboxError(f"cannot mount {mount.source}: {error.strerror}; check the mounts of the task") from error
    if uid == os.geteuid() or mode & 0o004:
        return False
    if mount.source.is_file():
        return True
    raise SandboxError(f"the job runs as another user, who may not read {mount.source}: chmod -R o+rX {mount.source}")
