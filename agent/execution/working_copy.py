"""A writable copy of the task's files, in which the script of a trial runs: in its own /tmp, which ends with the trial.

Many scripts and libraries write beside the script: checkpoints, hydra's `outputs/`, logs. The exported files in /task
are read-only, and nothing that a trial writes into its copy reaches the user's folder or another trial. The copy counts
towards `limits.scratch_mb`, and towards the trial's memory.
"""

import itertools
import posixpath
from dataclasses import replace
from pathlib import PurePosixPath

from agent.task.spec import MountSpec
from agent.task.task import Task
from sandbox.interpreter import NAMES
from sandbox.job import Job

FOLDER = "/tmp/work"
MOUNTED = "/mounts"
"""Where mounts with a relative target are; the copy has links to them."""

# It runs in the sandbox, under the task's interpreter.
_COPY = f"""
import os, shutil, sys
work, n = sys.argv[1], int(sys.argv[2])
links, command = sys.argv[3:3 + 2 * n], sys.argv[3 + 2 * n:]
try:
    shutil.copytree("/task", work, copy_function=shutil.copyfile)
    for source, target in zip(links[::2], links[1::2]):
        target = os.path.join(work, target)
        os.makedirs(os.path.dirname(os.path.normpath(target)), exist_ok=True)
        os.symlink(source, os.path.normpath(target))
    os.chdir(work)
except (OSError, shutil.Error) as fault:
    sys.exit("the copy of the task's files cannot be made: %s" % fault)
if command[0] in {NAMES!r}:
    os.execv(sys.executable, [sys.executable, *command[1:]])
try:
    os.execvp(command[0], command)
except OSError as fault:
    sys.exit("%s cannot be started: %s" % (command[0], fault.strerror))
"""


def place_of(target: str, index: int) -> str:
    """Return where the mount with this `target` of task.toml is inside: relative ones are numbered in MOUNTED."""
    return target if target.startswith("/") else f"{MOUNTED}/{index}"


def folder_of(task: Task) -> str:
    """Return the folder of the copy: FOLDER, or FOLDER-2 and so on where a mount of the task is in its way.

    It is deep enough for mounts above it: `../data` is below that folder, too.
    """
    taken = {PurePosixPath(mount.target) for mount in task.environment.mounts}
    numbered = (FOLDER if n == 1 else f"{FOLDER}-{n}" for n in itertools.count(1))
    top = next(place for place in numbered if not any(target.is_relative_to(place) for target in taken))
    n_above = [posixpath.normpath(mount.target).split("/").count("..") for mount in _relative(task).values()]
    return posixpath.join(top, *["above"] * max(n_above, default=0), *(["task"] if any(n_above) else []))


def in_working_copy(job: Job, task: Task) -> Job:
    """Return the job, made to run in a writable copy of /task if the task asks for one."""
    if not task.environment.writable_copy:
        return job
    links = [word for index, mount in _relative(task).items() for word in (place_of(mount.target, index), mount.target)]
    words = (folder_of(task), str(len(links) // 2), *links, *job.argv)
    return replace(job, argv=("python", "-I", "-S", "-c", _COPY, *words))


def _relative(task: Task) -> dict[int, MountSpec]:
    """Return the mounts with a relative target, by their index in task.toml."""
    mounts = enumerate(task.environment.mounts)
    return {index: mount for index, mount in mounts if not mount.target.startswith("/")}
