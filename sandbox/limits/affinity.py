"""The processors that a job's processes run on."""

import os
from collections.abc import Collection

from sandbox.errors import SandboxError


def pin(cores: Collection[int], *pids: int) -> None:
    """Let processes, and the children that they start later, run on these processors only.

    Raises:
        ProcessLookupError: one of them has ended.
        SandboxError: this program may not choose their processors, or this machine does not have any of them.
    """
    try:
        for pid in pids:
            os.sched_setaffinity(pid, cores)
    except PermissionError as error:  # root without CAP_SYS_NICE, in a container
        raise SandboxError(
            "cannot choose the job's processors without CAP_SYS_NICE; run as an ordinary user"
        ) from error
    except ProcessLookupError:
        raise
    except (OSError, ValueError, OverflowError) as error:
        named = ", ".join(str(core) for core in cores)
        raise SandboxError(f"this program may not use the processors {named}; `nproc` says how many it may") from error
