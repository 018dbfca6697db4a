"""Whether a client must be trusted, because its user can read or change what belongs to the host.

A client that runs as the host's user can read the validation data and write to the runs. It is in no sandbox of ours,
so the verdicts on its submissions say that they rely on it.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path


def is_trusted(client: int, folders: Sequence[Path]) -> bool:
    """Return whether verdicts rely on the client: its user can read or change what no client may.

    Args:
        client: its user id.
        folders: of runs, prepared data and task. The client must not be able to write to any of these, nor to read
            the first two. Only a folder's owner and permissions for all others are checked, not groups.
    """
    if client in (0, os.getuid()):
        return True
    *secret, task = folders
    return any(_allows(folder, client, stat.S_IROTH | stat.S_IWOTH | stat.S_IXOTH) for folder in secret) or _allows(
        task, client, stat.S_IWOTH
    )


def _allows(folder: Path, client: int, others: int) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return True
    return found.st_uid == client or bool(found.st_mode & others)
