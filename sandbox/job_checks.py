"""What is refused of any job before it starts, whichever sandbox it is for."""

import os
from pathlib import PurePosixPath

from sandbox.errors import SandboxError
from sandbox.job import Job, Mount

ADDED_BY_SHELLS = ("PWD", "OLDPWD", "SHLVL", "_")
"""A shell starts every job, and these are taken away again behind it."""
WITHOUT_ADDED = " ".join(f"-u {name}" for name in ADDED_BY_SHELLS)
"""The options of env(1) that do so."""


def refuse(job: Job) -> None:
    """Check the command, the variables and where the mounts go.

    Raises:
        SandboxError: one of them cannot be passed on as it is.
    """
    if not job.argv or "=" in job.argv[0]:
        raise SandboxError(f"cannot run the command {job.argv}: its first word must name a program")
    for name in job.environment:
        if name in ADDED_BY_SHELLS or "=" in name or not name:
            raise SandboxError(f"the variable {name!r} cannot be given to a job; rename it in task.toml")
    for mount in job.mounts:
        if not mount.target.startswith("/") or ".." in PurePosixPath(mount.target).parts:
            raise SandboxError(f"mount target {mount.target!r} must be an absolute path without '..'")
    mounts = (word for mount in job.mounts for word in (str(mount.source), mount.target))
    variables = (word for pair in job.environment.items() for word in pair)
    if any("\0" in word for word in (*job.argv, *variables, *mounts, job.workdir)):
        raise SandboxError(f"a zero byte in the command, variables or mounts of {job.label}; remove it")


def needs_copy(mount: Mount, uid: int) -> bool:
    """Return whether the job, which runs as user `uid` of the host, can only be given a copy of the mount's source.

    That is so where root runs the job as another user, who may not read one of root's files.

    Raises:
        SandboxError: the source is not there, or is a folder that the job's user could not read.
    """
    try:
        mode = mount.source.stat().st_mode
    except OSError as error:
        raise SandboxError(f"cannot mount {mount.source}: {error.strerror}; check the mounts of the task") from error
    if uid == os.geteuid() or mode & 0o004:
        return False
    if mount.source.is_file():
        return True
    raise SandboxError(
        f"the job runs as a user of its own, who may not read {mount.source}: chmod -R o+rX {mount.source}"
    )
