"""Whether a client is kept from the host's data by being another user.

A client that runs as the same user as the host can read the validation data and write to the runs. No sandbox of ours
contains it, so verdicts on its submissions say that it is trusted with both.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path


def is_trusted(client: int, folders: Sequence[Path]) -> bool:
    """Return whether a verdict relies on the client: it can read or change what it must not.

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
