"""The compiler caches of torch.compile and Triton: saved once by the baseline, and copied into every later job.

Compiled code is code: a trial that could write the cache of the next one could run code in its place. So each trial
mounts the baseline's cache read-only and unpacks it into its own /tmp, which ends with it. The host never looks inside.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.interpreter import NAMES
from sandbox.job import EXTRA_OUTPUT, Job, Mount

FOLDER = "/tmp/compiled"
SAVED = "/in/compiled.tar"
VARIABLES: Mapping[str, str] = {
    "TORCHINDUCTOR_CACHE_DIR": f"{FOLDER}/inductor",
    "TRITON_CACHE_DIR": f"{FOLDER}/triton",
}

# Both programs run in the sandbox, under the task's interpreter: `sys.executable` is the sandbox's python.
_SAVE = """
import os, subprocess, sys, tarfile
folder, saved, *arguments = sys.argv[1:]
code = subprocess.call([sys.executable, *arguments])
if code == 0 and os.path.isdir(folder):
    try:
        with tarfile.open(saved, "w") as tar:
            tar.add(folder, ".")
    except OSError:
        os.truncate(saved, 0)
sys.exit(code if code >= 0 else 128 - code)
"""
_UNPACK = """
import os, sys, tarfile
saved, folder, *arguments = sys.argv[1:]
with tarfile.open(saved) as tar:
    tar.extractall(folder)
os.execv(sys.executable, [sys.executable, *arguments])
"""


def saves_cache(job: Job, saved: Path) -> Job:
    """Return `job`, made to save its compiler caches at `saved`; the file is empty if they are empty or too big.

    Only a job whose script is the user's own may save them. Other commands than Python are unchanged.
    """
    job = _with_variables(job)
    if job.argv[0] not in NAMES:
        return job
    return replace(job, argv=_python(job.argv[0], _SAVE, FOLDER, EXTRA_OUTPUT, *job.argv[1:]), extra_output=saved)


def with_cache(job: Job, saved: Path) -> Job:
    """Return `job`, made to start with a copy of the caches saved at `saved`, if there are any."""
    job = _with_variables(job)
    if job.argv[0] not in NAMES or not saved.is_file() or not saved.stat().st_size:
        return job
    return replace(
        job, argv=_python(job.argv[0], _UNPACK, SAVED, FOLDER, *job.argv[1:]), mounts=(*job.mounts, Mount(saved, SAVED))
    )


def _with_variables(job: Job) -> Job:
    return replace(job, environment={**VARIABLES, **job.environment})  # the task's own settings win


def _python(name: str, program: str, *arguments: str) -> tuple[str, ...]:
    # -W: a warning of tarfile in Python 3.12 and 3.13 would be the first line of every log.
    return (name, "-I", "-S", "-W", "ignore", "-c", program, *arguments)
