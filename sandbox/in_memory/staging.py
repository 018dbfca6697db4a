"""Copies of a job's mounts and output files, in a folder in memory that no other job sees."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.in_memory.runtime import Runtime
from sandbox.job import Job, Mount
from sandbox.job_checks import needs_copy


@dataclass(frozen=True)
class Staged:
    """A job whose mounts and outputs are copies, and the folder of the shared copy of the interpreter."""

    job: Job
    runtime: Path


@contextmanager
def staged(runtime: Runtime, job: Job) -> Iterator[Staged]:
    """Yield `job` with copies in memory; at the end, write its outputs to the host and remove the copies.

    A mount that grows is not copied, nor are the outputs of such a job, because the host reads them while it runs.

    Raises:
        SandboxError: a source does not exist, or there is no space for a copy.
    """
    folder = runtime.with_packages(job.imports, compiler=job.compiles)
    own = runtime.folder_for_a_job()
    try:
        mounts = tuple(
            mount if mount.grows else Mount(_copied(mount, own / str(number)), mount.target)
            for number, mount in enumerate(job.mounts)
        )
        inside = replace(job, mounts=mounts)
        outputs: dict[Path, Path] = {}
        if not any(mount.grows for mount in mounts):
            if job.output is not None:
                outputs[own / "output"] = job.output
                inside = replace(inside, output=own / "output")
            if job.extra_output is not None:
                outputs[own / "extra"] = job.extra_output
                inside = replace(inside, extra_output=own / "extra")
            for path in outputs.values():
                _write_empty(path)
        try:
            yield Staged(inside, folder)
        finally:
            for copy, path in outputs.items():
                _give_back(copy, path)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _copied(mount: Mount, target: Path) -> Path:
    needs_copy(mount, os.geteuid())  # raises for a source that does not exist
    try:
        if mount.source.is_dir():
            shutil.copytree(mount.source, target, symlinks=True)
        else:
            shutil.copy2(mount.source, target)
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o444 | path.stat().st_mode & 0o111)
    except (OSError, shutil.Error) as error:
        raise SandboxError(
            f"cannot copy {mount.source} into memory for a scoring job: {error}; free some memory, or check the file"
        ) from error
    return target


def _write_empty(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise SandboxError(f"cannot create the output file {path}: {error.strerror}; name another") from error


def _give_back(copy: Path, path: Path) -> None:
    """Write the copy to the host's output file. `OutputFile` has checked that the copy is a regular file of ours."""
    if not copy.exists():
        return
    try:
        with copy.open("rb") as source, open(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_TRUNC), "wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise SandboxError(f"cannot write the output file {path}: {error.strerror}; free some space") from error
