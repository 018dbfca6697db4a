"""What torch.compile and Triton have compiled: left once by the baseline, given to every later job as its own copy.

Compiled code is code. A trial that could write where the next one reads would run as the next one, so a trial gets the
baseline's, read-only, and unpacks it into its own /tmp, which ends with it. The host never looks inside.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox.job import EXTRA_OUTPUT, Job, Mount

FOLDER = "/tmp/compiled"
SEED = "/in/compiled.tar"
VARIABLES: Mapping[str, str] = {
    "TORCHINDUCTOR_CACHE_DIR": f"{FOLDER}/inductor",
    "TRITON_CACHE_DIR": f"{FOLDER}/triton",
}

# Both run inside, by the task's own interpreter: `sys.executable` is what the sandbox calls python.
_LEAVE = """
import os, subprocess, sys, tarfile
folder, kept, *arguments = sys.argv[1:]
code = subprocess.call([sys.executable, *arguments])
if code == 0 and os.path.isdir(folder):
    try:
        with tarfile.open(kept, "w") as tar:
            tar.add(folder, ".")
    except OSError:
        os.truncate(kept, 0)
sys.exit(code if code >= 0 else 128 - code)
"""
_WARM = """
import os, sys, tarfile
seed, folder, *arguments = sys.argv[1:]
with tarfile.open(seed) as tar:
    tar.extractall(folder)
os.execv(sys.executable, [sys.executable, *arguments])
"""


def leaving(job: Job, seed: Path) -> Job:
    """Return `job`, which leaves at `seed` what it has compiled; an empty file if that is nothing or too much.

    Only a job whose script is the user's own may do so. Its command must begin with `python`, or it is left as it is.
    """
    job = _with_variables(job)
    if job.argv[0] != "python":
        return job
    return replace(job, argv=_python(_LEAVE, FOLDER, EXTRA_OUTPUT, *job.argv[1:]), extra_output=seed)


def warmed(job: Job, seed: Path) -> Job:
    """Return `job`, which begins with a copy of what was left at `seed`; with nothing compiled if that is nothing."""
    job = _with_variables(job)
    if job.argv[0] != "python" or not seed.is_file() or not seed.stat().st_size:
        return job
    return replace(job, argv=_python(_WARM, SEED, FOLDER, *job.argv[1:]), mounts=(*job.mounts, Mount(seed, SEED)))


def _with_variables(job: Job) -> Job:
    return replace(job, environment={**VARIABLES, **job.environment})  # what the task sets itself stands


def _python(program: str, *arguments: str) -> tuple[str, ...]:
    # -W: a warning of tarfile's, of Python 3.12 and 3.13, would be the first line of every log.
    return ("python", "-I", "-S", "-W", "ignore", "-c", program, *arguments)
